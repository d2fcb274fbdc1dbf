//! A reference for tests: runs a trained network one value at a time, in the plainest way. Exporters and executors are
//! compared with it. It is slow on purpose and runs nothing in a product.

use kiln_space::{ActivationKind, Architecture, BATCH_NORM_EPSILON, LayerId, Op, PoolKind, Shape};

use crate::{ExportError, TrainedModel};

/// Logits of a batch of raw inputs.
///
/// Sums are taken in double precision in the order of the indices; values between layers are single precision.
///
/// # Shapes
/// `input`: raw values `[batch, channels, height, width]`; returns `[batch, classes]`.
///
/// # Errors
/// [`ExportError`] when the model is not whole ([`TrainedModel::check`]) or the input has another length.
pub fn run_reference(model: &TrainedModel, input: &[f32], batch: usize) -> Result<Vec<f32>, ExportError> {
    model.check()?;
    let elements = model.architecture.input.elements();
    let expected = elements.saturating_mul(batch);
    if input.len() != expected {
        return Err(ExportError::InputLength { found: input.len(), expected });
    }
    Ok((0..batch).flat_map(|i| run_example(model, &input[i * elements..][..elements])).collect())
}

fn run_example(model: &TrainedModel, raw: &[f32]) -> Vec<f32> {
    let architecture = &model.architecture;
    let live = architecture.live();
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(architecture.layers.len());
    for id in architecture.ids() {
        let value = match (live[id.0], id.0) {
            (false, _) => Vec::new(),
            (true, 0) => normalize(model, raw),
            (true, _) => run_layer(model, id, &values),
        };
        values.push(value);
    }
    values.pop().expect("a checked architecture has layers")
}

fn normalize(model: &TrainedModel, raw: &[f32]) -> Vec<f32> {
    let preprocessing = &model.card.preprocessing;
    let positions = model.architecture.input.positions();
    let scaled = |(i, value): (usize, &f32)| {
        (value - preprocessing.mean[i / positions]) / preprocessing.deviation[i / positions]
    };
    raw.iter().enumerate().map(scaled).collect()
}

fn run_layer(model: &TrainedModel, id: LayerId, values: &[Vec<f32>]) -> Vec<f32> {
    let architecture = &model.architecture;
    let layer = architecture.layer(id);
    let array = |part: &str| {
        model.arrays.get(&format!("{}.{part}", layer.name)).map_or(&[][..], |array| array.data.as_slice())
    };
    let inputs: Vec<&[f32]> = layer.inputs.iter().map(|input| values[input.0].as_slice()).collect();
    let positions = layer.output.positions();
    match &layer.op {
        Op::Input | Op::Flatten => inputs[0].to_vec(),
        Op::Zero { .. } => vec![0.0; layer.output.elements()],
        Op::Conv2d { .. } => convolve(architecture, id, inputs[0], array("weight"), array("bias")),
        Op::Linear { .. } => {
            let rows = array("weight").chunks_exact(inputs[0].len()).enumerate();
            rows.map(|(i, row)| {
                let bias = array("bias").get(i).map_or(0.0, |bias| f64::from(*bias));
                (bias + row.iter().zip(inputs[0]).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>())
                    as f32
            })
            .collect()
        }
        Op::BatchNorm => {
            let parts = ["scale", "shift", "mean", "variance"].map(array);
            let each = |(i, x): (usize, &f32)| {
                let [scale, shift, mean, variance] = parts.map(|part| f64::from(part[i / positions]));
                let centered = f64::from(*x) - mean;
                (scale * centered / (variance + f64::from(BATCH_NORM_EPSILON)).sqrt() + shift) as f32
            };
            inputs[0].iter().enumerate().map(each).collect()
        }
        Op::Activation { kind } => inputs[0].iter().map(|x| activate(*kind, f64::from(*x)) as f32).collect(),
        Op::Pool { .. } => pool(architecture, id, inputs[0]),
        Op::GlobalPool => {
            let planes = inputs[0].chunks_exact(architecture.layer(layer.inputs[0]).output.positions());
            planes
                .map(|plane| (plane.iter().copied().map(f64::from).sum::<f64>() / plane.len() as f64) as f32)
                .collect()
        }
        Op::Add => {
            let sum = |i: usize| inputs.iter().map(|input| f64::from(input[i])).sum::<f64>() as f32;
            (0..layer.output.elements()).map(sum).collect()
        }
        Op::Concat => inputs.concat(),
        Op::Mul => {
            let whole = inputs[1].len() == inputs[0].len();
            let factor = |i: usize| inputs[1][if whole { i } else { i / positions }];
            inputs[0].iter().enumerate().map(|(i, x)| x * factor(i)).collect()
        }
    }
}

