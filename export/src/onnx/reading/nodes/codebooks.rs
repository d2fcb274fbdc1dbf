//! Weights in half precision and in codebooks.

use super::super::error::OnnxError;
use super::super::layers::{Positions, Reading, Value};
use super::super::message::Node;
use super::super::tensors::{FLOAT, FLOAT16, INT32, UINT8};
use super::super::weights::Weights;
use crate::StoredWeights;
use crate::quantization::{index_bits, unpack};

/// The weights of a codebook: their shape, their positions and the values.
struct Coded {
    shape: Vec<usize>,
    indices: Vec<u8>,
    values: Vec<f32>,
}

impl<'a> Reading<'a> {
    /// Reads the shifts of packed positions: one plane of positions for each shift.
    pub(super) fn shift(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        node.check_text("direction", "RIGHT", "`RIGHT`")?;
        let bytes = self.shared_tensor(node, 0)?.packed()?;
        let shifts = self.tensor(node, 1)?;
        let planes = shifts.unsigned_bytes()?;
        let bits = 8 / planes.len().max(1);
        let expected = (0..planes.len()).map(|plane| plane * bits);
        let fits = [2, 4, 8].contains(&planes.len())
            && shifts.shape() == [planes.len(), 1]
            && planes.iter().map(|shift| usize::from(*shift)).eq(expected);
        if !fits || node.inputs.len() != 2 {
            return Err(node.inputs_error("bytes, and the shifts of positions of 1, 2 or 4 bits"));
        }
        Ok(Value::Shifted { bytes, bits })
    }

    /// Reads the remainder that is the lower bits of shifted bytes.
    pub(super) fn remainder(&self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let expected = "shifted bytes, and the number of positions that their bits can state";
        let Value::Shifted { bytes, bits } = *self.value(node, 0)? else {
            return Err(node.inputs_error(expected));
        };
        let levels = self.tensor(node, 1)?;
        if levels.unsigned_bytes()? != [1 << bits] || !levels.dims.is_empty() || node.inputs.len() != 2 {
            return Err(node.inputs_error(expected));
        }
        Ok(Value::Planes { bytes, bits })
    }

    /// Reads a conversion of weights from half precision, or of positions in a codebook from bytes.
    pub(super) fn cast(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        if node.inputs.len() != 1 {
            return Err(node.inputs_error("one input"));
        }
        if self.values.contains_key(node.inputs[0]) {
            let Value::Planes { bytes, bits } = *self.value(node, 0)? else {
                return Err(node.inputs_error("positions in a codebook"));
            };
            node.check_int("to", INT32.cast_signed(), "6, 32-bit integers")?;
            let planes = 8 / bits;
            let indices = unpack(bytes, bits, planes * bytes.len());
            return Ok(Value::Positions(Positions { shape: vec![planes, bytes.len()], indices, bits }));
        }
        let tensor = self.shared_tensor(node, 0)?;
        match tensor.kind {
            FLOAT16 => {
                node.check_int("to", FLOAT.cast_signed(), "1, single precision")?;
                let stored = StoredWeights::Half(tensor.halves()?);
                Ok(Value::Weights(Weights { shape: tensor.shape(), stored }))
            }
            UINT8 => {
                node.check_int("to", INT32.cast_signed(), "6, 32-bit integers")?;
                let indices = tensor.unsigned_bytes()?.to_vec();
                Ok(Value::Positions(Positions { shape: tensor.shape(), indices, bits: 8 }))
            }
            _ => Err(node.inputs_error("weights in half precision, or positions in a codebook")),
        }
    }

    /// Reads the values at positions in a codebook.
    pub(super) fn gather(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let expected = "a codebook, and positions in it of the fewest bits that suffice";
        if node.inputs.len() != 2 {
            return Err(node.inputs_error(expected));
        }
        let codebook = self.shared_tensor(node, 0)?.array()?;
        let Value::Positions(_) = self.value(node, 1)? else { return Err(node.inputs_error(expected)) };
        let Some(Value::Positions(Positions { shape, indices, bits })) = self.take(node.inputs[1]) else {
            return Err(node.inputs_error(expected));
        };
        let values = codebook.data;
        let is_inside = indices.iter().all(|index| usize::from(*index) < values.len());
        if codebook.shape.len() != 1 || !is_inside || index_bits(values.len()) != bits {
            return Err(node.inputs_error(expected));
        }
        Ok(Value::Weights(Weights { shape, stored: StoredWeights::Codebook { indices, values } }))
    }

    /// Reads the arrangement of the values of a codebook.
    pub(super) fn reshape(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let Coded { indices, values, .. } = self.coded(node, 2)?;
        let sizes = self.tensor(node, 1)?.list()?;
        let sizes: Option<Vec<usize>> = match sizes.as_slice() {
            [-1] => Some(vec![indices.len()]),
            sizes => sizes.iter().map(|size| usize::try_from(*size).ok()).collect(),
        };
        let product = |sizes: &[usize]| sizes.iter().try_fold(1, |a: usize, b| a.checked_mul(*b));
        match sizes {
            Some(shape) if product(&shape) == Some(indices.len()) => {
                Ok(Value::Weights(Weights { shape, stored: StoredWeights::Codebook { indices, values } }))
            }
            _ => Err(node.inputs_error("a shape with as many values as the weights")),
        }
    }

    /// Reads the removal of the values that only fill up the last bytes of a codebook.
    pub(super) fn slice(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let Coded { shape, mut indices, values } = self.coded(node, 3)?;
        let ([start], [end]) = (self.tensor(node, 1)?.integers()?, self.tensor(node, 2)?.integers()?);
        let end = usize::try_from(end).ok().filter(|end| *end <= indices.len());
        match end {
            Some(end) if start == 0 && shape.len() == 1 => {
                indices.truncate(end);
                let stored = StoredWeights::Codebook { indices, values };
                Ok(Value::Weights(Weights { shape: vec![end], stored }))
            }
            _ => Err(node.inputs_error("a list of weights, from its start to an end inside it")),
        }
    }

    /// The weights of a codebook that are the first of a node's `inputs` inputs.
    fn coded(&mut self, node: &'a Node<'a>, inputs: usize) -> Result<Coded, OnnxError> {
        let expected = "the weights of a codebook";
        let Value::Weights(_) = self.value(node, 0)? else { return Err(node.inputs_error(expected)) };
        match self.take(node.inputs[0]) {
            Some(Value::Weights(Weights { shape, stored: StoredWeights::Codebook { indices, values } }))
                if node.inputs.len() == inputs =>
            {
                Ok(Coded { shape, indices, values })
            }
            _ => Err(node.inputs_error(expected)),
        }
    }
}
