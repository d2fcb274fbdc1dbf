//! Turns initializers into numbers. The length of the bytes must fit the shape.

use super::error::OnnxError;
use super::graph::check_size;
use super::message::Tensor;
use crate::Array;

/// Numbers of the types in the file.
pub(super) const FLOAT: u64 = 1;
pub(super) const UINT8: u64 = 2;
pub(super) const INT8: u64 = 3;
pub(super) const INT32: u64 = 6;
const INT64: u64 = 7;
pub(super) const FLOAT16: u64 = 10;
pub(super) const INT4: u64 = 22;
/// Maximum length of a list of 64-bit integers.
const LIST_MAX: u64 = 8;

impl Tensor<'_> {
    /// A single-precision array.
    pub(super) fn array(&self) -> Result<Array, OnnxError> {
        let bytes = self.bytes(FLOAT, 32, "single precision, as raw data")?;
        let data = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Array { shape: self.shape(), data })
    }

    /// A single-precision scalar, or `None` if the initializer is something else.
    pub(super) fn scalar(&self) -> Option<f32> {
        let array = (self.dims.is_empty() && self.kind == FLOAT).then(|| self.array().ok()).flatten()?;
        array.data.first().copied()
    }

    /// The zero point of activations, as an integer of their grid.
    pub(super) fn zero_point(&self) -> Result<i8, OnnxError> {
        let expected = "an unsigned 8-bit scalar, or a signed zero";
        let kind = if self.kind == INT8 { INT8 } else { UINT8 };
        match (kind, self.bytes(kind, 8, expected)?) {
            // Unsigned integers of activations are 128 higher in the file than on their grid.
            (UINT8, [byte]) if self.dims.is_empty() => Ok((*byte ^ 0x80).cast_signed()),
            (INT8, [0]) if self.dims.is_empty() => Ok(0),
            _ => Err(self.refuse(expected)),
        }
    }

    /// Signed 8-bit integers.
    pub(super) fn signed_bytes(&self) -> Result<Vec<i8>, OnnxError> {
        let bytes = self.bytes(INT8, 8, "signed 8-bit integers, as raw data")?;
        Ok(bytes.iter().map(|byte| byte.cast_signed()).collect())
    }

    /// Signed 4-bit integers. The first of two integers is in the lower bits of their byte.
    pub(super) fn nibbles(&self) -> Result<Vec<i8>, OnnxError> {
        let bytes = self.bytes(INT4, 4, "signed 4-bit integers, as raw data")?;
        let pairs = bytes.iter().flat_map(|byte| [byte << 4, byte & 0xf0]);
        let nibbles = pairs.map(|high| high.cast_signed() >> 4);
        Ok(nibbles.take(self.values() as usize).collect())
    }

    /// Numbers in half precision, as bits.
    pub(super) fn halves(&self) -> Result<Vec<u16>, OnnxError> {
        let bytes = self.bytes(FLOAT16, 16, "half precision, as raw data")?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect())
    }

    /// Unsigned 8-bit integers.
    pub(super) fn unsigned_bytes(&self) -> Result<&[u8], OnnxError> {
        self.bytes(UINT8, 8, "unsigned 8-bit integers, as raw data")
    }

    /// The bytes of an array of unsigned 8-bit integers of shape `[1, bytes]`.
    pub(super) fn packed(&self) -> Result<&[u8], OnnxError> {
        match (self.raw, self.kind, self.dims.as_slice()) {
            (Some(bytes), UINT8, [1, length]) if *length == bytes.len() as u64 => Ok(bytes),
            _ => Err(self.refuse("unsigned 8-bit integers of shape [1, bytes], as raw data")),
        }
    }

    /// 32-bit integers.
    pub(super) fn words(&self) -> Result<Vec<i32>, OnnxError> {
        let bytes = self.bytes(INT32, 32, "32-bit integers, as raw data")?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    /// A list of 64-bit integers.
    pub(super) fn list(&self) -> Result<Vec<i64>, OnnxError> {
        let expected = "a short list of 64-bit integers, as raw data";
        let bytes = self.bytes(INT64, 64, expected)?;
        if self.dims.len() != 1 || self.dims[0] > LIST_MAX {
            return Err(self.refuse(expected));
        }
        Ok(bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }

    /// A list of `N` 64-bit integers.
    pub(super) fn integers<const N: usize>(&self) -> Result<[i64; N], OnnxError> {
        let list = <[i64; N]>::try_from(self.list()?);
        list.map_err(|_| self.refuse("a list of as many 64-bit integers as its node reads"))
    }

    /// The shape. [`Tensor::bytes`] has checked its sizes.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|size| *size as usize).collect()
    }

    /// Number of values of the shape, or the largest number if there are more.
    fn values(&self) -> u64 {
        self.dims.iter().fold(1, |product: u64, size| product.saturating_mul(*size))
    }

    /// The raw data of values of `bits` bits.
    fn bytes(&self, kind: u64, bits: u64, expected: &'static str) -> Result<&[u8], OnnxError> {
        let (Some(bytes), true) = (self.raw, self.kind == kind) else { return Err(self.refuse(expected)) };
        self.dims.iter().try_for_each(|size| check_size(*size))?;
        if self.values().saturating_mul(bits).div_ceil(8) != bytes.len() as u64 {
            return Err(self.refuse("as many bytes as its shape needs"));
        }
        Ok(bytes)
    }

    fn refuse(&self, expected: &'static str) -> OnnxError {
        OnnxError::Tensor { name: self.name.to_owned(), expected }
    }
}
