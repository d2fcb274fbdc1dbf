//! Activations, and the nodes that some of them consist of.

use kiln_space::{ActivationKind, Op};

use super::super::error::OnnxError;
use super::super::layers::{Held, Reading, Value};
use super::super::message::{Node, Tensor};

impl<'a> Reading<'a> {
    pub(super) fn simple_activation(
        &mut self,
        node: &'a Node<'a>,
        kind: ActivationKind,
    ) -> Result<Value<'a>, OnnxError> {
        let [x] = self.all_held(node)?;
        self.activation(node, kind, x)
    }

    pub(super) fn activation(
        &mut self,
        node: &Node<'_>,
        kind: ActivationKind,
        x: Held,
    ) -> Result<Value<'a>, OnnxError> {
        self.add(node, Op::Activation { kind }, &[x], x.rank, None).map(Value::Layer)
    }

    pub(super) fn hard_sigmoid(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        node.check_float("alpha", 1.0 / 6.0, "1/6 in single precision")?;
        node.check_float("beta", 0.5, "0.5")?;
        self.simple_activation(node, ActivationKind::HardSigmoid)
    }

    pub(super) fn clip(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let bounds = [1, 2].map(|input| self.tensor(node, input).ok().and_then(Tensor::scalar));
        if bounds.map(|bound| bound.map(f32::to_bits)) != [0.0, 6.0_f32].map(|bound| Some(bound.to_bits()))
            || node.inputs.len() != 3
        {
            return Err(node.inputs_error("a value and the bounds 0 and 6"));
        }
        let x = self.held(node, node.inputs[0])?;
        self.activation(node, ActivationKind::Relu6, x)
    }

    /// Reads a sigmoid, or the second factor of a `silu`.
    pub(super) fn sigmoid(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let [x] = self.all_held(node)?;
        if self.is_silu_gate(node) {
            return Ok(Value::SiluGate(x));
        }
        self.activation(node, ActivationKind::Sigmoid, x)
    }

    /// Whether a sigmoid is the second factor of a `silu`: its only reader multiplies it with the sigmoid's
    /// own input, and it is a step of the reader.
    fn is_silu_gate(&self, node: &Node<'_>) -> bool {
        let Some(output) = node.outputs.first() else { return false };
        self.graph.only_reader(output).is_some_and(|reader| {
            reader.operation == "Mul"
                && reader.inputs.as_slice() == [node.inputs[0], *output]
                && self.is_step(node, reader.name, "sigmoid")
        })
    }

    /// Reads the error function of a GELU.
    pub(super) fn erf(&self, node: &Node<'_>) -> Result<Value<'a>, OnnxError> {
        match self.value(node, 0)? {
            Value::Scaled(x) if node.inputs.len() == 1 => Ok(Value::Erf(*x)),
            _ => Err(node.inputs_error("a part of a GELU, as Kiln writes it")),
        }
    }

    /// Reads the part of a GELU that adds one to the error function, if the node is such a part.
    pub(super) fn gelu_gate(&self, node: &Node<'_>) -> Option<Result<Value<'a>, OnnxError>> {
        let Some(Value::Erf(x)) = node.inputs.first().and_then(|name| self.values.get(name)) else {
            return None;
        };
        if node.operation == "Add" && self.constant(node) == Some(1.0) {
            return Some(Ok(Value::GeluGate(*x)));
        }
        Some(Err(node.inputs_error("a part of a GELU, as Kiln writes it")))
    }

    /// Reads a product of layers, or a part of a GELU or `silu`.
    pub(super) fn product(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let [first, second] = node.inputs.as_slice() else { return Err(node.inputs_error("two inputs")) };
        if let Some(constant) = self.constant(node) {
            let x = self.held(node, first)?;
            return if constant.to_bits() == std::f32::consts::FRAC_1_SQRT_2.to_bits() {
                Ok(Value::Scaled(x))
            } else if constant.to_bits() == 0.5_f32.to_bits() {
                Ok(Value::Halved(x))
            } else {
                Err(node.inputs_error("a part of a GELU, as Kiln writes it"))
            };
        }
        match (self.values.get(first), self.values.get(second)) {
            (Some(Value::Halved(x)), Some(Value::GeluGate(gate))) if x == gate => {
                let x = *x;
                self.activation(node, ActivationKind::Gelu, x)
            }
            (_, Some(Value::SiluGate(gate))) => {
                let gate = *gate;
                if self.held(node, first)? != gate {
                    return Err(node.inputs_error("a value and its sigmoid"));
                }
                self.activation(node, ActivationKind::Silu, gate)
            }
            _ => {
                let inputs: [Held; 2] = self.all_held(node)?;
                super::check_rank(node, &inputs, inputs[0].rank)?;
                self.add(node, Op::Mul, &inputs, inputs[0].rank, None).map(Value::Layer)
            }
        }
    }
}
