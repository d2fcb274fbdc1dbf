//! Exports to ONNX, an open format that most runtimes on servers, phones and small devices read.

pub(crate) mod arrays;
mod graph;
mod layers;
mod narrow;
mod optimize;
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

use crate::quantization::{Formats, check_precision};
use crate::{ExportError, Exporter, ExporterPart, GraphOptimization, ReadBack, TrainedModel, folded};
use proto::tensor_proto::DataType;
use proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};
pub use reading::OnnxError;

/// Name of the graph's input.
const INPUT: &str = "input";

/// Version of the operator set.
const OPSET: i64 = 17;
/// Version of the file format that belongs to this operator set.
const IR_VERSION: i64 = 8;
/// Version of the operator set that files with 4-bit integers need, and the version of the file format that
/// belongs to it.
const OPSET_INT4: i64 = 21;
const IR_VERSION_INT4: i64 = 10;
/// Protobuf's limit for the size of a message, in bytes.
const LIMIT: usize = i32::MAX as usize;

/// Writes ONNX files with operator set 17, in every number format but `bf16`. Files with 4-bit integers have
/// operator set 21, because earlier ones have no such integers.
///
/// # Shapes
/// - Input `input`: raw values, `[batch, channels, height, width]`, or `[batch, features]` if the
///   architecture's input is a vector `[features, 1, 1]`.
/// - Output for classification: `logits`, with shape `[batch, classes]`.
/// - Output for regression: `values`, with shape `[batch, values]`, each value in its own unit.
///
/// The file accepts any batch size.
///
/// # Optimization
/// Batch normalizations are folded into the convolutions and fully connected layers before them. Identities,
/// sums with constant zeros and repeated rounding are removed. Equal constants are shared. The card states
/// the counts of nodes and bytes before and after ([`GraphOptimization`]). In single precision, outputs
/// differ by rounding errors only; layers that compute in integers give the same bits.
///
/// # Names
/// The last node of a layer has the layer's name. Arrays in single precision are named `<layer>.<part>` (see
/// [`TrainedModel`]). All other names are short numbers, because names would take more bytes than the weights
/// of small networks. The file states no shapes inside the graph; shape inference finds all of them. The
/// first two nodes normalize the raw input.
///
/// # Layers that compute in integers
/// Every rounded value ([`crate::QuantizationPlan`]) passes through `QuantizeLinear` and `DequantizeLinear`.
/// Weights and biases are integers, and pass through `DequantizeLinear` with a step for each output channel.
/// Batch normalizations are folded into them. Weights are signed. Activations are unsigned, and their
/// integers are 128 higher than on their [`crate::Grid`]. If every activation has the zero point 0,
/// activations are signed, as `TensorRT` demands. ONNX Runtime computes 8-bit layers in integers, and layers
/// with 4-bit weights in single precision.
///
/// # Weights in narrow formats
/// `Cast` widens weights in half precision, `DequantizeLinear` integers, and `Gather` codebooks. The layer
/// itself computes in single precision.
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

    /// Writes a network that will be trained: with its batch normalizations, and without any optimization.
    ///
    /// # Errors
    /// [`ExportError`] when the model is invalid or writing fails.
    pub fn write_layers(model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError> {
        model.check()?;
        check_precision(model, "ONNX", Formats::Narrow)?;
        out.write_all(&model_proto(model, layers::graph(model))?.encode_to_vec())?;
        Ok(())
    }
}

impl Exporter for Onnx {
    fn extension(&self) -> &'static str {
        "onnx"
    }

    fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError> {
        model.check()?;
        check_precision(model, "ONNX", Formats::Narrow)?;
        let proto = model_proto(model, graph(model))?;
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

    fn written(&self, model: &TrainedModel) -> TrainedModel {
        folded(model)
    }

    fn optimization(&self, model: &TrainedModel) -> Result<Option<GraphOptimization>, ExportError> {
        model.check()?;
        check_precision(model, "ONNX", Formats::Narrow)?;
        let size = |graph: GraphProto| {
            let nodes = graph.node.len() as u64;
            Ok::<_, ExportError>((nodes, model_proto(model, graph)?.encoded_len() as u64))
        };
        let (nodes_before, bytes_before) = size(layers::graph(model))?;
        let (nodes, bytes) = size(graph(model))?;
        Ok(Some(GraphOptimization { nodes_before, nodes, bytes_before, bytes }))
    }
}

/// Builds the graph of a checked model and optimizes it. Arrays in single precision keep their names, and the
/// last node of each layer the name of the layer.
fn graph(model: &TrainedModel) -> GraphProto {
    let model = folded(model);
    let mut graph = layers::graph(&model);
    let layers = model.architecture.layers.iter().map(|layer| layer.name.clone()).collect();
    optimize::optimize(&mut graph, &model.arrays.keys().cloned().collect(), &layers);
    graph
}

fn json(part: &'static str, value: &impl Serialize) -> Result<String, ExportError> {
    serde_json::to_string(value).map_err(|source| ExportError::Json { part, source })
}

fn model_proto(model: &TrainedModel, graph: GraphProto) -> Result<ModelProto, ExportError> {
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
    let has_int4 = graph.initializer.iter().any(|tensor| tensor.data_type() == i32::from(DataType::Int4));
    let (opset, ir_version) = if has_int4 { (OPSET_INT4, IR_VERSION_INT4) } else { (OPSET, IR_VERSION) };
    Ok(ModelProto {
        ir_version: Some(ir_version),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
        producer_name: Some("kiln".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph),
        metadata_props,
        ..ModelProto::default()
    })
}
