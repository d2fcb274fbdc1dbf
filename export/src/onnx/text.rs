//! Reads an ONNX file back as text, for the golden tests.

use std::collections::BTreeMap;
use std::fmt::Write;

use prost::Message;

use super::arrays::floats;
use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension;
use super::proto::{AttributeProto, ModelProto, TensorProto, ValueInfoProto, type_proto};

/// Describes the file in lines of text: the opset, the input, every node with the shape of its output, the
/// output, and every initializer with its shape.
///
/// # Panics
/// When the bytes are not an ONNX file with a graph.
#[must_use]
pub fn graph_text(bytes: &[u8]) -> String {
    let model = ModelProto::decode(bytes).expect("the bytes are an ONNX file");
    let graph = model.graph.as_ref().expect("the file has a graph");
    let mut shapes = BTreeMap::new();
    for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        shapes.insert(value.name(), shape(value));
    }
    let mut lines = Vec::new();
    for opset in &model.opset_import {
        lines.push(format!("opset {}", opset.version()));
    }
    for input in &graph.input {
        lines.push(format!("input {} {}", input.name(), shape(input)));
    }
    for node in &graph.node {
        let output = node.output.join(", ");
        let mut line = format!("{}: {} = {}({})", node.name(), output, node.op_type(), node.input.join(", "));
        for attribute in &node.attribute {
            write!(line, " {}={}", attribute.name(), attribute_text(attribute)).expect("a string takes all");
        }
        if let Some(shape) = shapes.get(output.as_str()) {
            write!(line, " -> {shape}").expect("a string takes all");
        }
        lines.push(line);
    }
    for output in &graph.output {
        lines.push(format!("output {} {}", output.name(), shape(output)));
    }
    for tensor in &graph.initializer {
        lines.push(format!("initializer {} {}", tensor.name(), tensor_text(tensor)));
    }
    lines.join("\n") + "\n"
}

fn shape(value: &ValueInfoProto) -> String {
    let Some(type_proto::Value::TensorType(tensor)) =
        value.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return "of no tensor type".to_owned();
    };
    let sizes = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dimension| match &dimension.value {
        Some(dimension::Value::DimValue(size)) => size.to_string(),
        Some(dimension::Value::DimParam(name)) => name.clone(),
        None => "?".to_owned(),
    });
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

fn attribute_text(attribute: &AttributeProto) -> String {
    match attribute.r#type() {
        AttributeType::Int => attribute.i().to_string(),
        AttributeType::Float => attribute.f().to_string(),
        AttributeType::Ints => format!("{:?}", attribute.ints),
        AttributeType::Tensor => {
            let data = attribute.t.as_ref().map(|tensor| floats(tensor.raw_data()));
            format!("{:?}", data.unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

/// Describes a tensor by its shape. For integers and scalars, the values follow.
fn tensor_text(tensor: &TensorProto) -> String {
    let bytes = tensor.raw_data();
    if tensor.data_type() == DataType::Int64 as i32 {
        let values: Vec<i64> = bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
        return format!("{:?} = {values:?}", tensor.dims);
    }
    if tensor.data_type() == DataType::Uint8 as i32 {
        return format!("{:?} = {bytes:?}", tensor.dims);
    }
    if tensor.dims.is_empty() {
        return format!("[] = {:?}", floats(bytes));
    }
    format!("{:?}", tensor.dims)
}
