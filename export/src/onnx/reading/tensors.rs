//! Turns initializers into numbers. The length of the bytes must fit the shape.

use super::error::OnnxError;
use super::graph::check_size;
use super::message::Tensor;
use crate::Array;

/// Numbers of the types in the file.
pub(super) const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;
const INT32: u64 = 6;
const INT64: u64 = 7;

impl Tensor<'_> {
    /// A single-precision array.
    pub(super) fn array(&self) -> Result<Array, OnnxError> {
        let bytes = self.bytes(FLOAT, 4, "single precision, as raw data")?;
        let data = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Array { shape: self.shape(), data })
    }

    /// A single-precision scalar, or `None` if the initializer is something else.
    pub(super) fn scalar(&self) -> Option<f32> {
        let array = (self.dims.is_empty() && self.kind == FLOAT).then(|| self.array().ok()).flatten()?;
        array.data.first().copied()
    }

    /// An unsigned 8-bit scalar.
    pub(super) fn byte(&self) -> Result<u8, OnnxError> {
        let expected = "an unsigned 8-bit scalar";
        let bytes = self.bytes(UINT8, 1, expected)?;
        match bytes {
            [byte] if self.dims.is_empty() => Ok(*byte),
            _ => Err(self.refuse(expected)),
        }
    }

    /// Signed 8-bit integers.
    pub(super) fn signed_bytes(&self) -> Result<Vec<i8>, OnnxError> {
        let bytes = self.bytes(INT8, 1, "signed 8-bit integers, as raw data")?;
        Ok(bytes.iter().map(|byte| byte.cast_signed()).collect())
    }

    /// 32-bit integers.
    pub(super) fn words(&self) -> Result<Vec<i32>, OnnxError> {
        let bytes = self.bytes(INT32, 4, "32-bit integers, as raw data")?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    /// A list of `N` 64-bit integers.
    pub(super) fn integers<const N: usize>(&self) -> Result<[i64; N], OnnxError> {
        let expected = "a short list of 64-bit integers, as raw data";
        let bytes = self.bytes(INT64, 8, expected)?;
        let values: Vec<i64> =
            bytes.as_chunks().0.iter().take(N + 1).map(|bytes| i64::from_le_bytes(*bytes)).collect();
        match <[i64; N]>::try_from(values) {
            Ok(values) if self.dims.len() == 1 => Ok(values),
            _ => Err(self.refuse(expected)),
        }
    }

    /// Whether the initializer has 8-bit integers.
    pub(super) const fn is_signed_bytes(&self) -> bool {
        self.kind == INT8
    }

    /// Whether the initializer has 32-bit integers.
    pub(super) const fn is_words(&self) -> bool {
        self.kind == INT32
    }

    /// The shape. [`Tensor::bytes`] has checked its sizes.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|size| *size as usize).collect()
    }

    fn bytes(&self, kind: u64, width: u64, expected: &'static str) -> Result<&[u8], OnnxError> {
        let (Some(bytes), true) = (self.raw, self.kind == kind) else { return Err(self.refuse(expected)) };
        self.dims.iter().try_for_each(|size| check_size(*size))?;
        let values = self.dims.iter().fold(1, |product: u64, size| product.saturating_mul(*size));
        if values.saturating_mul(width) != bytes.len() as u64 {
            return Err(self.refuse("as many bytes as its shape needs"));
        }
        Ok(bytes)
    }

    fn refuse(&self, expected: &'static str) -> OnnxError {
        OnnxError::Tensor { name: self.name.to_owned(), expected }
    }
}
