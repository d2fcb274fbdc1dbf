//! Builds an ONNX graph: unique names, initializers, nodes and the shapes of values.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::Shape;

use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

/// Arrangement of a value's dimensions in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// `[batch, channels, height, width]`.
    Map,
    /// `[batch, features]`.
    Vector,
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub(super) struct GraphValue {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) rank: Rank,
}

/// A graph under construction.
pub(super) struct GraphBuilder {
    graph: GraphProto,
    names: BTreeSet<String>,
    scalars: BTreeMap<&'static str, String>,
    /// Names of the constants that layers share.
    shared: BTreeSet<String>,
}

impl GraphBuilder {
    /// Creates an empty graph. The caller itself uses the `reserved` names, so `unique` avoids them.
    pub(super) fn new(name: &str, reserved: BTreeSet<String>) -> Self {
        let graph = GraphProto { name: Some(name.to_owned()), ..GraphProto::default() };
        Self { graph, names: reserved, scalars: BTreeMap::new(), shared: BTreeSet::new() }
    }

    /// Returns `wanted`, with a number appended if that name is already in use.
    pub(super) fn unique(&mut self, wanted: &str) -> String {
        let numbered = (1..).map(|number| format!("{wanted}_{number}"));
        let name = std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !self.names.contains(name))
            .expect("there are more numbers than names");
        self.names.insert(name.clone());
        name
    }

    /// Appends a node with one output.
    pub(super) fn node(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: Some(name.to_owned()),
            op_type: Some(op_type.to_owned()),
            attribute,
            ..NodeProto::default()
        });
    }

    /// Adds an array of single-precision numbers.
    pub(super) fn array(&mut self, name: &str, shape: &[usize], data: &[f32]) {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, DataType::Float, shape, bytes));
    }

    /// Adds a list of integers.
    pub(super) fn integers(&mut self, name: &str, data: &[i64]) {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, DataType::Int64, &[data.len()], bytes));
    }

    /// Adds an array of unsigned 8-bit integers.
    pub(super) fn unsigned(&mut self, name: &str, shape: &[usize], data: &[u8]) {
        self.graph.initializer.push(tensor(name, DataType::Uint8, shape, data.to_vec()));
    }

    /// Adds an array of numbers in half precision, given as bits.
    pub(super) fn half(&mut self, name: &str, shape: &[usize], data: &[u16]) {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, DataType::Float16, shape, bytes));
    }

    /// Adds an array of 4-bit integers. The first of two integers is in the lower bits of their byte.
    pub(super) fn nibbles(&mut self, name: &str, shape: &[usize], data: &[i8]) {
        let nibble = |value: Option<&i8>| value.map_or(0, |value| value.cast_unsigned() & 15);
        let bytes = data.chunks(2).map(|pair| nibble(pair.first()) | nibble(pair.get(1)) << 4).collect();
        self.graph.initializer.push(tensor(name, DataType::Int4, shape, bytes));
    }

    /// Returns the name of an array of unsigned 8-bit integers that layers share.
    pub(super) fn shared_bytes(&mut self, name: &str, shape: &[usize], data: &[u8]) -> String {
        if self.shared.insert(name.to_owned()) {
            self.names.insert(name.to_owned());
            self.unsigned(name, shape, data);
        }
        name.to_owned()
    }

    /// Returns the name of a list of integers that layers share.
    pub(super) fn shared_integers(&mut self, name: &str, data: &[i64]) -> String {
        if self.shared.insert(name.to_owned()) {
            self.names.insert(name.to_owned());
            self.integers(name, data);
        }
        name.to_owned()
    }

    /// Adds an array of 8-bit integers.
    pub(super) fn bytes(&mut self, name: &str, shape: &[usize], data: &[i8]) {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, DataType::Int8, shape, bytes));
    }

    /// Adds a list of 32-bit integers.
    pub(super) fn words(&mut self, name: &str, data: &[i32]) {
        let bytes = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, DataType::Int32, &[data.len()], bytes));
    }

    /// Returns the name of a scalar constant. Nodes with the same label share one constant.
    pub(super) fn scalar(&mut self, label: &'static str, value: f32) -> String {
        if let Some(name) = self.scalars.get(label) {
            return name.clone();
        }
        let name = self.unique(&format!("constant.{label}"));
        self.array(&name, &[], &[value]);
        self.scalars.insert(label, name.clone());
        name
    }

    /// Declares the type of a value inside the graph.
    pub(super) fn declare(&mut self, value: &GraphValue) {
        self.graph.value_info.push(value_info(value));
    }

    /// Returns the complete graph with its input and output.
    pub(super) fn finish(mut self, input: &GraphValue, output: &GraphValue) -> GraphProto {
        self.graph.input.push(value_info(input));
        self.graph.output.push(value_info(output));
        self.graph
    }
}

/// Creates an integer attribute.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// Creates an attribute that contains a list of integers.
pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|value| *value as i64).collect();
    AttributeProto { ints, ..attribute(name, AttributeType::Ints) }
}

/// Creates a floating-point attribute.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

/// Creates a text attribute.
pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, AttributeType::String) }
}

/// Creates an attribute that contains a tensor with a single zero.
pub(super) fn zero_tensor(name: &str) -> AttributeProto {
    let zero = tensor("", DataType::Float, &[1], 0.0_f32.to_le_bytes().to_vec());
    AttributeProto { t: Some(zero), ..attribute(name, AttributeType::Tensor) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind.into()), ..AttributeProto::default() }
}

fn tensor(name: &str, kind: DataType, shape: &[usize], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: shape.iter().map(|size| *size as i64).collect(),
        data_type: Some(kind.into()),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

fn value_info(value: &GraphValue) -> ValueInfoProto {
    let Shape { channels, height, width } = value.shape;
    let sizes: &[usize] = match value.rank {
        Rank::Map => &[channels, height, width],
        Rank::Vector => &[channels],
    };
    let batch = dimension::Value::DimParam("batch".to_owned());
    let dim = std::iter::once(batch)
        .chain(sizes.iter().map(|size| dimension::Value::DimValue(*size as i64)))
        .map(|value| Dimension { value: Some(value), ..Dimension::default() })
        .collect();
    let tensor =
        type_proto::Tensor { elem_type: Some(DataType::Float.into()), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: Some(value.name.clone()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
