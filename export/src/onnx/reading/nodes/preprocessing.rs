//! The nodes that normalize the raw input.

use kiln_space::LayerId;

use super::super::error::OnnxError;
use super::super::layers::{Held, Reading, Value};
use super::super::message::Node;
use crate::onnx::graph::Rank;

impl<'a> Reading<'a> {
    /// Reads the subtraction of the mean or the division by the deviation. One or both may be absent.
    pub(super) fn normalization(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let is_mean = node.operation == "Sub";
        let is_first = self.mean.is_none() && self.deviation.is_none();
        let fits = match self.value(node, 0)? {
            Value::Raw => is_first,
            Value::Centered => !is_mean && self.deviation.is_none(),
            _ => false,
        };
        if !fits || self.is_input_read || node.inputs.len() != 2 {
            return Err(node.inputs_error("the raw input and its mean, then the result and the deviation"));
        }
        let array = self.shared_tensor(node, 1)?.array()?;
        let (_, shape, rank) = self.graph.input;
        let expected: &[usize] = match rank {
            Rank::Map => &[shape.channels, 1, 1],
            Rank::Vector => &[shape.channels],
        };
        if array.shape != expected {
            return Err(node.inputs_error("one number for each channel of the input"));
        }
        if is_mean {
            self.mean = Some(array.data);
            return Ok(Value::Centered);
        }
        self.deviation = Some(array.data);
        Ok(Value::Layer(Held::of(LayerId(0), rank)))
    }
}
