//! Layers of constant zeros.

use kiln_space::{Layer, LayerId, Op};

use super::super::error::OnnxError;
use super::super::graph::shape;
use super::super::layers::{Held, Reading, Value};
use super::super::message::Node;
use crate::onnx::graph::Rank;

impl<'a> Reading<'a> {
    /// Reads the size of the batch.
    pub(super) fn batch(&self, node: &Node<'_>) -> Result<Value<'a>, OnnxError> {
        node.check_int("start", 0, "0")?;
        node.check_int("end", 1, "1")?;
        match self.value(node, 0)? {
            Value::Raw if node.inputs.len() == 1 => Ok(Value::Batch),
            _ => Err(node.inputs_error("the raw input of the graph")),
        }
    }

    /// Reads the concatenation of the batch size and other sizes, if the node is one.
    pub(super) fn shape_of_zeros(&self, node: &Node<'_>) -> Option<Result<Value<'a>, OnnxError>> {
        let Some(Value::Batch) = node.inputs.first().and_then(|name| self.values.get(name)) else {
            return None;
        };
        Some(self.sizes_of_zeros(node))
    }

    fn sizes_of_zeros(&self, node: &Node<'_>) -> Result<Value<'a>, OnnxError> {
        node.check_int("axis", 0, "0")?;
        let sizes: [i64; 3] = self.tensor(node, 1)?.integers()?;
        if node.inputs.len() != 2 || sizes.iter().any(|size| *size < 1) {
            return Err(node.inputs_error("the batch size and three positive sizes"));
        }
        shape(sizes.map(i64::cast_unsigned)).map(Value::ShapeOfZeros)
    }

    pub(super) fn zeros(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        node.check_zero_tensor("value")?;
        let output = match self.value(node, 0)? {
            Value::ShapeOfZeros(shape) if node.inputs.len() == 1 => *shape,
            _ => return Err(node.inputs_error("a shape that begins with the batch size")),
        };
        let fits = |layer: &Layer| {
            let [least, most] = strides([layer.output.height, output.height]);
            let [least_too, most_too] = strides([layer.output.width, output.width]);
            let least = least.max(least_too);
            (least > 0 && least <= most.min(most_too)).then_some(least)
        };
        // A second reader keeps a layer from running as one with its first reader. So the zeros read a layer
        // that runs alone, if there is one.
        let runs_alone =
            |op: &Op| !matches!(op, Op::Conv2d { .. } | Op::Linear { .. } | Op::BatchNorm | Op::Add);
        let latest = |alone: bool| {
            let layers = self.layers.iter().enumerate().rev();
            let mut layers = layers.filter(|(_, layer)| !alone || runs_alone(&layer.op));
            layers.find_map(|(index, layer)| Some((index, fits(layer)?)))
        };
        let source = latest(true).or_else(|| latest(false));
        let (index, stride) =
            source.ok_or_else(|| node.inputs_error("zeros of the size of an earlier layer, divided"))?;
        let held = Held::of(LayerId(index), Rank::Map);
        let op = Op::Zero { channels: output.channels, stride };
        self.add(node, op, &[held], Rank::Map, None).map(Value::Layer)
    }
}

/// The smallest and largest stride that divides the first size into the second.
fn strides([from, to]: [usize; 2]) -> [usize; 2] {
    let most = if to <= 1 { usize::MAX } else { from.saturating_sub(1) / (to - 1) };
    [from.div_ceil(to.max(1)), most]
}
