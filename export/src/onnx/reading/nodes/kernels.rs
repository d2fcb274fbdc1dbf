//! Layers with weights, and weights that are integers.

use kiln_space::{LayerId, NumberFormat, Op, Precision};

use super::super::error::OnnxError;
use super::super::layers::{Held, Reading, Value};
use super::super::message::Node;
use super::super::tensors::{INT4, INT8, INT32};
use super::super::weights::{Biases, FileWeights, Weights};
use super::check_rank;
use crate::onnx::graph::Rank;
use crate::quantization::weights_of;
use crate::{Array, StoredWeights, WeightCode};

impl<'a> Reading<'a> {
    /// Reads the weights and the bias of a node, and adds its layer.
    fn with_kernel(
        &mut self,
        node: &'a Node<'a>,
        rank: Rank,
        op: impl FnOnce(&[usize], bool) -> Result<Op, OnnxError>,
    ) -> Result<Value<'a>, OnnxError> {
        let (Some(&first), 2..=3) = (node.inputs.first(), node.inputs.len()) else {
            return Err(node.inputs_error("a value, weights, and maybe a bias"));
        };
        let x = self.held(node, first)?;
        check_rank(node, &[x], rank)?;
        let narrow = match self.take(node.inputs[1]) {
            None => None,
            Some(Value::Weights(weights)) => Some(weights),
            Some(_) => return Err(node.inputs_error("weights as its second input")),
        };
        let single = if narrow.is_none() { Some(self.own_array(node, 1)?) } else { None };
        let shape = match (&narrow, &single) {
            (Some(weights), _) => weights.shape.clone(),
            (None, single) => single.as_ref().map(|array| array.shape.clone()).unwrap_or_default(),
        };
        let bias = match node.inputs.get(2) {
            None => None,
            Some(name) => Some(match self.take(name) {
                None => Bias::Single(self.own_array(node, 2)?),
                Some(Value::Biases(biases)) => Bias::Integers(biases),
                Some(_) => return Err(node.inputs_error("biases as its third input")),
            }),
        };
        let op = op(&shape, bias.is_some())?;
        let held = self.add(node, op, &[x], rank, Some([shape[0], shape[1]]))?;
        let (bias, biases) = match bias {
            None => (None, None),
            Some(Bias::Single(array)) => (Some(array), None),
            Some(Bias::Integers(biases)) => {
                let data = biases.values();
                (Some(Array { shape: vec![data.len()], data }), Some(biases))
            }
        };
        let weight = match (single, narrow) {
            (Some(array), _) if biases.is_none() => {
                self.rounding.kernels.insert(held.layer, Precision::default());
                array
            }
            (None, Some(weights)) => self.narrow(node, held.layer, weights, biases)?,
            _ => return Err(node.inputs_error("integers as weights where the biases are integers")),
        };
        self.arrays.insert(format!("{}.weight", node.name), weight);
        self.arrays.extend(bias.map(|bias| (format!("{}.bias", node.name), bias)));
        Ok(Value::Layer(held))
    }

    /// Returns the values of weights in a narrow format, and keeps what else the file says about them.
    fn narrow(
        &mut self,
        node: &Node<'_>,
        layer: LayerId,
        weights: Weights,
        biases: Option<Biases>,
    ) -> Result<Array, OnnxError> {
        let Weights { shape, stored } = weights;
        let format = match &stored {
            StoredWeights::Integers { format, .. } => *format,
            StoredWeights::Half(_) => NumberFormat::F16,
            StoredWeights::Brain(_) => NumberFormat::Bf16,
            StoredWeights::Codebook { .. } => NumberFormat::F32,
        };
        if biases.is_some() && !format.is_integer() {
            return Err(node.inputs_error("integers as weights where the biases are integers"));
        }
        let activations = if biases.is_some() { NumberFormat::Int8 } else { NumberFormat::F32 };
        self.rounding.kernels.insert(layer, Precision { weights: format, activations });
        let data = match &stored {
            StoredWeights::Integers { format, integers, steps } => weights_of(*format, integers, steps),
            _ => stored.values(),
        };
        if let StoredWeights::Codebook { values, .. } = &stored {
            self.codes.insert(node.name.to_owned(), WeightCode::Codebook(values.clone()));
        }
        self.weights.insert(node.name.to_owned(), FileWeights { stored, biases });
        Ok(Array { shape, data })
    }

    /// Returns weights or biases, if that is what the name stands for. Nothing can read them again.
    pub(super) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let value = self.values.get_mut(name)?;
        Some(std::mem::replace(value, Value::Used))
    }

    pub(super) fn convolution(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let [kernel, stride, padding] = node.window()?;
        let groups = node.groups()?;
        self.with_kernel(node, Rank::Map, |shape, bias| match shape {
            [out_channels, _, height, width] if [*height, *width] == kernel => {
                Ok(Op::Conv2d { out_channels: *out_channels, kernel, stride, padding, groups, bias })
            }
            _ => Err(node.inputs_error("weights of shape [outputs, inputs, height, width] of the window")),
        })
    }

    pub(super) fn linear(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        node.check_int("transB", 1, "1")?;
        self.with_kernel(node, Rank::Vector, |shape, bias| match shape {
            [out_features, _] => Ok(Op::Linear { out_features: *out_features, bias }),
            _ => Err(node.inputs_error("weights of shape [outputs, inputs]")),
        })
    }

    pub(super) fn batch_norm(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        node.check_epsilon()?;
        let (Some(&first), 5) = (node.inputs.first(), node.inputs.len()) else {
            return Err(node.inputs_error("a value, scale, shift, mean and variance"));
        };
        let x = self.held(node, first)?;
        let channels = self.shape(x).channels;
        let held: Held = self.add(node, Op::BatchNorm, &[x], x.rank, Some([channels, 0]))?;
        for (input, part) in ["scale", "shift", "mean", "variance"].into_iter().enumerate() {
            let array = self.own_array(node, input + 1)?;
            self.arrays.insert(format!("{}.{part}", node.name), array);
        }
        Ok(Value::Layer(held))
    }

    /// Reads weights or biases that are integers, with a step for each output channel.
    pub(super) fn dequantize_weights(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        node.check_int("axis", 0, "0, the axis of the output channels")?;
        let tensor = self.shared_tensor(node, 0)?;
        let steps = self.shared_tensor(node, 1)?.array()?;
        if steps.data.iter().any(|step| !(step.is_finite() && *step > 0.0)) {
            return Err(node.inputs_error("positive steps"));
        }
        // Matrices have a zero point for each output channel. Earlier builds gave convolutions one too.
        if node.inputs.len() == 3 && tensor.kind == INT8 {
            let zero_point = self.tensor(node, 2)?;
            if zero_point.signed_bytes()?.iter().any(|zero| *zero != 0) || zero_point.shape() != steps.shape {
                return Err(node.inputs_error("a zero point of 0 for each output channel"));
            }
        } else if node.inputs.len() != 2 {
            return Err(node.inputs_error("integers and steps"));
        }
        let one_for_each = |shape: &[usize]| {
            if shape.first().map(std::slice::from_ref) == Some(steps.shape.as_slice()) {
                return Ok(());
            }
            Err(node.inputs_error("one step for each output channel"))
        };
        let (format, integers) = match tensor.kind {
            INT32 => {
                let integers = tensor.words()?;
                one_for_each(&tensor.shape())?;
                return match tensor.dims.len() {
                    1 => Ok(Value::Biases(Biases { integers, steps: steps.data })),
                    _ => Err(node.inputs_error("a list of biases")),
                };
            }
            INT4 => (NumberFormat::Int4, tensor.nibbles()?),
            _ => (NumberFormat::Int8, tensor.signed_bytes()?),
        };
        let shape = tensor.shape();
        one_for_each(&shape)?;
        let stored = StoredWeights::Integers { format, integers, steps: steps.data };
        Ok(Value::Weights(Weights { shape, stored }))
    }
}

enum Bias {
    Single(Array),
    Integers(Biases),
}
