//! Weights that are stored in a narrow format while their layer computes in single precision.

use std::collections::BTreeMap;

use half::{bf16, f16};
use kiln_space::{Architecture, Layer, LayerId, NumberFormat, Op, Precision};
use serde::{Deserialize, Serialize};

use super::steps::{best_step, default_step, in_steps, largest_integer};
use crate::folding::factors;
use crate::{Array, ExportError, QuantizationPlan, TrainedModel, folded};

/// Maximum number of values in a codebook. An index then has at most 8 bits.
pub const CODEBOOK_MAX: usize = 256;

/// States how a layer's weights are stored, where the number format alone does not state it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightCode {
    /// For each output channel, the value of one unit of the integer weights. In a layer that computes in
    /// integers, these are the units after the batch normalization is folded in. Larger weights are clipped
    /// to [`crate::stated_limit`] units. Without this, a channel's largest weight determines its step in 8
    /// bits, and the mean squared error in 4 bits.
    Steps(Vec<f32>),
    /// The values that the layer's weights have, in ascending order: at most 256. Every weight equals one of
    /// them. The layer's number format is single precision.
    Codebook(Vec<f32>),
}

/// Stored weights of a layer that computes in single precision.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredWeights {
    /// Half precision, as bits.
    Half(Vec<u16>),
    /// Brain floating point, as bits.
    Brain(Vec<u16>),
    /// Integers, with the value of one unit for each output channel.
    Integers {
        /// `Int8` or `Int4`.
        format: NumberFormat,
        /// The integers in row-major order.
        integers: Vec<i8>,
        /// The value of one unit, for each output channel.
        steps: Vec<f32>,
    },
    /// Positions in a codebook.
    Codebook {
        /// The position of each weight's value, in row-major order.
        indices: Vec<u8>,
        /// The values, in ascending order.
        values: Vec<f32>,
    },
}

impl StoredWeights {
    /// Returns the stored weights of a layer, or `None` if they are in single precision, or if the layer
    /// computes in integers ([`crate::QuantizedKernel`]).
    fn of(layer: &Layer, weight: &Array, code: Option<&WeightCode>) -> Option<Self> {
        if let Some(WeightCode::Codebook(values)) = code {
            let index = |weight: &f32| nearest(values, *weight) as u8;
            let indices = weight.data.iter().map(index).collect();
            return Some(Self::Codebook { indices, values: values.clone() });
        }
        let format = layer.precision.weights;
        match format {
            NumberFormat::F32 => None,
            NumberFormat::F16 => {
                Some(Self::Half(weight.data.iter().map(|w| f16::from_f32(*w).to_bits()).collect()))
            }
            NumberFormat::Bf16 => {
                Some(Self::Brain(weight.data.iter().map(|w| bf16::from_f32(*w).to_bits()).collect()))
            }
            NumberFormat::Int8 | NumberFormat::Int4 => {
                let stated = match code {
                    Some(WeightCode::Steps(steps)) => Some(steps),
                    _ => None,
                };
                let (mut integers, mut steps) = (Vec::with_capacity(weight.data.len()), Vec::new());
                for (channel, row) in rows(weight).enumerate() {
                    let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
                    let step = stated.map_or_else(
                        || default_step(&row, format).max(f64::from(f32::MIN_POSITIVE)) as f32,
                        |steps| steps[channel],
                    );
                    let limit = largest_integer(format, stated.is_some());
                    integers.extend(row.iter().map(|weight| in_steps(*weight, step, limit)));
                    steps.push(step);
                }
                Some(Self::Integers { format, integers, steps })
            }
        }
    }

    /// Returns the values that the stored weights represent.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Half(bits) => bits.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect(),
            Self::Brain(bits) => bits.iter().map(|bits| bf16::from_bits(*bits).to_f32()).collect(),
            Self::Integers { integers, steps, .. } => {
                let row = (integers.len() / steps.len().max(1)).max(1);
                let value = |(index, integer): (usize, &i8)| f32::from(*integer) * steps[index / row];
                integers.iter().enumerate().map(value).collect()
            }
            Self::Codebook { indices, values } => {
                indices.iter().map(|index| values[usize::from(*index)]).collect()
            }
        }
    }
}

/// Returns the weights that a network stores in a narrow format while their layer computes in single
/// precision: weights in half precision or brain floating point, integer weights of layers with activations
/// in single precision, and codebooks.
///
/// # Panics
/// When an array is missing. [`TrainedModel::check`] reports which one.
#[must_use]
pub fn stored_weights(model: &TrainedModel) -> BTreeMap<LayerId, StoredWeights> {
    stored(&model.architecture, &model.arrays, &model.weight_codes)
}

