//! The operations of nodes.

mod activations;
mod codebooks;
mod combinations;
mod grids;
mod kernels;
mod preprocessing;
mod rearrangements;
mod zeros;

use kiln_space::{ActivationKind, Op};

use super::error::OnnxError;
use super::graph::is_standard;
use super::layers::{Held, Reading, Value, undefined};
use super::message::{Node, Tensor};
use crate::Array;
use crate::onnx::graph::Rank;

/// Operations that can be read.
const OPERATIONS: [&str; 31] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "BitShift",
    "Cast",
    "Clip",
    "Concat",
    "ConstantOfShape",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Erf",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "MaxPool",
    "Mod",
    "Mul",
    "QuantizeLinear",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Slice",
    "Sub",
    "Sum",
    "Tanh",
    "Unsqueeze",
];

/// Maximum number of bytes of weights that nodes read again, because layers with equal weights share them.
const REPEATED_MAX: u64 = 1 << 24;

impl<'a> Reading<'a> {
    /// Returns what the output of a node stands for.
    pub(super) fn node(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let operation = if is_standard(node.domain) { node.operation } else { "" };
        node.check_attributes(attributes(operation))?;
        match operation {
            "Sub" | "Div" => self.normalization(node),
            "QuantizeLinear" => self.quantize(node),
            "DequantizeLinear" => self.dequantize(node),
            "Shape" => self.batch(node),
            "ConstantOfShape" => self.zeros(node),
            "Conv" => self.convolution(node),
            "Gemm" => self.linear(node),
            "BatchNormalization" => self.batch_norm(node),
            "MaxPool" | "AveragePool" => self.pool(node),
            "GlobalAveragePool" => {
                let [x] = self.all_held(node)?;
                check_rank(node, &[x], Rank::Map)?;
                self.add(node, Op::GlobalPool, &[x], Rank::Map, None).map(Value::Layer)
            }
            "Flatten" => self.flatten(node),
            "Unsqueeze" => self.unsqueeze(node),
            "Add" | "Sum" => self.sum(node),
            "Concat" => self.concat(node),
            "Mul" => self.product(node),
            "Erf" => self.erf(node),
            "Sigmoid" => self.sigmoid(node),
            "Relu" => self.simple_activation(node, ActivationKind::Relu),
            "HardSwish" => self.simple_activation(node, ActivationKind::HardSwish),
            "Tanh" => self.simple_activation(node, ActivationKind::Tanh),
            "HardSigmoid" => self.hard_sigmoid(node),
            "Clip" => self.clip(node),
            "BitShift" => self.shift(node),
            "Mod" => self.remainder(node),
            "Cast" => self.cast(node),
            "Gather" => self.gather(node),
            "Reshape" => self.reshape(node),
            "Slice" => self.slice(node),
            _ => Err(OnnxError::Operation {
                node: node.label(),
                operation: match node.domain {
                    "" => node.operation.to_owned(),
                    domain => format!("{domain}.{}", node.operation),
                },
                known: &OPERATIONS,
            }),
        }
    }

