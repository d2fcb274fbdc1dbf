//! The arrays of a file: single-precision arrays, integers, half precision and codebooks.

use std::collections::BTreeMap;

use ::safetensors::Dtype;

use kiln_space::NumberFormat;

use crate::{
    Array, Grid, QuantizedKernel, QuantizedNetwork, StoredWeights, TrainedModel, index_bits, pack,
    stored_weights,
};

/// An array as it is written to the file, in little-endian bytes.
#[derive(Debug, PartialEq)]
pub(super) struct StoredArray {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

impl StoredArray {
    fn floats(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    fn bytes(shape: &[usize], values: &[i8]) -> Self {
        let bytes = values.iter().map(|value| value.cast_unsigned()).collect();
        Self { dtype: Dtype::I8, shape: shape.to_vec(), bytes }
    }

    fn halves(dtype: Dtype, shape: &[usize], values: &[u16]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype, shape: shape.to_vec(), bytes }
    }

    fn packed(bytes: Vec<u8>) -> Self {
        Self { dtype: Dtype::U8, shape: vec![bytes.len()], bytes }
    }

    fn words(shape: &[usize], values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::I32, shape: shape.to_vec(), bytes }
    }
}

/// Returns the arrays of a valid model by name. Names of parts contain no dots, so array names are unique.
pub(super) fn stored_arrays(model: &TrainedModel) -> BTreeMap<String, StoredArray> {
    let integers = QuantizedNetwork::of(model);
    let layer = |id| model.architecture.layer(id).name.as_str();
    let replaced: Vec<&str> = integers
        .plan
        .kernels()
        .flat_map(|(id, norm)| std::iter::once(layer(id)).chain(norm.map(layer)))
        .collect();
    let is_kept = |name: &str| name.rsplit_once('.').is_none_or(|(layer, _)| !replaced.contains(&layer));
    let kept = model.arrays.iter().filter(|(name, _)| is_kept(name));
    let mut arrays: BTreeMap<String, StoredArray> =
        kept.map(|(name, array)| (name.clone(), StoredArray::from(array))).collect();
    for (id, kernel) in &integers.kernels {
        put(&mut arrays, layer(*id), kernel_parts(kernel));
    }
    for (id, stored) in stored_weights(model) {
        let weight = arrays.remove(&format!("{}.weight", layer(id)));
        let shape = weight.map_or_else(Vec::new, |weight| weight.shape);
        put(&mut arrays, layer(id), stored_parts(&stored, &shape));
    }
    for (owner, grid) in &model.quantization {
        put(&mut arrays, owner, grid_parts(*grid));
    }
    arrays
}

impl From<&Array> for StoredArray {
    fn from(array: &Array) -> Self {
        Self::floats(&array.shape, &array.data)
    }
}

fn put(arrays: &mut BTreeMap<String, StoredArray>, layer: &str, parts: Vec<(&str, StoredArray)>) {
    arrays.extend(parts.into_iter().map(|(part, array)| (format!("{layer}.{part}"), array)));
}

/// The parts that replace the weights of a layer that computes in single precision.
fn stored_parts(stored: &StoredWeights, shape: &[usize]) -> Vec<(&'static str, StoredArray)> {
    match stored {
        StoredWeights::Half(bits) => vec![("weight", StoredArray::halves(Dtype::F16, shape, bits))],
        StoredWeights::Brain(bits) => vec![("weight", StoredArray::halves(Dtype::BF16, shape, bits))],
        StoredWeights::Integers { format, integers, steps } => vec![
            integers_part(*format, shape, integers),
            ("weight_step", StoredArray::floats(&[steps.len()], steps)),
        ],
        StoredWeights::Codebook { indices, values } => vec![
            ("weight_indices", StoredArray::packed(pack(indices, index_bits(values.len())))),
            ("weight_codebook", StoredArray::floats(&[values.len()], values)),
        ],
    }
}

/// Integer weights. The format has no 4-bit integers, so two are in a byte, the first in the lower bits.
fn integers_part(format: NumberFormat, shape: &[usize], integers: &[i8]) -> (&'static str, StoredArray) {
    let nibble = |value: Option<&i8>| value.map_or(0, |value| value.cast_unsigned() & 15);
    let pair = |pair: &[i8]| nibble(pair.first()) | nibble(pair.get(1)) << 4;
    match format {
        NumberFormat::Int4 => ("weight_int4", StoredArray::packed(integers.chunks(2).map(pair).collect())),
        _ => ("weight_int8", StoredArray::bytes(shape, integers)),
    }
}

fn kernel_parts(kernel: &QuantizedKernel) -> Vec<(&'static str, StoredArray)> {
    let outputs = [kernel.scales.len()];
    vec![
        integers_part(kernel.format, &kernel.shape, &kernel.weights),
        ("weight_step", StoredArray::floats(&outputs, &kernel.scales)),
        ("bias_int32", StoredArray::words(&outputs, &kernel.bias)),
        ("bias_step", StoredArray::floats(&outputs, &kernel.bias_scales)),
    ]
}