/// Whether a network stores weights in a narrow format while their layer computes in single precision.
#[must_use]
pub fn stores_narrow_weights(architecture: &Architecture) -> bool {
    architecture.layers.iter().any(|layer| {
        has_kernel(&layer.op)
            && layer.precision.weights != NumberFormat::F32
            && layer.precision.activations == NumberFormat::F32
    })
}

/// Returns the network with the weights of every convolution and fully connected layer stored in `format`,
/// and with activations in single precision. Batch normalizations are folded first ([`folded`]).
///
/// # Errors
/// [`ExportError::ArrayValue`] when half precision does not represent a weight. The message names the layer.
///
/// # Panics
/// When an array is missing. [`TrainedModel::check`] reports which one.
pub fn with_narrow_weights(model: &TrainedModel, format: NumberFormat) -> Result<TrainedModel, ExportError> {
    let mut model = model.clone();
    for layer in &mut model.architecture.layers {
        layer.precision = Precision::default();
    }
    model.quantization.clear();
    model.weight_codes.clear();
    let mut model = folded(&model);
    for layer in model.architecture.layers.iter_mut().filter(|layer| has_kernel(&layer.op)) {
        layer.precision.weights = format;
    }
    model.check_codes()?;
    Ok(model)
}

/// Returns the arrays with the weights of [`stored_weights`] rounded to the values that are stored. A network
/// with these arrays computes in single precision what the exported file computes.
///
/// # Panics
/// When an array is missing.
#[must_use]
pub fn rounded_arrays(
    architecture: &Architecture,
    arrays: &BTreeMap<String, Array>,
    codes: &BTreeMap<String, WeightCode>,
) -> BTreeMap<String, Array> {
    let mut arrays = arrays.clone();
    for (id, stored) in stored(architecture, &arrays, codes) {
        if let Some(weight) = arrays.get_mut(&format!("{}.weight", architecture.layer(id).name)) {
            weight.data = stored.values();
        }
    }
    arrays
}

fn stored(
    architecture: &Architecture,
    arrays: &BTreeMap<String, Array>,
    codes: &BTreeMap<String, WeightCode>,
) -> BTreeMap<LayerId, StoredWeights> {
    let plan = QuantizationPlan::new(architecture);
    let integers: Vec<LayerId> = plan.kernels().map(|(id, _)| id).collect();
    let live = architecture.live();
    let kernels = architecture
        .ids()
        .filter(|id| live[id.0] && has_kernel(&architecture.layer(*id).op) && !integers.contains(id));
    kernels
        .filter_map(|id| {
            let layer = architecture.layer(id);
            let weight = &arrays[&format!("{}.weight", layer.name)];
            Some((id, StoredWeights::of(layer, weight, codes.get(&layer.name))?))
        })
        .collect()
}

/// Returns the steps with the smallest mean squared error for every layer with weights in this format, as a
/// start for training that learns them. In 8 bits, the integers end at 64 ([`crate::stated_limit`]).
///
/// # Panics
/// When an array is missing.
#[must_use]
pub fn best_steps(model: &TrainedModel, format: NumberFormat) -> BTreeMap<String, WeightCode> {
    let architecture = &model.architecture;
    let plan = QuantizationPlan::new(architecture);
    let norms: BTreeMap<LayerId, Option<LayerId>> = plan.kernels().collect();
    let live = architecture.live();
    let kernels = architecture.ids().filter(|id| live[id.0] && has_kernel(&architecture.layer(*id).op));
    kernels
        .filter(|id| architecture.layer(*id).precision.weights == format)
        .map(|id| {
            let layer = architecture.layer(id);
            let factors = factors(architecture, &model.arrays, id, norms.get(&id).copied().flatten());
            let rows = rows(&model.arrays[&format!("{}.weight", layer.name)]).zip(factors);
            let step = |(row, (factor, _)): (&[f32], (f64, f64))| {
                let row: Vec<f64> = row.iter().map(|weight| f64::from(*weight) * factor).collect();
                best_step(&row, format)
            };
            (layer.name.clone(), WeightCode::Steps(rows.map(step).collect()))
        })
        .collect()
}

