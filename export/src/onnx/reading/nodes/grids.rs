//! Values of layers that are rounded to 8 bits.

use kiln_space::Op;

use super::super::error::OnnxError;
use super::super::layers::{Held, Reading, Value};
use super::super::message::Node;
use crate::Grid;

impl<'a> Reading<'a> {
    /// Reads the grid of an 8-bit value.
    fn grid(&self, node: &Node<'_>) -> Result<Grid, OnnxError> {
        if node.inputs.len() != 3 {
            return Err(node.inputs_error("a value, a step and a zero point"));
        }
        let scale = self.tensor(node, 1)?.scalar();
        let scale = scale.filter(|scale| scale.is_finite() && *scale > 0.0);
        let scale = scale.ok_or_else(|| node.inputs_error("a positive scalar as step"))?;
        Ok(Grid { scale, zero_point: self.tensor(node, 2)?.zero_point()? })
    }

    pub(super) fn quantize(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let grid = self.grid(node)?;
        let mut held = self.held(node, node.inputs[0])?;
        if self.is_of_identity(node.inputs[0], held, grid) {
            held = self.add_identity(node, Op::Concat, held)?;
        } else {
            self.rounded.insert(node.inputs[0]);
        }
        self.rounding.grids.insert(held.layer, grid);
        Ok(Value::Integers(Held { grid: Some(grid), ..held }))
    }

    /// Whether a rounding to `grid` is not the rounding of the value itself, but of a layer that only passes
    /// the value on and rounds it to a grid of its own. The node of that layer is not in the file.
    fn is_of_identity(&self, name: &str, held: Held, grid: Grid) -> bool {
        // Zeros have no grid.
        if matches!(self.layers[held.layer.0].op, Op::Zero { .. }) {
            return true;
        }
        if let Some(known) = held.grid {
            return held.is_direct || !is_same(known, grid);
        }
        let known = self.rounding.grids.get(&held.layer);
        self.rounded.contains(name) || known.is_some_and(|known| !is_same(*known, grid))
    }

    /// Reads the value of integers: rounded values of a layer, or weights or biases.
    pub(super) fn dequantize(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let Some(Value::Integers(held)) = node.inputs.first().and_then(|name| self.values.get(name)) else {
            return self.dequantize_weights(node);
        };
        let held = *held;
        let grid = self.grid(node)?;
        if held.grid.is_none_or(|known| !is_same(known, grid)) || !node.attributes.is_empty() {
            return Err(node.inputs_error("the step and the zero point of its `QuantizeLinear`"));
        }
        Ok(Value::Layer(Held { is_direct: true, ..held }))
    }
}

fn is_same(a: Grid, b: Grid) -> bool {
    a.scale.to_bits() == b.scale.to_bits() && a.zero_point == b.zero_point
}
