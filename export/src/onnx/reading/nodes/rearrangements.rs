//! Pooling, flattening, and the steps that rearrange vectors.

use kiln_space::{Op, PoolKind};

use super::super::error::OnnxError;
use super::super::layers::{Held, Reading, Value};
use super::super::message::Node;
use super::check_rank;
use crate::onnx::graph::Rank;

impl<'a> Reading<'a> {
    pub(super) fn pool(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let [kernel, stride, padding] = node.window()?;
        let kind = if node.operation == "MaxPool" { PoolKind::Max } else { PoolKind::Average };
        if kind == PoolKind::Average {
            node.check_default_int("count_include_pad", 0, "0")?;
        }
        let [x] = self.all_held(node)?;
        check_rank(node, &[x], Rank::Map)?;
        self.add(node, Op::Pool { kind, kernel, stride, padding }, &[x], Rank::Map, None).map(Value::Layer)
    }

    /// Reads a flattening, or a step that rearranges a vector.
    pub(super) fn flatten(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        node.check_default_int("axis", 1, "1")?;
        let [x] = self.all_held(node)?;
        let layer = &self.layers[x.layer.0];
        let is_last = node.outputs.first() == Some(&self.graph.output);
        let is_vector = layer.output.positions() == 1;
        let is_step = self.is_step(node, &layer.name, "vector")
            || (is_last && self.is_step(node, self.graph.output, "vector"));
        if is_vector && is_step {
            return Ok(Value::Layer(Held { rank: Rank::Vector, is_direct: false, ..x }));
        }
        self.add(node, Op::Flatten, &[x], Rank::Vector, None).map(Value::Layer)
    }

    pub(super) fn unsqueeze(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let (Some(&first), 2) = (node.inputs.first(), node.inputs.len()) else {
            return Err(node.inputs_error("a vector and the axes 2 and 3"));
        };
        let x = self.held(node, first)?;
        check_rank(node, &[x], Rank::Vector)?;
        if self.tensor(node, 1)?.integers()? != [2, 3] {
            return Err(node.inputs_error("a vector and the axes 2 and 3"));
        }
        Ok(Value::Layer(Held { rank: Rank::Map, is_direct: false, ..x }))
    }
}
