//! Scores compared with finite differences and with sums computed by hand.

use kiln_space::channels::Coupling;
use kiln_space::{ActivationKind, ArchitectureBuilder, LayerId, Op, Shape};

use super::super::structured::{self, Norm, Plan, Sensitivity};
use super::super::{PruningError, scores};
use crate::{Array, Arrays, TrainedModel, run_reference, testing};

const RAW: [f32; 3] = [120.0, 30.0, 200.0];
const TARGETS: [f64; 2] = [0.4, -1.1];

/// A network `input -> hidden -> batch normalization -> tanh -> head`.
fn network() -> TrainedModel {
    let mut b = ArchitectureBuilder::new(Shape::vector(3));
    let x = b.linear("hidden", b.input(), 4).unwrap();
    let x = b.batch_norm("bn", x).unwrap();
    let x = b.activation("tanh", x, ActivationKind::Tanh).unwrap();
    b.linear("head", x, 2).unwrap();
    testing::model(b.finish().unwrap(), 3)
}

/// The quadratic loss `sum((output - target)^2) / 2`.
fn loss(model: &TrainedModel) -> f64 {
    let outputs = run_reference(model, &RAW, 1).unwrap();
    outputs.iter().zip(TARGETS).map(|(y, t)| (f64::from(*y) - t).powi(2) / 2.0).sum()
}

/// Returns the model with some weights multiplied by `factor`.
fn scaled(model: &TrainedModel, name: &str, factor: f32, picks: impl Fn(usize) -> bool) -> TrainedModel {
    let mut model = model.clone();
    for (index, value) in model.arrays.get_mut(name).unwrap().data.iter_mut().enumerate() {
        if picks(index) {
            *value *= factor;
        }
    }
    model
}

/// Returns the derivative of the loss by a factor on some weights, by a central difference.
fn slope(model: &TrainedModel, name: &str, picks: impl Fn(usize) -> bool + Copy) -> f64 {
    const STEP: f32 = 1e-2;
    let at = |factor| loss(&scaled(model, name, factor, picks));
    (at(1.0 + STEP) - at(1.0 - STEP)) / (2.0 * f64::from(STEP))
}

/// Computes the gradients of the head's weights and of the hidden layer's weights by the chain rule.
fn gradients(model: &TrainedModel) -> Arrays {
    let data = |name: &str| -> Vec<f64> { model.arrays[name].data.iter().copied().map(f64::from).collect() };
    let card = &model.card.preprocessing;
    let input: Vec<f64> = (0..3).map(|i| f64::from((RAW[i] - card.mean[i]) / card.deviation[i])).collect();
    let (weight, bias) = (data("hidden.weight"), data("hidden.bias"));
    let [scale, shift, mean, variance] =
        ["scale", "shift", "mean", "variance"].map(|p| data(&format!("bn.{p}")));
    let factor: Vec<f64> = (0..4).map(|h| scale[h] / (variance[h] + 1e-5).sqrt()).collect();
    let sum = |h: usize| bias[h] + (0..3).map(|i| weight[h * 3 + i] * input[i]).sum::<f64>();
    let hidden: Vec<f64> = (0..4).map(|h| ((sum(h) - mean[h]) * factor[h] + shift[h]).tanh()).collect();
    let (head, head_bias) = (data("head.weight"), data("head.bias"));
    let error: Vec<f64> = (0..2)
        .map(|o| head_bias[o] + (0..4).map(|h| head[o * 4 + h] * hidden[h]).sum::<f64>() - TARGETS[o])
        .collect();
    let back = |h: usize| (0..2).map(|o| error[o] * head[o * 4 + h]).sum::<f64>();
    let hidden_gradient = |index: usize| {
        let h = index / 3;
        back(h) * (1.0 - hidden[h] * hidden[h]) * factor[h] * input[index % 3]
    };
    let array = |shape: [usize; 2], value: &dyn Fn(usize) -> f64| Array {
        shape: shape.to_vec(),
        data: (0..shape[0] * shape[1]).map(|index| value(index) as f32).collect(),
    };
    Arrays::from([
        ("head.weight".to_owned(), array([2, 4], &|index| error[index / 4] * hidden[index % 4])),
        ("hidden.weight".to_owned(), array([4, 3], &hidden_gradient)),
    ])
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 2e-3 * expected.abs() + 1e-4, "{found} for {expected}");
}

#[test]
fn taylor_scores_of_weights_equal_finite_differences() {
    let model = network();
    let gradients = gradients(&model);
    for name in ["head.weight", "hidden.weight"] {
        let scores = scores::taylor(&model.arrays[name].data, &gradients[name].data);
        for (index, score) in scores.iter().enumerate() {
            assert_close(*score, slope(&model, name, |other| other == index).abs());
        }
    }
}

