//! Sums and concatenations.

use kiln_space::Op;

use super::super::error::OnnxError;
use super::super::layers::{Reading, Value};
use super::super::message::Node;

impl<'a> Reading<'a> {
    /// Reads a sum, or the part of a GELU that adds one.
    pub(super) fn sum(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        if let Some(gate) = self.gelu_gate(node) {
            return gate;
        }
        let inputs = self.list(node)?;
        if node.operation == "Add" && inputs.len() != 2 {
            return Err(node.inputs_error("two inputs"));
        }
        self.add(node, Op::Add, &inputs, inputs[0].rank, None).map(Value::Layer)
    }

    /// Reads a concatenation of channels, or of the batch size and other sizes.
    pub(super) fn concat(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        if let Some(shape) = self.shape_of_zeros(node) {
            return shape;
        }
        node.check_int("axis", 1, "1")?;
        let inputs = self.list(node)?;
        self.add(node, Op::Concat, &inputs, inputs[0].rank, None).map(Value::Layer)
    }
}