fn convolve(
    architecture: &Architecture,
    id: LayerId,
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
) -> Vec<f32> {
    let layer = architecture.layer(id);
    let Op::Conv2d { kernel, stride, padding, groups, .. } = layer.op else {
        unreachable!("only convolutions come here")
    };
    let from = architecture.layer(layer.inputs[0]).output;
    let group_inputs = from.channels / groups;
    let group_outputs = layer.output.channels / groups;
    each_output(layer.output, |out, y, x| {
        let mut sum = bias.get(out).map_or(0.0, |bias| f64::from(*bias));
        for inner in 0..group_inputs {
            let plane = (out / group_outputs * group_inputs + inner) * from.positions();
            let taps = (out * group_inputs + inner) * kernel[0] * kernel[1];
            for (ky, row) in window(y, stride[0], kernel[0], padding[0], from.height) {
                for (kx, column) in window(x, stride[1], kernel[1], padding[1], from.width) {
                    let value = input[plane + row * from.width + column];
                    sum += f64::from(value) * f64::from(weight[taps + ky * kernel[1] + kx]);
                }
            }
        }
        sum as f32
    })
}

fn pool(architecture: &Architecture, id: LayerId, input: &[f32]) -> Vec<f32> {
    let layer = architecture.layer(id);
    let Op::Pool { kind, kernel, stride, padding } = layer.op else {
        unreachable!("only pooling comes here")
    };
    let from = architecture.layer(layer.inputs[0]).output;
    each_output(layer.output, |channel, y, x| {
        let mut values = Vec::new();
        for (_, row) in window(y, stride[0], kernel[0], padding[0], from.height) {
            for (_, column) in window(x, stride[1], kernel[1], padding[1], from.width) {
                values.push(input[channel * from.positions() + row * from.width + column]);
            }
        }
        match kind {
            PoolKind::Max => values.into_iter().fold(f32::NEG_INFINITY, f32::max),
            PoolKind::Average => {
                (values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64) as f32
            }
        }
    })
}

fn each_output(shape: Shape, mut value: impl FnMut(usize, usize, usize) -> f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(shape.elements());
    for channel in 0..shape.channels {
        for y in 0..shape.height {
            for x in 0..shape.width {
                values.push(value(channel, y, x));
            }
        }
    }
    values
}

/// Along one axis: positions in the window with the input positions they fall on, padding left out.
fn window(
    output: usize,
    stride: usize,
    kernel: usize,
    padding: usize,
    size: usize,
) -> impl Iterator<Item = (usize, usize)> {
    (0..kernel).filter_map(move |k| {
        let at = (output * stride + k).checked_sub(padding)?;
        (at < size).then_some((k, at))
    })
}

fn activate(kind: ActivationKind, x: f64) -> f64 {
    let hard_sigmoid = ((x + 3.0).clamp(0.0, 6.0)) / 6.0;
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match kind {
        ActivationKind::Relu => x.max(0.0),
        ActivationKind::Relu6 => x.clamp(0.0, 6.0),
        ActivationKind::HardSwish => x * hard_sigmoid,
        ActivationKind::HardSigmoid => hard_sigmoid,
        ActivationKind::Sigmoid => sigmoid,
        ActivationKind::Silu => x * sigmoid,
        ActivationKind::Tanh => x.tanh(),
        ActivationKind::Gelu => x / 2.0 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
    }
}

