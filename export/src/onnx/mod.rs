//! Exports to ONNX, an open format that most runtimes on servers, phones and small devices read.

pub(crate) mod arrays;
mod graph;
mod layers;
mod proto;
mod quantized;
mod reading;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod text;

use std::io;

use prost::Message;
use serde::Serialize;

use crate::quantization::check_precision;
use crate::{ExportError, Exporter, ExporterPart, ReadBack, TrainedModel};
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
pub use reading::OnnxError;

/// Name of the graph's input.
const INPUT: &str = "input";

/// Version of the operator set.
const OPSET: i64 = 17;
/// Version of the file format that belongs to this operator set.
const IR_VERSION: i64 = 8;
/// Protobuf's limit for the size of a message, in bytes.
const LIMIT: usize = i32::MAX as usize;

/// Writes ONNX files with operator set 17, in single precision and in 8 bits.
///
/// # Shapes
/// - Input `input`: raw values, `[batch, channels, height, width]`, or `[batch, features]` if the
///   architecture's input is a vector `[features, 1, 1]`.
/// - Output for classification: `logits`, with shape `[batch, classes]`.
/// - Output for regression: `values`, with shape `[batch, values]`, each value in its own unit.
///
/// The file accepts any batch size.
///
/// # Names
/// A node and its value have the name of their layer. Weights are named `<layer>.<part>` (see
/// [`TrainedModel`]). If a layer becomes several nodes, the last node has the layer's name, and the others
/// are named `<layer>.<step>`. If a name is already in use, a number is appended to it. Names of weights
/// never change. The first two nodes normalize the raw input.
///
/// # 8-bit layers
/// Every rounded value ([`crate::QuantizationPlan`]) passes through two nodes, `QuantizeLinear` and
/// `DequantizeLinear`. The nodes are named `<layer>.quantize` and `<layer>.dequantize`. The constants of both
/// nodes are `<layer>.step` and `<layer>.zero_point`. Weights are named `<layer>.weight_int8` and have a step
/// per output channel. Biases are named `<layer>.bias_int32`. Batch normalizations are folded into weights
/// and biases. Weights are signed. Activations are unsigned, and their integers are 128 higher than on their
/// [`crate::Grid`].
///
/// If the input and the output of a single-precision convolution are 8-bit values, ONNX Runtime rounds the
/// convolution to 8 bits too. To avoid this, disable ONNX Runtime's graph optimizations.
///
/// # Metadata
/// Layers that the output does not depend on are omitted. The file contains these fields of the
/// [`crate::ModelCard`] as metadata: name, genotype, classes or values (a JSON list), data, training, raw
/// input and seed. From its [`crate::Preprocessing`] it contains, as JSON, `inputs` (a list of
/// [`crate::InputRecord`]), `reading` and `target_offsets`.
///
/// Source: ONNX 1.12 operators (operator set 17), <https://onnx.ai/onnx/operators>.
#[derive(Clone, Copy, Debug, Default)]
pub struct Onnx;

impl Onnx {
    /// The registry entry of this export format.
    pub(crate) const PART: ExporterPart =
        ExporterPart::new("ONNX, operator set 17, which most runtimes read", || Box::new(Self))
            .tested_with(ReadBack::File(arrays::arrays));
}

impl Exporter for Onnx {
    fn extension(&self) -> &'static str {
        "onnx"
    }

    fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError> {
        model.check()?;
        check_precision(model, "ONNX")?;
        let proto = model_proto(model)?;
        let bytes = proto.encoded_len();
        if bytes > LIMIT {
            return Err(ExportError::TooLarge {
                format: "the ONNX file",
                bytes: bytes as u64,
                limit: LIMIT as u64,
            });
        }
        out.write_all(&proto.encode_to_vec())?;
        Ok(())
    }
}

fn json(part: &'static str, value: &impl Serialize) -> Result<String, ExportError> {
    serde_json::to_string(value).map_err(|source| ExportError::Json { part, source })
}

fn model_proto(model: &TrainedModel) -> Result<ModelProto, ExportError> {
    let card = &model.card;
    let classes = json("list of classes", &card.classes)?;
    let metadata = [
        ("name", card.name.clone()),
        ("genotype", card.genotype.clone()),
        (card.predicts.subjects(), classes),
        ("data", card.data.clone()),
        ("training", card.training.clone()),
        ("input", card.preprocessing.input.clone()),
        ("inputs", json("list of inputs", &card.preprocessing.inputs)?),
        ("reading", json("reading of files", &card.preprocessing.reading)?),
        ("target_offsets", json("list of offsets", &card.preprocessing.target_offsets)?),
        ("seed", card.seed.to_string()),
    ];
    let metadata_props = metadata
        .into_iter()
        .map(|(key, value)| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) })
        .collect();
    Ok(ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        producer_name: Some("kiln".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(layers::graph(model)),
        metadata_props,
        ..ModelProto::default()
    })
}