impl TrainedModel {
    /// Checks that every stated code fits its layer, and that half precision represents the weights.
    pub(crate) fn check_codes(&self) -> Result<(), ExportError> {
        for (name, code) in &self.weight_codes {
            let refuse = |problem: String| ExportError::WeightCode { layer: name.clone(), problem };
            let layer = self.architecture.layers.iter().find(|layer| layer.name == *name);
            let layer = layer
                .filter(|layer| has_kernel(&layer.op))
                .ok_or_else(|| refuse("it is not a convolution or fully connected layer".to_owned()))?;
            let format = layer.precision.weights;
            let weight = self.arrays.get(&format!("{name}.weight")).map_or(&[][..], |array| &array.data);
            match code {
                WeightCode::Steps(_) if !format.is_integer() => {
                    return Err(refuse(format!("it has steps, but its weights are {format}")));
                }
                WeightCode::Steps(steps) => check_steps(steps, layer.output.channels).map_err(refuse)?,
                WeightCode::Codebook(_) if format != NumberFormat::F32 => {
                    return Err(refuse(format!("it has a codebook, but its weights are {format}, not f32")));
                }
                WeightCode::Codebook(values) => check_codebook(values, weight).map_err(refuse)?,
            }
        }
        let is_half = |layer: &&Layer| has_kernel(&layer.op) && layer.precision.weights == NumberFormat::F16;
        for layer in self.architecture.layers.iter().filter(is_half) {
            let name = format!("{}.weight", layer.name);
            let Some(weight) = self.arrays.get(&name) else { continue };
            if let Some(index) = weight.data.iter().position(|weight| !f16::from_f32(*weight).is_finite()) {
                let expected = "a magnitude below 65520, the largest that half precision represents";
                return Err(ExportError::ArrayValue { name, index, value: weight.data[index], expected });
            }
        }
        Ok(())
    }

    /// Returns the bytes that the weights take in exported files: weights, codebooks, biases and scales, but
    /// no names.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        let live = self.architecture.live();
        let bytes = |id: LayerId| {
            let layer = self.architecture.layer(id);
            let counts = self.architecture.layer_counts(id);
            match self.weight_codes.get(&layer.name) {
                Some(WeightCode::Codebook(values)) => {
                    let weight = self.arrays.get(&format!("{}.weight", layer.name));
                    let weights = weight.map_or(0, |weight| weight.data.len());
                    let packed = (weights * index_bits(values.len())).div_ceil(8) + 4 * values.len();
                    counts.weight_bytes - 4 * weights as u64 + packed as u64
                }
                _ => counts.weight_bytes,
            }
        };
        self.architecture.ids().filter(|id| live[id.0]).map(bytes).sum()
    }
}

/// Number of bits of an index into a codebook of `values` values: 1, 2, 4 or 8.
pub(crate) const fn index_bits(values: usize) -> usize {
    match values {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        _ => 8,
    }
}

/// Packs indices of `bits` bits into bytes. The bytes are divided into `8 / bits` planes: plane `p` has the
/// bits from `p * bits` on, and contains consecutive indices. The last plane is filled up with zeros.
pub(crate) fn pack(indices: &[u8], bits: usize) -> Vec<u8> {
    let planes = 8 / bits;
    let length = indices.len().div_ceil(planes);
    let mut bytes = vec![0; length];
    for (plane, part) in indices.chunks(length.max(1)).enumerate() {
        for (byte, index) in bytes.iter_mut().zip(part) {
            *byte |= index << (plane * bits);
        }
    }
    bytes
}

/// Returns the `count` indices that [`pack`] packed.
pub(crate) fn unpack(bytes: &[u8], bits: usize, count: usize) -> Vec<u8> {
    let mask = ((1_u16 << bits) - 1) as u8;
    let planes =
        (0..8 / bits).flat_map(|plane| bytes.iter().map(move |byte| (byte >> (plane * bits)) & mask));
    planes.take(count).collect()
}

/// Returns the position of the value nearest to `weight`. If two are equally near, returns the lower one.
pub(crate) fn nearest(values: &[f32], weight: f32) -> usize {
    let after = values.partition_point(|value| *value < weight);
    match (after.checked_sub(1), values.get(after)) {
        (None, _) => 0,
        (Some(before), None) => before,
        (Some(before), Some(next)) => {
            let (below, above) =
                (f64::from(weight) - f64::from(values[before]), f64::from(*next) - f64::from(weight));
            if below <= above { before } else { after }
        }
    }
}

/// Whether an operation has weights that can be stored in a narrow format.
pub(super) const fn has_kernel(op: &Op) -> bool {
    matches!(op, Op::Conv2d { .. } | Op::Linear { .. })
}

/// The weights of each output channel.
fn rows(weight: &Array) -> std::slice::ChunksExact<'_, f32> {
    let outputs = weight.shape.first().copied().unwrap_or(1).max(1);
    weight.data.chunks_exact((weight.data.len() / outputs).max(1))
}

fn check_steps(steps: &[f32], channels: usize) -> Result<(), String> {
    if steps.len() != channels {
        return Err(format!(
            "it has {} steps, expected {channels}, one for each output channel",
            steps.len()
        ));
    }
    match steps.iter().find(|step| !(step.is_finite() && **step > 0.0)) {
        Some(step) => Err(format!("it has a step of `{step}`, expected a positive number")),
        None => Ok(()),
    }
}