fn grid_parts(grid: Grid) -> Vec<(&'static str, StoredArray)> {
    vec![
        ("step", StoredArray::floats(&[], &[grid.scale])),
        ("zero_point", StoredArray::bytes(&[], &[grid.zero_point])),
    ]
}

#[cfg(test)]
mod tests {
    use ::safetensors::SafeTensors;

    use super::*;
    use crate::testing;
    use crate::{Exporter, Safetensors};

    type Shapes = BTreeMap<String, (Dtype, Vec<usize>)>;

    /// Exports a model. Returns the types and shapes of the arrays in the file, and the file's bytes.
    fn read(model: &TrainedModel) -> (Shapes, Vec<u8>) {
        let mut bytes = Vec::new();
        Safetensors.export(model, &mut bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let arrays =
            file.iter().map(|(name, array)| (name.to_owned(), (array.dtype(), array.shape().to_vec())));
        (arrays.collect(), bytes)
    }

    #[test]
    fn layers_of_8_bits_are_stored_as_integers() {
        let model = testing::quantized(&testing::perceptron(), &[]);
        let (found, bytes) = read(&model);
        let f32s = |shape: &[usize]| (Dtype::F32, shape.to_vec());
        let i8s = |shape: &[usize]| (Dtype::I8, shape.to_vec());
        let expected = [
            ("act.step", f32s(&[])),
            ("act.zero_point", i8s(&[])),
            ("head.bias_int32", (Dtype::I32, vec![3])),
            ("head.bias_step", f32s(&[3])),
            ("head.weight_int8", i8s(&[3, 5])),
            ("head.weight_step", f32s(&[3])),
            ("input.step", f32s(&[])),
            ("input.zero_point", i8s(&[])),
            ("norm.mean", f32s(&[5])),
            ("norm.scale", f32s(&[5])),
            ("norm.shift", f32s(&[5])),
            ("norm.variance", f32s(&[5])),
        ];
        assert_eq!(found, expected.map(|(name, array)| (name.to_owned(), array)).into());
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let network = QuantizedNetwork::of(&model);
        let kernel = network.kernels.values().next().unwrap();
        let weights: Vec<u8> = kernel.weights.iter().map(|weight| weight.cast_unsigned()).collect();
        assert_eq!(file.tensor("head.weight_int8").unwrap().data(), weights);
        let step = file.tensor("input.step").unwrap().data().to_vec();
        assert_eq!(step, model.quantization["input"].scale.to_le_bytes());
    }

    #[test]
    fn narrow_weights_take_the_bytes_of_their_format() {
        let model = testing::perceptron();
        let head = model.architecture.layers.len() - 1;
        let bytes = |format: NumberFormat, part: &str| {
            let mut model = model.clone();
            model.architecture.layers[head].precision.weights = format;
            let (found, bytes) = read(&model);
            assert_eq!(found.contains_key("head.weight"), part == "weight", "{format}");
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let array = file.tensor(&format!("head.{part}")).unwrap();
            (array.dtype(), array.data().len())
        };
        // The head has 15 weights.
        assert_eq!(bytes(NumberFormat::F16, "weight"), (Dtype::F16, 30));
        assert_eq!(bytes(NumberFormat::Bf16, "weight"), (Dtype::BF16, 30));
        assert_eq!(bytes(NumberFormat::Int8, "weight_int8"), (Dtype::I8, 15));
        assert_eq!(bytes(NumberFormat::Int4, "weight_int4"), (Dtype::U8, 8));
        let mut model = model.clone();
        let weight = model.arrays.get_mut("head.weight").unwrap();
        weight.data.iter_mut().enumerate().for_each(|(index, weight)| *weight = (index % 3) as f32);
        let codebook = crate::WeightCode::Codebook(vec![0.0, 1.0, 2.0]);
        model.weight_codes.insert("head".to_owned(), codebook);
        let (_, bytes) = read(&model);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        // The indices are 0, 1, 2, 0, 1, ... in four planes of four, of two bits each.
        assert_eq!(
            file.tensor("head.weight_indices").unwrap().data(),
            [0b0010_0100_u8, 0b0100_1001, 0b1001_0010, 0b0010_0100]
        );
    }

    #[test]
    fn file_holds_every_array_of_a_network_once() {
        for seed in 0..40 {
            let float = testing::random_model(seed);
            for model in [testing::quantized(&float, &[]), testing::half_quantized(&float, seed)] {
                let (found, _) = read(&model);
                let network = QuantizedNetwork::of(&model);
                let folded = network.plan.kernels().filter_map(|(_, norm)| norm);
                let replaced = folded.chain(network.kernels.keys().copied());
                let replaced: Vec<&str> =
                    replaced.map(|id| model.architecture.layer(id).name.as_str()).collect();
                for name in model.arrays.keys() {
                    let layer = name.rsplit_once('.').unwrap().0;
                    assert_ne!(found.contains_key(name), replaced.contains(&layer), "seed {seed}: {name}");
                }
                let integers = found.values().filter(|(dtype, _)| *dtype == Dtype::I32).count();
                assert_eq!(integers, network.kernels.len(), "seed {seed}");
            }
        }
    }
}
