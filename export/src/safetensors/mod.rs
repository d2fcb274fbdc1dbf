//! Exports to safetensors, a common exchange format that contains the arrays of a network by name.

mod arrays;
pub(crate) mod read_back;
mod reading;

use std::collections::BTreeMap;
use std::io;

use ::safetensors::tensor::TensorInfo;
use serde::Serialize;

use self::arrays::stored_arrays;
pub use self::reading::read_safetensors;
use crate::{ExportError, Exporter, ExporterPart, ReadBack, TrainedModel};

/// Maximum size of a header in bytes. Other programs refuse larger headers.
const HEADER_LIMIT: u64 = 100_000_000;

/// Writes every array in single precision under its name `<layer>.<part>` (see [`TrainedModel`]).
///
/// If a layer computes in integers, the arrays below replace the layer's own arrays. They also replace the
/// arrays of the batch normalization that is folded into the layer.
///
/// | part | type and shape | contents |
/// |---|---|---|
/// | `weight_int8` | `I8`, same shape as `weight` | weights from -127 to 127 |
/// | `weight_step` | `F32 [out]` | value of one unit of a weight |
/// | `bias_int32` | `I32 [out]` | the bias, in units of `bias_step` |
/// | `bias_step` | `F32 [out]` | value of one unit of the bias and of sums of `weight * (input - zero_point)` |
///
/// Other formats of weights:
///
/// | format | parts instead of `weight` |
/// |---|---|
/// | `f16`, `bf16` | `weight` in `F16` or `BF16` |
/// | `int8` with activations in single precision | `weight_int8` and `weight_step` |
/// | `int4` | `weight_int4` (`U8 [bytes]`, two integers a byte, lower bits first) and `weight_step` |
/// | codebook | `weight_codebook` (`F32 [values]`) and `weight_indices` (`U8 [bytes]`) |
///
/// Indices have 1, 2, 4 or 8 bits: the fewest with which they reach every value. The lowest bits of all bytes
/// contain the first indices, the next bits of all bytes the following ones, and so on.
///
/// Each layer that owns a quantization grid ([`crate::Grid`]) also has the arrays `step` (`F32 []`) and
/// `zero_point` (`I8 []`). [`crate::Onnx`] uses the same names.
///
/// All metadata are strings. They state how to use the arrays:
/// - `name`, `genotype`, `data`, `training`, `seed` and `metrics`.
/// - `classes` (classification) or `values` (regression): a JSON list of the outputs' names.
/// - `input`: the meaning of a raw value. `input_shape`: `[channels, height, width]`.
/// - `mean` and `deviation`: JSON lists with an entry per input channel. The network takes `(raw - mean) /
///   deviation`.
/// - `inputs`: a JSON list of [`crate::InputRecord`].
/// - `reading`: how files become examples, as JSON.
/// - `target_offsets`: a JSON list of offsets that must be added to the outputs.
/// - `architecture`: the layers, as JSON.
///
/// Equal networks lead to equal files, because arrays and metadata are sorted by name. The crate
/// `safetensors` orders metadata randomly, so its writer is not used.
///
/// Source: the description of the format, <https://huggingface.co/docs/safetensors>.
#[derive(Clone, Copy, Debug, Default)]
pub struct Safetensors;

/// The header of a file. The fields are in the order in which they are written.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

impl Safetensors {
    /// The registry entry of this export format.
    pub(crate) const PART: ExporterPart =
        ExporterPart::new("safetensors, the arrays alone", || Box::new(Self))
            .tested_with(ReadBack::File(read_back::arrays));
}

impl Exporter for Safetensors {
    fn extension(&self) -> &'static str {
        "safetensors"
    }

    fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError> {
        model.check()?;
        let arrays = stored_arrays(model);
        let mut offset = 0;
        let tensors = arrays.iter().map(|(name, array)| {
            let end = offset + array.bytes.len();
            let info =
                TensorInfo { dtype: array.dtype, shape: array.shape.clone(), data_offsets: (offset, end) };
            offset = end;
            (name.as_str(), info)
        });
        let header = Header { tensors: tensors.collect(), metadata: metadata(model)? };
        let mut header = serde_json::to_vec(&header).map_err(as_header_error)?;
        // Other programs map the values into memory, so the values must start at a multiple of eight bytes.
        header.resize(header.len().next_multiple_of(8), b' ');
        let bytes = header.len() as u64;
        if bytes > HEADER_LIMIT {
            let format = "the header of the safetensors file";
            return Err(ExportError::TooLarge { format, bytes, limit: HEADER_LIMIT });
        }
        out.write_all(&bytes.to_le_bytes())?;
        out.write_all(&header)?;
        for array in arrays.values() {
            out.write_all(&array.bytes)?;
        }
        Ok(())
    }
}

fn metadata(model: &TrainedModel) -> Result<BTreeMap<&'static str, String>, ExportError> {
    fn json(value: &impl Serialize) -> Result<String, ExportError> {
        serde_json::to_string(value).map_err(as_header_error)
    }
    let card = &model.card;
    let input = model.architecture.input;
    Ok(BTreeMap::from([
        ("architecture", json(&model.architecture)?),
        (card.predicts.subjects(), json(&card.classes)?),
        ("data", card.data.clone()),
        ("deviation", json(&card.preprocessing.deviation)?),
        ("genotype", card.genotype.clone()),
        ("input", card.preprocessing.input.clone()),
        ("inputs", json(&card.preprocessing.inputs)?),
        ("input_shape", json(&[input.channels, input.height, input.width])?),
        ("mean", json(&card.preprocessing.mean)?),
        ("metrics", json(&card.metrics)?),
        ("name", card.name.clone()),
        ("reading", json(&card.preprocessing.reading)?),
        ("seed", card.seed.to_string()),
        ("target_offsets", json(&card.preprocessing.target_offsets)?),
        ("training", card.training.clone()),
    ]))
}

fn as_header_error(source: serde_json::Error) -> ExportError {
    ExportError::Json { part: "header of the safetensors file", source }
}

#[cfg(test)]
mod tests {
    use ::safetensors::SafeTensors;

    use super::*;
    use crate::testing;

    #[test]
    fn metadata_describe_name_shape_classes_and_architecture() {
        let model = testing::perceptron();
        let mut bytes = Vec::new();
        Safetensors.export(&model, &mut bytes).unwrap();
        let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert!(header.is_multiple_of(8));
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!(metadata["name"], "samples/5");
        assert_eq!(metadata["input_shape"], "[5,1,1]");
        assert_eq!(metadata["classes"], r#"["class 0","class 1","class 2"]"#);
        assert!(!metadata.contains_key("values"));
        let mean: Vec<f32> = serde_json::from_str(&metadata["mean"]).unwrap();
        assert_eq!(mean, model.card.preprocessing.mean);
        let architecture: kiln_space::Architecture = serde_json::from_str(&metadata["architecture"]).unwrap();
        assert_eq!(architecture, model.architecture);
    }

    #[test]
    fn metadata_of_regression_have_values_and_no_classes() {
        let mut model = testing::perceptron();
        model.card.predicts = crate::Prediction::Values;
        model.card.classes = ["speed", "share", "weight"].map(str::to_owned).to_vec();
        let mut bytes = Vec::new();
        Safetensors.export(&model, &mut bytes).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!(metadata["values"], r#"["speed","share","weight"]"#);
        assert!(!metadata.contains_key("classes"));
    }
}
