//! The graph of a file: its one input, its one output, its initializers and the declared shapes.

use std::collections::BTreeMap;

use kiln_space::Shape;

use super::error::OnnxError;
use super::message::{Info, Message, Node, Tensor};
use super::tensors::{FLOAT, INT4};
use crate::Prediction;
use crate::onnx::graph::Rank;
use crate::onnx::{OPSET, OPSET_INT4};

/// Maximum of a size in a shape. The product of three such numbers stays below 2^64.
pub(super) const SIZE_MAX: u64 = 1 << 21;
/// Maximum number of values of a layer's output for one example.
pub(super) const ELEMENTS_MAX: u64 = 1 << 32;

/// The parts of a file that all nodes refer to.
pub(super) struct FileGraph<'a> {
    pub(super) nodes: &'a [Node<'a>],
    pub(super) tensors: BTreeMap<&'a str, &'a Tensor<'a>>,
    /// Name, shape and arrangement of the raw input.
    pub(super) input: (&'a str, Shape, Rank),
    /// Name of the output.
    pub(super) output: &'a str,
    pub(super) predicts: Prediction,
    /// Whether the file declares shapes of values between nodes. Such a file was written by an earlier build,
    /// which named the steps of layers too.
    pub(super) names_steps: bool,
    /// Declared shapes of values between nodes.
    shapes: BTreeMap<&'a str, &'a Info<'a>>,
    /// For each value, the nodes that read it.
    readers: BTreeMap<&'a str, Vec<&'a Node<'a>>>,
}

impl<'a> FileGraph<'a> {
    /// Checks the operator set, the input and the output.
    pub(super) fn new(message: &'a Message<'a>) -> Result<Self, OnnxError> {
        check_operator_sets(message)?;
        let [input] = message.inputs.as_slice() else {
            return Err(OnnxError::Damaged { part: "graph", problem: "it must have exactly one input" });
        };
        let [output] = message.outputs.as_slice() else {
            return Err(OnnxError::Damaged { part: "graph", problem: "it must have exactly one output" });
        };
        let predictions = [Prediction::Classes, Prediction::Values];
        let predicts = predictions.into_iter().find(|predicts| predicts.outputs() == output.name);
        let predicts = predicts.ok_or_else(|| OnnxError::Value {
            name: output.name.to_owned(),
            expected: "an output with the name `logits` or `values`",
        })?;
        let (shape, rank) = input_shape(input)?;
        let mut tensors = BTreeMap::new();
        for tensor in &message.tensors {
            if tensors.insert(tensor.name, tensor).is_some() || tensor.name == input.name {
                let expected = "a name that no other initializer and no input has";
                return Err(OnnxError::Tensor { name: tensor.name.to_owned(), expected });
            }
        }
        let mut readers: BTreeMap<&str, Vec<&Node<'_>>> = BTreeMap::new();
        for node in &message.nodes {
            for name in &node.inputs {
                readers.entry(name).or_default().push(node);
            }
        }
        Ok(Self {
            nodes: &message.nodes,
            tensors,
            input: (input.name, shape, rank),
            output: output.name,
            predicts,
            names_steps: !message.infos.is_empty(),
            shapes: message.infos.iter().chain([output]).map(|info| (info.name, info)).collect(),
            readers,
        })
    }

    /// The only node that reads a value, or `None` if no node or several nodes do.
    pub(super) fn only_reader(&self, value: &str) -> Option<&'a Node<'a>> {
        match self.readers.get(value).map(Vec::as_slice) {
            Some([node]) => Some(node),
            _ => None,
        }
    }

    /// Compares the declared shape of a value, if there is one, with the computed shape.
    pub(super) fn check_shape(&self, name: &str, shape: Shape, rank: Rank) -> Result<(), OnnxError> {
        let Some(info) = self.shapes.get(name) else { return Ok(()) };
        let Shape { channels, height, width } = shape;
        let sizes: &[usize] = match rank {
            Rank::Map => &[channels, height, width],
            Rank::Vector => &[channels],
        };
        let is_equal = info.sizes.len() == sizes.len() + 1
            && info.sizes.iter().skip(1).zip(sizes).all(|(found, size)| *found == Some(*size as u64));
        if is_equal && info.kind == FLOAT {
            return Ok(());
        }
        let expected = "the type and the shape that its node computes";
        Err(OnnxError::Value { name: name.to_owned(), expected })
    }
}

fn check_operator_sets(message: &Message<'_>) -> Result<(), OnnxError> {
    if message.operator_sets.is_empty() {
        return Err(OnnxError::Damaged { part: "model", problem: "it names no operator set" });
    }
    // Earlier operator sets have no 4-bit integers.
    let has_int4 = message.tensors.iter().any(|tensor| tensor.kind == INT4);
    let expected = if has_int4 { OPSET_INT4 } else { OPSET };
    for &(domain, found) in &message.operator_sets {
        if !is_standard(domain) || found != expected {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            return Err(OnnxError::OperatorSet { domain: domain.to_owned(), found, expected });
        }
    }
    Ok(())
}

/// Whether this is the domain of ONNX's own operators.
pub(super) fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

fn input_shape(info: &Info<'_>) -> Result<(Shape, Rank), OnnxError> {
    let refuse = |expected| OnnxError::Value { name: info.name.to_owned(), expected };
    let expected = "single precision of shape [batch, channels, height, width] or [batch, features]";
    let sizes: Option<Vec<u64>> = info.sizes.iter().skip(1).copied().collect();
    let (sizes, rank) = match sizes.as_deref() {
        Some([features]) => ([*features, 1, 1], Rank::Vector),
        Some([channels, height, width]) => ([*channels, *height, *width], Rank::Map),
        _ => return Err(refuse(expected)),
    };
    if info.kind != FLOAT {
        return Err(refuse(expected));
    }
    Ok((shape(sizes)?, rank))
}

/// The shape of one example with these sizes, which have limits.
pub(super) fn shape(sizes: [u64; 3]) -> Result<Shape, OnnxError> {
    for found in sizes {
        check_size(found)?;
    }
    let elements = sizes.iter().product();
    if elements > ELEMENTS_MAX {
        let what = "number of values of an example";
        return Err(OnnxError::TooLarge { what, found: elements, limit: ELEMENTS_MAX });
    }
    Ok(Shape::from(sizes.map(|size| size as usize)))
}

/// Refuses a size that no network of Kiln has.
pub(super) const fn check_size(found: u64) -> Result<(), OnnxError> {
    if found <= SIZE_MAX {
        return Ok(());
    }
    Err(OnnxError::TooLarge { what: "size", found, limit: SIZE_MAX })
}