    fn value<'b>(&'b self, node: &Node<'_>, input: usize) -> Result<&'b Value<'a>, OnnxError> {
        let name = *node.inputs.get(input).ok_or_else(|| node.inputs_error("more inputs"))?;
        if self.graph.tensors.contains_key(name) {
            return Err(node.inputs_error("the value of a node as its first input"));
        }
        self.values.get(name).ok_or_else(|| undefined(node, name))
    }

    fn tensor(&self, node: &Node<'_>, input: usize) -> Result<&'a Tensor<'a>, OnnxError> {
        let name = *node.inputs.get(input).ok_or_else(|| node.inputs_error("more inputs"))?;
        if self.values.contains_key(name) {
            return Err(node.inputs_error("an initializer where it reads the value of a node"));
        }
        self.graph.tensors.get(name).copied().ok_or_else(|| undefined(node, name))
    }

    /// The values of layers that are a node's only inputs.
    fn all_held<const N: usize>(&mut self, node: &Node<'_>) -> Result<[Held; N], OnnxError> {
        let names = <[&str; N]>::try_from(node.inputs.as_slice());
        let names = names.map_err(|_| node.inputs_error("as many inputs as Kiln writes"))?;
        let held: Vec<Held> =
            names.into_iter().map(|name| self.held(node, name)).collect::<Result<_, _>>()?;
        Ok(held.try_into().expect("there is one value for each name"))
    }

    /// One or more values of layers of one arrangement.
    fn list(&mut self, node: &Node<'_>) -> Result<Vec<Held>, OnnxError> {
        let inputs: Vec<Held> =
            node.inputs.iter().map(|name| self.held(node, name)).collect::<Result<_, _>>()?;
        let first = inputs.first().ok_or_else(|| node.inputs_error("one or more inputs"))?;
        check_rank(node, &inputs, first.rank)?;
        Ok(inputs)
    }

    /// Single-precision numbers that no other node uses.
    fn own_array(&mut self, node: &Node<'_>, input: usize) -> Result<Array, OnnxError> {
        let tensor = self.tensor(node, input)?;
        if !self.used.insert(tensor.name) {
            return Err(node.inputs_error("weights that no other node reads"));
        }
        tensor.array()
    }

    /// An initializer that layers share if they have equal ones. A limit keeps small files from stating large
    /// networks.
    fn shared_tensor(&mut self, node: &Node<'_>, input: usize) -> Result<&'a Tensor<'a>, OnnxError> {
        let tensor = self.tensor(node, input)?;
        if !self.used.insert(tensor.name) {
            self.repeated_bytes += tensor.raw.map_or(0, |bytes| bytes.len() as u64);
            if self.repeated_bytes > REPEATED_MAX {
                let what = "number of bytes of weights that several layers share";
                return Err(OnnxError::TooLarge { what, found: self.repeated_bytes, limit: REPEATED_MAX });
            }
        }
        Ok(tensor)
    }

    /// The scalar that is a node's second and last input.
    fn constant(&self, node: &Node<'_>) -> Option<f32> {
        match node.inputs.as_slice() {
            [_, name] => self.graph.tensors.get(name)?.scalar(),
            _ => None,
        }
    }

    /// Whether a node is not a layer, but the step `step` of the layer `layer`. Such nodes have no names.
    /// Earlier builds named them `<layer>.<step>`.
    fn is_step(&self, node: &Node<'_>, layer: &str, step: &str) -> bool {
        node.name.is_empty() || (self.graph.names_steps && is_numbered(node.name, layer, step))
    }
}

/// Checks the arrangement of a node's inputs.
fn check_rank(node: &Node<'_>, inputs: &[Held], rank: Rank) -> Result<(), OnnxError> {
    if inputs.iter().all(|input| input.rank == rank) {
        return Ok(());
    }
    Err(node.inputs_error(match rank {
        Rank::Map => "inputs of shape [batch, channels, height, width]",
        Rank::Vector => "inputs of shape [batch, features]",
    }))
}

/// Attributes that an operation may have.
fn attributes(operation: &str) -> &'static [&'static str] {
    match operation {
        "Conv" => &["kernel_shape", "strides", "pads", "group"],
        "Gemm" => &["transB"],
        "BatchNormalization" => &["epsilon"],
        "MaxPool" => &["kernel_shape", "strides", "pads"],
        "AveragePool" => &["kernel_shape", "strides", "pads", "count_include_pad"],
        "Flatten" | "Concat" | "DequantizeLinear" => &["axis"],
        "HardSigmoid" => &["alpha", "beta"],
        "ConstantOfShape" => &["value"],
        "Shape" => &["start", "end"],
        "BitShift" => &["direction"],
        "Cast" => &["to"],
        _ => &[],
    }
}

/// Whether `name` is `<layer>.<step>`, maybe with an appended number.
fn is_numbered(name: &str, layer: &str, step: &str) -> bool {
    let rest = name.strip_prefix(layer).and_then(|rest| rest.strip_prefix('.')?.strip_prefix(step));
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('_').is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
            })
    })
}
