//! A reference interpreter for tests. It computes one value at a time in the simplest way. Tests compare
//! exporters and executors with this interpreter. It is slow on purpose.

use std::borrow::Cow;

use kiln_space::{ActivationKind, Architecture, BATCH_NORM_EPSILON, LayerId, Op, PoolKind, Shape};

use crate::{ExportError, Grid, QuantizedKernel, QuantizedNetwork, TrainedModel, rounded_arrays};

/// Computes the outputs for a batch of raw inputs.
///
/// Sums are computed in double precision, in the order of the indices. Values between layers are in single
/// precision. Layers with integer weights and 8-bit activations compute in integers. Other
/// weights are rounded to their stored values first.
///
/// # Shapes
/// `input` contains raw values `[batch, channels, height, width]`. The result is `[batch, classes]` for
/// classification and `[batch, values]` for regression.
///
/// # Errors
/// [`ExportError`] when the model is invalid ([`TrainedModel::check`]) or the input has the wrong length.
pub fn run_reference(model: &TrainedModel, input: &[f32], batch: usize) -> Result<Vec<f32>, ExportError> {
    model.check()?;
    let elements = model.architecture.input.elements();
    let expected = elements.saturating_mul(batch);
    if input.len() != expected {
        return Err(ExportError::InputLength { found: input.len(), expected });
    }
    let integers = QuantizedNetwork::of(model);
    let arrays = rounded_arrays(&model.architecture, &model.arrays, &model.weight_codes);
    let model = &TrainedModel { arrays, ..model.clone() };
    let run = |i: usize| layer_values(model, &integers, &input[i * elements..][..elements]).pop();
    Ok((0..batch).filter_map(run).flatten().collect())
}

/// Computes the outputs of all layers for one example. The output of a layer that does not run is empty.
pub(crate) fn layer_values(model: &TrainedModel, integers: &QuantizedNetwork, raw: &[f32]) -> Vec<Vec<f32>> {
    let architecture = &model.architecture;
    let live = architecture.live();
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(architecture.layers.len());
    for id in architecture.ids() {
        let mut value = match (live[id.0], id.0) {
            (false, _) => Vec::new(),
            (true, 0) => normalize(model, raw),
            (true, _) if integers.plan.is_folded(id) => values[architecture.layer(id).inputs[0].0].clone(),
            (true, _) => run_layer(model, integers, id, &values),
        };
        round(&mut value, integers.stored_grid(id));
        values.push(value);
    }
    values
}

fn round(values: &mut [f32], grid: Option<Grid>) {
    if let Some(grid) = grid {
        for value in values {
            *value = grid.round(*value);
        }
    }
}

fn normalize(model: &TrainedModel, raw: &[f32]) -> Vec<f32> {
    let preprocessing = &model.card.preprocessing;
    let positions = model.architecture.input.positions();
    let scaled = |(i, value): (usize, &f32)| {
        (value - preprocessing.mean[i / positions]) / preprocessing.deviation[i / positions]
    };
    raw.iter().enumerate().map(scaled).collect()
}