#[test]
fn taylor_scores_of_units_equal_finite_differences() {
    let model = network();
    let architecture = &model.architecture;
    let coupling = Coupling::new(architecture).unwrap();
    let scores = structured::taylor(architecture, &coupling, &model.arrays, &gradients(&model)).unwrap();
    for channel in 0..4 {
        // All weights of the head that read the channel are multiplied at once.
        let expected = slope(&model, "head.weight", |index| index % 4 == channel).abs();
        assert!(expected > 1e-3, "the score is no accident");
        assert_close(scores[coupling.unit(LayerId(1), channel)], expected);
    }
}

#[test]
fn taylor_scores_of_a_linear_loss_are_the_change_of_the_loss() {
    // A depthwise convolution, a residual sum and a flattening: all read by `head` alone. The loss is the
    // first output, so its gradient by the head's first row is the head's input.
    let mut b = ArchitectureBuilder::new(Shape::new(1, 2, 2));
    let stem = b.conv("stem", b.input(), 4, 3, 1, 1).unwrap();
    let x = b.conv("depthwise", stem, 4, 3, 1, 4).unwrap();
    let x = b.add("sum", Op::Add, &[stem, x], None).unwrap();
    let x = b.add("flat", Op::Flatten, &[x], None).unwrap();
    b.linear("head", x, 2).unwrap();
    let model = testing::model(b.finish().unwrap(), 8);
    let architecture = &model.architecture;
    let coupling = Coupling::new(architecture).unwrap();
    let raw = testing::raw_input(architecture, 1, 2);
    let output = |model: &TrainedModel| f64::from(run_reference(model, &raw, 1).unwrap()[0]);

    let mut gradients = model.arrays.clone();
    let bias = f64::from(model.arrays["head.bias"].data[0]);
    let head = gradients.get_mut("head.weight").unwrap();
    head.data.fill(0.0);
    for index in 0..16 {
        let alone = {
            let mut model = model.clone();
            let data = &mut model.arrays.get_mut("head.weight").unwrap().data;
            data.fill(0.0);
            data[index] = 1.0;
            output(&model) - bias
        };
        head.data[index] = alone as f32;
    }
    // The stem's and the depthwise weights have other gradients, which must not matter for the units.
    for name in ["stem.weight", "depthwise.weight"] {
        gradients.get_mut(name).unwrap().data.fill(0.0);
    }
    let scores = structured::taylor(architecture, &coupling, &model.arrays, &gradients).unwrap();
    for channel in 0..4 {
        let unit = coupling.unit(stem, channel);
        let plan = Plan { removed: [unit].into(), cost: 0.0, loss: 0.0 };
        let change = output(&structured::cut(&model, &plan).unwrap()) - output(&model);
        assert!((scores[unit] - change.abs()).abs() < 1e-5, "{} for {change}", scores[unit]);
    }
    gradients.get_mut("head.weight").unwrap().data.pop();
    let error = structured::taylor(architecture, &coupling, &model.arrays, &gradients).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gradients of `head.weight` hold 31 values, expected 32 as in the weight"
    );
}

#[test]
fn movement_scores_follow_the_squares_of_the_weights() {
    // Gradient descent on `(w - a)^2 / 2`. Each step changes a square by `-2 * rate * w * g + (rate * g)^2`.
    let (targets, rate) = ([2.0_f32, 0.1, -1.0], 0.25_f32);
    let start = [1.0_f32, 1.0, -0.5];
    let (mut weights, mut total, mut squares) = (start, [0.0_f64; 3], [0.0_f64; 3]);
    for _ in 0..6 {
        let gradients: Vec<f32> = weights.iter().zip(targets).map(|(w, a)| w - a).collect();
        scores::add_movement(&mut total, &weights, &gradients);
        for i in 0..3 {
            squares[i] += f64::from(rate * gradients[i]).powi(2);
            weights[i] -= rate * gradients[i];
        }
    }
    for i in 0..3 {
        let grown = f64::from(weights[i]).powi(2) - f64::from(start[i]).powi(2);
        assert!((total[i] - (grown - squares[i]) / (2.0 * f64::from(rate))).abs() < 1e-5);
    }
    assert!(total[0] > 0.0 && total[1] < 0.0 && total[2] > 0.0, "only the second weight shrinks: {total:?}");
}

#[test]
fn movement_scores_of_units_sum_over_the_weights_that_read_them() {
    let model = network();
    let coupling = Coupling::new(&model.architecture).unwrap();
    let gradients = gradients(&model);
    let mut total = vec![0.0; coupling.units().len()];
    for _ in 0..2 {
        structured::add_movement(&mut total, &model.architecture, &coupling, &model.arrays, &gradients)
            .unwrap();
    }
    for channel in 0..4 {
        let expected = -2.0 * slope(&model, "head.weight", |index| index % 4 == channel);
        assert_close(total[coupling.unit(LayerId(1), channel)], expected);
    }
    let architecture = &model.architecture;
    let error = structured::add_movement(&mut [0.0], architecture, &coupling, &model.arrays, &gradients);
    assert!(matches!(error, Err(PruningError::Scores { found: 1, .. })));
}

