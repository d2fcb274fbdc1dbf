//! Integer weights of a convolution or fully connected layer that computes in integers. If a batch
//! normalization follows, it is folded into the weights.

use std::collections::BTreeMap;

use kiln_space::{Architecture, LayerId, NumberFormat};

use super::steps::{default_step, in_steps, largest_integer};
use crate::Array;
use crate::folding::factors;

/// Maximum magnitude of a bias's integer. This limit is far below 2^31, so that sums with the bias do not
/// overflow.
const BIAS_MAX: f64 = (1_u64 << 30) as f64;

/// The integer weights and biases of a layer. For each output, the layer computes the integer
/// `sum(weight * (input - zero_point)) + bias`. One unit of this integer represents the output channel's
/// [`QuantizedKernel::bias_scales`].
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedKernel {
    /// Format of the stored weights: [`NumberFormat::Int8`] or [`NumberFormat::Int4`].
    pub format: NumberFormat,
    /// Shape of the weights. Output channels are the first axis.
    pub shape: Vec<usize>,
    /// Integers of the weights in row-major order, from -127 to 127, or from -7 to 7 in 4 bits.
    pub weights: Vec<i8>,
    /// For each output channel, the value that one unit of a weight's integer represents.
    pub scales: Vec<f32>,
    /// For each output channel, the integer of the bias.
    pub bias: Vec<i32>,
    /// For each output channel, the value that one unit of the bias's integer represents. This value is the
    /// scale of the input times the scale of the weights.
    pub bias_scales: Vec<f32>,
}

impl QuantizedKernel {
    /// Rounds the weights and the bias of a layer to integers. `norm` is the batch normalization to fold into
    /// them. `steps` are the values of one unit of the weights, for each output channel. Without them, the
    /// step is the smallest that represents the channel's largest weight, or in 4 bits the one with the
    /// smallest mean squared error. `arrays` belong to a valid
    /// [`crate::TrainedModel`].
    ///
    /// Source: B. Jacob et al., CVPR 2018, section 2.4 (bias); R. Krishnamoorthi, arXiv:1806.08342, section
    /// 3.1 (one scale per output channel). Difference: a channel gets a larger scale if its bias would not
    /// fit otherwise, or if two of its weights would overflow 16-bit sums on x86.
    pub(super) fn new(
        architecture: &Architecture,
        arrays: &BTreeMap<String, Array>,
        steps: Option<&[f32]>,
        (layer, norm): (LayerId, Option<LayerId>),
        input_scale: f32,
    ) -> Self {
        let format = architecture.layer(layer).precision.weights;
        let weight = &arrays[&format!("{}.weight", architecture.layer(layer).name)];
        let outputs = weight.shape[0];
        let mut kernel = Self {
            format,
            shape: weight.shape.clone(),
            weights: Vec::with_capacity(weight.data.len()),
            scales: Vec::with_capacity(outputs),
            bias: Vec::with_capacity(outputs),
            bias_scales: Vec::with_capacity(outputs),
        };
        let folded = factors(architecture, arrays, layer, norm);
        let rows = weight.data.chunks_exact((weight.data.len() / outputs.max(1)).max(1));
        for (channel, (row, (factor, bias))) in rows.zip(folded).enumerate() {
            let row: Vec<f64> = row.iter().map(|weight| f64::from(*weight) * factor).collect();
            kernel.push(&row, bias, input_scale, steps.map(|steps| steps[channel]));
        }
        kernel
    }