fn check_codebook(values: &[f32], weights: &[f32]) -> Result<(), String> {
    if values.is_empty() || values.len() > CODEBOOK_MAX {
        return Err(format!("its codebook has {} values, expected 1 to {CODEBOOK_MAX}", values.len()));
    }
    if values.iter().any(|value| !value.is_finite()) || !values.is_sorted_by(|a, b| a < b) {
        return Err("the values of its codebook are not finite numbers in ascending order".to_owned());
    }
    let is_listed = |weight: &f32| values[nearest(values, *weight)].total_cmp(weight).is_eq();
    match weights.iter().find(|weight| !is_listed(weight)) {
        Some(weight) => Err(format!("its weight `{weight}` is not in its codebook")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn nearest_equals_search_over_all_values() {
        let values = [-1.5_f32, -0.25, 0.0, 0.5, 3.0];
        for i in -40..80 {
            let weight = i as f32 * 0.05;
            let all = values.iter().enumerate();
            let best = all.min_by(|a, b| (a.1 - weight).abs().total_cmp(&(b.1 - weight).abs())).unwrap().0;
            let found = nearest(&values, weight);
            assert!((values[found] - weight).abs() <= (values[best] - weight).abs() + 1e-6, "{weight}");
        }
        assert_eq!(nearest(&[0.0, 1.0], 0.5), 0, "of two equally near values, the lower one");
    }

    #[test]
    fn indices_are_unpacked_as_packed() {
        for bits in [1, 2, 4, 8] {
            for count in [1, 2, 3, 4, 7, 8, 9, 31, 64] {
                let indices: Vec<u8> = (0..count).map(|i| (i * 7 % (1_usize << bits)) as u8).collect();
                let bytes = pack(&indices, bits);
                assert_eq!(bytes.len(), (count * bits).div_ceil(8), "{bits} bits, {count} indices");
                assert_eq!(unpack(&bytes, bits, count), indices, "{bits} bits, {count} indices");
            }
        }
        assert_eq!(pack(&[1, 2, 3, 4], 4), [0x31, 0x42]);
    }

    #[test]
    fn stored_weights_match_hand_computation() {
        let mut model = testing::perceptron();
        model.arrays.get_mut("head.weight").unwrap().data[..3].copy_from_slice(&[0.1, -3.0, 1.0 / 3.0]);
        let head = model.architecture.layers.len() - 1;
        for (format, expected) in [
            (NumberFormat::F16, [0.099_975_586, -3.0, 0.333_251_95]),
            (NumberFormat::Bf16, [0.100_097_656, -3.0, 0.333_984_38]),
        ] {
            model.architecture.layers[head].precision.weights = format;
            assert!(stores_narrow_weights(&model.architecture));
            let rounded = rounded_arrays(&model.architecture, &model.arrays, &model.weight_codes);
            assert_eq!(rounded["head.weight"].data[..3], expected, "{format}");
            assert_eq!(rounded["head.bias"], model.arrays["head.bias"]);
        }
        model.architecture.layers[head].precision.weights = NumberFormat::Int4;
        let stored = &stored_weights(&model)[&LayerId(head)];
        let StoredWeights::Integers { integers, steps, .. } = stored else { panic!("{stored:?}") };
        assert_eq!(integers[1], -7);
        assert!(steps[0] > 0.0 && steps[0] <= 3.0 / 7.0);
    }

    #[test]
    fn check_names_layer_of_wrong_code() {
        let refused = |change: &dyn Fn(&mut TrainedModel)| {
            let mut model = testing::perceptron();
            change(&mut model);
            model.check().unwrap_err().to_string()
        };
        let code = |layer: &str, code: WeightCode| {
            let layer = layer.to_owned();
            move |model: &mut TrainedModel| drop(model.weight_codes.insert(layer.clone(), code.clone()))
        };
        assert_eq!(
            refused(&code("norm", WeightCode::Codebook(vec![0.0]))),
            "the weight code of layer `norm` cannot be used: it is not a convolution or fully connected layer"
        );
        assert_eq!(
            refused(&code("head", WeightCode::Steps(vec![1.0; 3]))),
            "the weight code of layer `head` cannot be used: it has steps, but its weights are f32"
        );
        let said = refused(&code("head", WeightCode::Codebook(vec![0.0, 1.0])));
        assert!(said.ends_with("is not in its codebook"), "{said}");
        let said = refused(&code("head", WeightCode::Codebook(vec![1.0, 0.0])));
        assert!(said.ends_with("not finite numbers in ascending order"), "{said}");
        let said = refused(&|model| {
            model.architecture.layers.last_mut().unwrap().precision.weights = NumberFormat::F16;
            model.arrays.get_mut("head.weight").unwrap().data[1] = 7e4;
        });
        assert!(said.contains("`head.weight` holds `70000` at position 1"), "{said}");
    }
}