fn run_layer(
    model: &TrainedModel,
    integers: &QuantizedNetwork,
    id: LayerId,
    values: &[Vec<f32>],
) -> Vec<f32> {
    let architecture = &model.architecture;
    let layer = architecture.layer(id);
    let array = |part: &str| {
        model.arrays.get(&format!("{}.{part}", layer.name)).map_or(&[][..], |array| array.data.as_slice())
    };
    let read = |input: &LayerId| {
        let mut value = Cow::Borrowed(values[input.0].as_slice());
        if let Some(grid) = integers.read_grid(id, *input) {
            round(value.to_mut(), Some(grid));
        }
        value
    };
    let inputs: Vec<Cow<'_, [f32]>> = match layer.op {
        Op::Zero { .. } => Vec::new(),
        _ => layer.inputs.iter().map(read).collect(),
    };
    let positions = layer.output.positions();
    if let Some(kernel) = integers.kernels.get(&id) {
        return in_integers(
            architecture,
            id,
            integers.grids.get(&layer.inputs[0]).copied(),
            kernel,
            &inputs[0],
        );
    }
    let doubles = |part: &str| array(part).iter().copied().map(f64::from).collect::<Vec<_>>();
    match &layer.op {
        Op::Input | Op::Flatten => inputs[0].to_vec(),
        Op::Zero { .. } => vec![0.0; layer.output.elements()],
        Op::Conv2d { .. } | Op::Linear { .. } => {
            let sums = sums(architecture, id, &inputs[0], array("weight"), &doubles("bias"));
            sums.into_iter().map(|sum| sum as f32).collect()
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
        Op::Pool { .. } => pool(architecture, id, &inputs[0]),
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

/// Computes a convolution or fully connected layer in integers, as 8-bit runtimes do.
fn in_integers(
    architecture: &Architecture,
    id: LayerId,
    grid: Option<Grid>,
    kernel: &QuantizedKernel,
    input: &[f32],
) -> Vec<f32> {
    let layer = architecture.layer(id);
    let steps = |value: &f32| {
        grid.map_or(0.0, |grid| f32::from(i16::from(grid.quantize(*value)) - i16::from(grid.zero_point)))
    };
    let input: Vec<f32> = input.iter().map(steps).collect();
    let weight: Vec<f32> = kernel.weights.iter().map(|weight| f32::from(*weight)).collect();
    let bias: Vec<f64> = kernel.bias.iter().map(|bias| f64::from(*bias)).collect();
    let sums = sums(architecture, id, &input, &weight, &bias).into_iter().enumerate();
    let scale = |index: usize| f64::from(kernel.bias_scales[index / layer.output.positions()]);
    sums.map(|(index, sum)| (sum * scale(index)) as f32).collect()
}

/// Computes the sums of a convolution or fully connected layer.
fn sums(architecture: &Architecture, id: LayerId, input: &[f32], weight: &[f32], bias: &[f64]) -> Vec<f64> {
    let layer = architecture.layer(id);
    if matches!(layer.op, Op::Linear { .. }) {
        let products =
            |row: &[f32]| row.iter().zip(input).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>();
        let rows = weight.chunks_exact(input.len()).enumerate();
        return rows.map(|(i, row)| bias.get(i).unwrap_or(&0.0) + products(row)).collect();
    }
    let Op::Conv2d { kernel, stride, padding, groups, .. } = layer.op else {
        unreachable!("only convolutions come here")
    };
    let from = architecture.layer(layer.inputs[0]).output;
    let group_inputs = from.channels / groups;
    let group_outputs = layer.output.channels / groups;
    each_output(layer.output, |out, y, x| {
        let mut sum = bias.get(out).copied().unwrap_or(0.0);
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
        sum
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

fn each_output<T>(shape: Shape, mut value: impl FnMut(usize, usize, usize) -> T) -> Vec<T> {
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

/// Along one axis, returns the positions in the window together with the input positions that they cover.
/// Padding is omitted.
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

/// Computes the error function.
///
/// Source: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 1964, formula 7.1.6. All terms of
/// the series have the same sign, so no digits cancel.
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
    use kiln_space::{ArchitectureBuilder, NumberFormat, Precision};

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn erf_matches_published_values() {
        // Source: Abramowitz and Stegun, table 7.1.
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

    /// Builds the network `x -> op -> flatten` for a 1x2x2 image with mean 1 and standard deviation 2.
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
    fn padded_convolution_matches_hand_computation() {
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
        // The normalized image is [[0, 1], [2, 3]].
        let logits = run_reference(&model, &[1.0, 3.0, 5.0, 7.0], 1).unwrap();
        close(&logits, &[0.0 + 3.0 + 8.0 + 0.5, 10.0 + 12.0 + 0.5, 20.0 + 9.0 + 0.5, 30.0 + 1.0 + 4.0 + 0.5]);
    }

    #[test]
    fn average_pooling_ignores_padding() {
        let pool = |kind| Op::Pool { kind, kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
        let raw = [1.0, 3.0, 5.0, 7.0, -5.0, -3.0, -1.0, 1.0];
        let average = run_reference(&convolution(pool(PoolKind::Average), &[]), &raw, 2).unwrap();
        close(&average, &[1.5, -1.5]);
        let max = run_reference(&convolution(pool(PoolKind::Max), &[]), &raw, 2).unwrap();
        close(&max, &[3.0, 0.0]);
    }

    #[test]
    fn batch_equals_its_examples_one_by_one() {
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
    fn layer_of_8_bits_matches_hand_computation() {
        let mut b = ArchitectureBuilder::new(Shape::vector(2));
        b.linear("head", b.input(), 1).unwrap();
        let mut model = testing::model(b.finish().unwrap(), 1);
        let preprocessing = &mut model.card.preprocessing;
        (preprocessing.mean, preprocessing.deviation) = (vec![0.0; 2], vec![1.0; 2]);
        model.arrays.insert("head.weight".to_owned(), Array { shape: vec![1, 2], data: vec![1.27, -0.504] });
        model.arrays.insert("head.bias".to_owned(), Array { shape: vec![1], data: vec![0.2502] });
        for layer in &mut model.architecture.layers {
            layer.precision = Precision::uniform(NumberFormat::Int8);
        }
        model.quantization.insert("input".to_owned(), Grid { scale: 0.5, zero_point: -128 });
        // The inputs 3.1 and 1.2 round to 6 and 2 units of 0.5. The weights are 127 and -50 units of 0.01,
        // and the bias is 50 units of 0.005.
        let logits = run_reference(&model, &[3.1, 1.2], 1).unwrap();
        close(&logits, &[(6.0 * 127.0 - 2.0 * 50.0 + 50.0) * 0.005]);
    }

    #[test]
    fn network_of_8_bits_stays_near_single_precision() {
        for (name, model) in testing::sample_models() {
            let int8 = testing::quantized(&model, &[]);
            let input = testing::raw_input(&model.architecture, 4, 2);
            let [exact, rounded] = [&model, &int8].map(|model| run_reference(model, &input, 4).unwrap());
            let largest = exact.iter().map(|value| value.abs()).fold(1.0, f32::max);
            let off: f32 =
                exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).sum::<f32>() / exact.len() as f32;
            assert!(off < 0.1 * largest, "{name}: {off} on average, where the largest is {largest}");
            assert!(int8.quantization.is_empty() || exact != rounded, "{name}: nothing was rounded");
        }
    }

    #[test]
    fn run_reference_refuses_input_of_wrong_length() {
        let model = testing::perceptron();
        assert!(matches!(
            run_reference(&model, &[0.0; 9], 2),
            Err(ExportError::InputLength { found: 9, expected: 10 })
        ));
    }
}