    /// Returns the values of the weights in row-major order.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let row = (self.weights.len() / self.scales.len().max(1)).max(1);
        let value = |(index, weight): (usize, &i8)| f32::from(*weight) * self.scales[index / row];
        self.weights.iter().enumerate().map(value).collect()
    }

    /// Rounds and appends one output channel.
    fn push(&mut self, row: &[f64], bias: f64, input_scale: f32, stated: Option<f32>) {
        let step = stated.map_or_else(|| default_step(row, self.format), f64::from);
        let for_bias = bias.abs() / (BIAS_MAX * f64::from(input_scale));
        let scale = step.max(for_bias).max(f64::from(f32::MIN_POSITIVE)) as f32;
        let limit = largest_integer(self.format, stated.is_some());
        self.weights.extend(row.iter().map(|weight| in_steps(*weight, scale, limit)));
        let bias_scale = (input_scale * scale).max(f32::MIN_POSITIVE);
        self.scales.push(scale);
        self.bias_scales.push(bias_scale);
        self.bias.push((bias / f64::from(bias_scale)).round_ties_even() as i32);
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Precision, Shape, Sparsity};

    use super::*;

    fn array(shape: &[usize], data: &[f32]) -> Array {
        Array { shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn kernel_matches_hand_computation() {
        let mut b = ArchitectureBuilder::new(Shape::vector(2));
        b.set_compression(Precision::uniform(NumberFormat::Int8), Sparsity::Dense);
        let x = b.linear("head", b.input(), 2).unwrap();
        b.batch_norm("norm", x).unwrap();
        let architecture = b.finish().unwrap();
        let arrays = BTreeMap::from([
            ("head.weight".to_owned(), array(&[2, 2], &[1.27, -0.5, 0.0, 0.0])),
            ("head.bias".to_owned(), array(&[2], &[0.25, 3.0])),
            ("norm.scale".to_owned(), array(&[2], &[2.0, 1.0])),
            ("norm.shift".to_owned(), array(&[2], &[0.1, 0.0])),
            ("norm.mean".to_owned(), array(&[2], &[1.25, 0.0])),
            ("norm.variance".to_owned(), array(&[2], &[0.25 - 1e-5, 1.0 - 1e-5])),
        ]);
        let plain = QuantizedKernel::new(&architecture, &arrays, None, (x, None), 0.5);
        assert_eq!(plain.weights, [127, -50, 0, 0]);
        assert!((plain.scales[0] - 0.01).abs() < 1e-8);
        // The first bias is 0.25 / (0.5 * 0.01) = 50 units. The second channel has zero weights, so its bias
        // determines its scale.
        assert_eq!(plain.bias[0], 50);
        assert!((plain.bias[1] as f32 * plain.bias_scales[1] - 3.0).abs() < 1e-6);
        assert!(plain.bias[1] <= 1 << 30);
        // The normalization multiplies by 2 / 0.5 = 4. The integers stay the same, and the scale grows.
        let folded = QuantizedKernel::new(&architecture, &arrays, None, (x, Some(LayerId(2))), 0.5);
        assert_eq!(folded.weights, plain.weights);
        assert!((folded.scales[0] - 0.04).abs() < 1e-7);
        // The folded bias is (0.25 - 1.25) * 4 + 0.1 = -3.9, which is -195 units of 0.02.
        assert_eq!(folded.bias[0], -195);
        assert!((folded.values()[0] - 5.08).abs() < 1e-5);
    }

    #[test]
    fn stated_steps_and_4_bits_match_hand_computation() {
        let mut b = ArchitectureBuilder::new(Shape::vector(3));
        b.set_compression(Precision::with_weights(NumberFormat::Int4), Sparsity::Dense);
        let x = b.linear("head", b.input(), 2).unwrap();
        let mut architecture = b.finish().unwrap();
        let arrays = BTreeMap::from([
            ("head.weight".to_owned(), array(&[2, 3], &[0.7, -0.34, 0.05, 1.0, -1.0, 0.1])),
            ("head.bias".to_owned(), array(&[2], &[0.0, 0.5])),
        ]);
        let kernel = QuantizedKernel::new(&architecture, &arrays, None, (x, None), 0.5);
        // The steps are 0.1 and 1 / 7. A weight of 0.05 is half a step, which rounds to the even 0.
        assert_eq!(kernel.weights, [7, -3, 0, 7, -7, 1]);
        let kernel = QuantizedKernel::new(&architecture, &arrays, Some(&[0.05, 0.25]), (x, None), 0.5);
        assert_eq!(kernel.weights, [7, -7, 1, 4, -4, 0], "0.7 and -0.34 are clipped to 7 steps of 0.05");
        assert_eq!((kernel.scales, kernel.bias), (vec![0.05, 0.25], vec![0, 4]));
        // With stated steps, 8-bit weights end at 64, so that no pair overflows sums of 16 bits.
        architecture.layers[1].precision = Precision::uniform(NumberFormat::Int8);
        let kernel = QuantizedKernel::new(&architecture, &arrays, Some(&[0.01, 0.01]), (x, None), 0.5);
        assert_eq!(kernel.weights, [64, -34, 5, 64, -64, 10]);
    }

    #[test]
    fn quantized_weights_are_within_half_a_step() {
        for seed in 0..20 {
            let mut model = crate::testing::random_model(seed);
            for layer in &mut model.architecture.layers {
                layer.precision = Precision::uniform(NumberFormat::Int8);
            }
            for id in model.architecture.ids() {
                let layer = model.architecture.layer(id);
                let Some(weight) = model.arrays.get(&format!("{}.weight", layer.name)) else { continue };
                let kernel = QuantizedKernel::new(&model.architecture, &model.arrays, None, (id, None), 0.1);
                let row = weight.data.len() / kernel.scales.len();
                for channel in kernel.weights.chunks_exact(row) {
                    let pairs = channel
                        .iter()
                        .enumerate()
                        .flat_map(|(i, a)| channel[..i].iter().map(move |b| (*a, *b)));
                    let sums = pairs.map(|(a, b)| i16::from(a) + i16::from(b));
                    assert!(sums.into_iter().all(|sum| (-128..=128).contains(&sum)), "{channel:?}");
                }
                for (index, (found, expected)) in kernel.values().iter().zip(&weight.data).enumerate() {
                    let step = kernel.scales[index / row];
                    assert!((found - expected).abs() <= step * 0.501, "{found} is not {expected}");
                }
            }
        }
    }
}
