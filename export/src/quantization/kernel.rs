//! 8-bit weights of a convolution or fully connected layer. If a batch normalization follows, it is folded
//! into the weights.

use std::collections::BTreeMap;

use kiln_space::{Architecture, BATCH_NORM_EPSILON, LayerId};

use crate::Array;

/// Maximum magnitude of a weight's integer. The range is symmetric about zero.
const WEIGHT_MAX: f64 = 127.0;
/// Maximum magnitude of the sum of two weights with the same sign. x86 processors without VNNI add two 8-bit
/// products in 16 bits and saturate silently. With this limit, the largest sum is 255 * 128, which fits into
/// 16 bits.
const PAIR_MAX: f64 = 128.0;
/// Maximum magnitude of a bias's integer. This limit is far below 2^31, so that sums with the bias do not
/// overflow.
const BIAS_MAX: f64 = (1_u64 << 30) as f64;

/// The integer weights and biases of a layer. For each output, the layer computes the integer
/// `sum(weight * (input - zero_point)) + bias`. One unit of this integer represents the output channel's
/// [`QuantizedKernel::bias_scales`].
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedKernel {
    /// Shape of the weights. Output channels are the first axis.
    pub shape: Vec<usize>,
    /// Integers of the weights, from -127 to 127, in row-major order.
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
    /// them. `arrays` belong to a valid [`crate::TrainedModel`].
    ///
    /// Source: B. Jacob et al., CVPR 2018, section 2.4 (bias); R. Krishnamoorthi, arXiv:1806.08342, section
    /// 3.1 (one scale per output channel). Difference: a channel gets a larger scale if its bias would not
    /// fit otherwise, or if two of its weights would overflow 16-bit sums on x86.
    pub(super) fn new(
        architecture: &Architecture,
        arrays: &BTreeMap<String, Array>,
        layer: LayerId,
        norm: Option<LayerId>,
        input_scale: f32,
    ) -> Self {
        let name = &architecture.layer(layer).name;
        let part =
            |name: &str, part: &str| arrays.get(&format!("{name}.{part}")).map(|array| array.data.as_slice());
        let weight = &arrays[&format!("{name}.weight")];
        let outputs = weight.shape[0];
        let own = part(name, "bias");
        let bias = |channel: usize| own.map_or(0.0, |bias| f64::from(bias[channel]));
        let folded: Vec<(f64, f64)> = match norm {
            None => (0..outputs).map(|channel| (1.0, bias(channel))).collect(),
            Some(norm) => {
                let norm = &architecture.layer(norm).name;
                let [scale, shift, mean, variance] =
                    ["scale", "shift", "mean", "variance"].map(|p| part(norm, p).expect("a whole model"));
                let fold = |channel: usize| {
                    let [scale, shift, mean, variance] =
                        [scale, shift, mean, variance].map(|values| f64::from(values[channel]));
                    let factor = scale / (variance + f64::from(BATCH_NORM_EPSILON)).sqrt();
                    (factor, shift - (mean - bias(channel)) * factor)
                };
                (0..outputs).map(fold).collect()
            }
        };
        let mut kernel = Self {
            shape: weight.shape.clone(),
            weights: Vec::with_capacity(weight.data.len()),
            scales: Vec::with_capacity(outputs),
            bias: Vec::with_capacity(outputs),
            bias_scales: Vec::with_capacity(outputs),
        };
        let rows = weight.data.chunks_exact((weight.data.len() / outputs.max(1)).max(1));
        for (row, (factor, bias)) in rows.zip(folded) {
            kernel.push(row, factor, bias, input_scale);
        }
        kernel
    }

    /// Rounds and appends one output channel.
    fn push(&mut self, row: &[f32], factor: f64, bias: f64, input_scale: f32) {
        // `largest[sign]` contains the two largest magnitudes among weights of that sign.
        let mut largest = [[0.0_f64; 2]; 2];
        for weight in row.iter().map(|weight| f64::from(*weight) * factor) {
            let [first, second] = &mut largest[usize::from(weight < 0.0)];
            let magnitude = weight.abs();
            *second = second.max(magnitude.min(*first));
            *first = first.max(magnitude);
        }
        let needed = largest.map(|[first, second]| (first / WEIGHT_MAX).max((first + second) / PAIR_MAX));
        let for_bias = bias.abs() / (BIAS_MAX * f64::from(input_scale));
        let scale = needed[0].max(needed[1]).max(for_bias).max(f64::from(f32::MIN_POSITIVE)) as f32;
        let round = |weight: &f32| (f64::from(*weight) * factor / f64::from(scale)).round_ties_even();
        self.weights.extend(row.iter().map(|weight| round(weight).clamp(-WEIGHT_MAX, WEIGHT_MAX) as i8));
        let bias_scale = (input_scale * scale).max(f32::MIN_POSITIVE);
        self.scales.push(scale);
        self.bias_scales.push(bias_scale);
        self.bias.push((bias / f64::from(bias_scale)).round_ties_even() as i32);
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;

    /// Returns the dequantized weights in row-major order.
    fn weight_values(kernel: &QuantizedKernel) -> Vec<f32> {
        let row = kernel.weights.len() / kernel.scales.len();
        let value = |(index, weight): (usize, &i8)| f32::from(*weight) * kernel.scales[index / row];
        kernel.weights.iter().enumerate().map(value).collect()
    }

    fn array(shape: &[usize], data: &[f32]) -> Array {
        Array { shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn kernel_matches_hand_computation() {
        let mut b = ArchitectureBuilder::new(Shape::vector(2));
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
        let plain = QuantizedKernel::new(&architecture, &arrays, x, None, 0.5);
        assert_eq!(plain.weights, [127, -50, 0, 0]);
        assert!((plain.scales[0] - 0.01).abs() < 1e-8);
        // The first bias is 0.25 / (0.5 * 0.01) = 50 units. The second channel has zero weights, so its bias
        // determines its scale.
        assert_eq!(plain.bias[0], 50);
        assert!((plain.bias[1] as f32 * plain.bias_scales[1] - 3.0).abs() < 1e-6);
        assert!(plain.bias[1] <= 1 << 30);
        // The normalization multiplies by 2 / 0.5 = 4. The integers stay the same, and the scale grows.
        let folded = QuantizedKernel::new(&architecture, &arrays, x, Some(LayerId(2)), 0.5);
        assert_eq!(folded.weights, plain.weights);
        assert!((folded.scales[0] - 0.04).abs() < 1e-7);
        // The folded bias is (0.25 - 1.25) * 4 + 0.1 = -3.9, which is -195 units of 0.02.
        assert_eq!(folded.bias[0], -195);
        assert!((weight_values(&folded)[0] - 5.08).abs() < 1e-5);
    }

    #[test]
    fn quantized_weights_are_within_half_a_step() {
        for seed in 0..20 {
            let model = crate::testing::random_model(seed);
            for id in model.architecture.ids() {
                let layer = model.architecture.layer(id);
                let Some(weight) = model.arrays.get(&format!("{}.weight", layer.name)) else { continue };
                let kernel = QuantizedKernel::new(&model.architecture, &model.arrays, id, None, 0.1);
                let row = weight.data.len() / kernel.scales.len();
                for channel in kernel.weights.chunks_exact(row) {
                    let pairs = channel
                        .iter()
                        .enumerate()
                        .flat_map(|(i, a)| channel[..i].iter().map(move |b| (*a, *b)));
                    let sums = pairs.map(|(a, b)| i16::from(a) + i16::from(b));
                    assert!(sums.into_iter().all(|sum| (-128..=128).contains(&sum)), "{channel:?}");
                }
                for (index, (found, expected)) in weight_values(&kernel).iter().zip(&weight.data).enumerate()
                {
                    let step = kernel.scales[index / row];
                    assert!((found - expected).abs() <= step * 0.501, "{found} is not {expected}");
                }
            }
        }
    }
}