/// The error function.
///
/// Source: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 1964, formula 7.1.6: a series of terms of
/// one sign, so nothing cancels.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Array, testing};
    use kiln_space::ArchitectureBuilder;

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn erf_matches_published_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, expected) in
            [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)]
        {
            assert!((erf(x) - expected).abs() < 1e-10, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + expected).abs() < 1e-10);
        }
        assert!((erf(5.999) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn activations_match_hand_computed_values() {
        let at_two = [2.0, 2.0, 10.0 / 6.0, 5.0 / 6.0, 0.880_797_08, 1.761_594_2, 0.964_027_6, 1.954_499_7];
        for (kind, expected) in ActivationKind::ALL.into_iter().zip(at_two) {
            assert!((activate(kind, 2.0) - expected).abs() < 1e-6, "{}", kind.name());
        }
        assert!((activate(ActivationKind::Relu6, 9.0) - 6.0).abs() < 1e-12);
        assert!(activate(ActivationKind::HardSwish, -4.0).abs() < 1e-12);
    }

    /// `x -> conv -> flatten` on a 1x2x2 image, with a mean of 1 and a deviation of 2.
    fn convolution(op: Op, arrays: &[(&str, &[usize], &[f32])]) -> TrainedModel {
        let mut b = ArchitectureBuilder::new(Shape::new(1, 2, 2));
        let weights = op.has_weights().then(|| kiln_space::WeightRef::leading("layer", 1, 1));
        let x = b.add("layer", op, &[b.input()], weights).unwrap();
        b.add("out", Op::Flatten, &[x], None).unwrap();
        let mut model = testing::model(b.finish().unwrap(), 1);
        model.card.preprocessing.mean = vec![1.0];
        model.card.preprocessing.deviation = vec![2.0];
        for (name, shape, data) in arrays {
            model.arrays.insert((*name).to_owned(), Array { shape: shape.to_vec(), data: data.to_vec() });
        }
        model
    }

    #[test]
    fn a_padded_convolution_by_hand() {
        let op = Op::Conv2d {
            out_channels: 1,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            groups: 1,
            bias: true,
        };
        let taps = [0.0, 1.0, 0.0, 2.0, 10.0, 3.0, 0.0, 4.0, 0.0];
        let model = convolution(op, &[("layer.weight", &[1, 1, 3, 3], &taps), ("layer.bias", &[1], &[0.5])]);
        // Normalized, the image is [[0, 1], [2, 3]].
        let logits = run_reference(&model, &[1.0, 3.0, 5.0, 7.0], 1).unwrap();
        close(&logits, &[0.0 + 3.0 + 8.0 + 0.5, 10.0 + 12.0 + 0.5, 20.0 + 9.0 + 0.5, 30.0 + 1.0 + 4.0 + 0.5]);
    }

    #[test]
    fn average_pooling_leaves_padding_out_of_the_count() {
        let pool = |kind| Op::Pool { kind, kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
        let raw = [1.0, 3.0, 5.0, 7.0, -5.0, -3.0, -1.0, 1.0];
        let average = run_reference(&convolution(pool(PoolKind::Average), &[]), &raw, 2).unwrap();
        close(&average, &[1.5, -1.5]);
        let max = run_reference(&convolution(pool(PoolKind::Max), &[]), &raw, 2).unwrap();
        close(&max, &[3.0, 0.0]);
    }

    #[test]
    fn a_batch_gives_what_its_examples_give() {
        for (name, model) in testing::sample_models() {
            let input = testing::raw_input(&model.architecture, 3, 5);
            let whole = run_reference(&model, &input, 3).unwrap();
            let elements = model.architecture.input.elements();
            let apart: Vec<f32> =
                input.chunks(elements).flat_map(|one| run_reference(&model, one, 1).unwrap()).collect();
            close(&whole, &apart);
            assert!(whole.iter().all(|value| value.is_finite()), "{name}");
        }
    }

    #[test]
    fn an_input_of_another_length_is_refused() {
        let model = testing::perceptron();
        assert!(matches!(
            run_reference(&model, &[0.0; 9], 2),
            Err(ExportError::InputLength { found: 9, expected: 10 })
        ));
    }
}