#[test]
fn filter_norms_sum_over_coupled_filters_and_include_the_normalization() {
    let mut b = ArchitectureBuilder::new(Shape::new(1, 2, 2));
    let stem = b.conv("stem", b.input(), 2, 1, 1, 1).unwrap();
    let x = b.batch_norm("bn", stem).unwrap();
    let y = b.conv("depthwise", x, 2, 1, 1, 2).unwrap();
    let x = b.add("sum", Op::Add, &[x, y], None).unwrap();
    let x = b.global_pool("pool", x).unwrap();
    b.linear("head", x, 2).unwrap();
    let mut model = testing::model(b.finish().unwrap(), 1);
    let mut set = |name: &str, values: [f32; 2]| model.arrays.get_mut(name).unwrap().data = values.to_vec();
    set("stem.weight", [3.0, -1.0]);
    set("depthwise.weight", [-4.0, 2.0]);
    set("bn.scale", [-2.0, 1.0]);
    set("bn.variance", [4.0 - 1e-5, 1.0 - 1e-5]);
    let coupling = Coupling::new(&model.architecture).unwrap();
    let norms = |norm| {
        let norms = structured::filter_norms(&model, &coupling, norm).unwrap();
        [0, 1].map(|channel| norms[coupling.unit(stem, channel)])
    };
    let close = |found: [f64; 2], expected: [f64; 2]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} for {expected:?}");
    };
    // The normalization multiplies the stem by |-2| / 2 and 1 / 1.
    close(norms(Norm::L1), [3.0 + 4.0, 1.0 + 2.0]);
    close(norms(Norm::L2), [5.0, 5.0_f64.sqrt()]);
}

#[test]
fn sensitivity_is_the_growth_of_the_loss_and_losses_follow_it() {
    let mut b = ArchitectureBuilder::new(Shape::vector(2));
    let first = b.linear("first", b.input(), 4).unwrap();
    let second = b.linear("second", first, 4).unwrap();
    b.linear("head", second, 2).unwrap();
    let model = testing::model(b.finish().unwrap(), 4);
    let coupling = Coupling::new(&model.architecture).unwrap();
    let mut scores = vec![1.0; coupling.units().len()];
    for channel in 0..4 {
        scores[coupling.unit(first, channel)] = [4.0, 1.0, 2.0, 3.0][channel];
    }
    // The loss of a network is known by its widths.
    let loss = |model: &TrainedModel| {
        let width = |layer: LayerId| model.architecture.layer(layer).output.channels as f64;
        let last = if width(first) < 2.0 { 1.0 } else { 0.0 };
        10.0 + 0.6 * (4.0 - width(first)) + last + 0.01 * (4.0 - width(second))
    };
    let found = structured::sensitivity(&model, &coupling, &scores, &[0.5, 0.75], loss).unwrap();
    let group = |layer| coupling.units()[coupling.unit(layer, 0)].group;
    let near = |found: &[f64], expected: [f64; 2]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    };
    near(&found.increases[group(first)], [1.2, 2.8]);
    near(&found.increases[group(second)], [0.02, 0.03]);
    near(&found.increases[group(LayerId(0))], [0.0, 0.0]);
    near(&found.increases[group(LayerId(3))], [0.0, 0.0]);

    let losses = structured::losses(&coupling, &scores, Some(&found)).unwrap();
    let of = |layer| [0, 1, 2, 3].map(|channel| losses[coupling.unit(layer, channel)]);
    // The units with scores 1 and 2 lose 1.2 together, the one with score 3 loses 1.6 more, and the last one
    // as much again.
    let expected = [1.6, 0.6, 0.6, 1.6];
    assert!(of(first).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{:?}", of(first));
    assert!(of(first)[1] < of(first)[2] && of(first)[3] < of(first)[0], "in the order of the scores");
    assert!(of(second).iter().all(|loss| (loss - 0.01).abs() < 1e-5), "{:?}", of(second));

    let even = structured::losses(&coupling, &scores, None).unwrap();
    let sum = |layer| (0..4).map(|channel| even[coupling.unit(layer, channel)]).sum::<f64>();
    assert!((sum(first) - 1.0).abs() < 1e-9 && (sum(second) - 1.0).abs() < 1e-9);
    let share = structured::sensitivity(&model, &coupling, &scores, &[1.0], loss).unwrap_err();
    assert!(matches!(share, PruningError::Share { .. }));
    let falling = structured::sensitivity(&model, &coupling, &scores, &[0.5, 0.5], loss).unwrap_err();
    assert!(matches!(falling, PruningError::Share { .. }));
    let wrong = Sensitivity { shares: vec![0.5], increases: vec![vec![1.0]] };
    assert!(structured::losses(&coupling, &scores, Some(&wrong)).is_err());
}
