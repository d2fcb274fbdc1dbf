//! Reads the arrays of a safetensors file back, to compare them with the model.

use std::collections::BTreeMap;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors};

use crate::Array;

/// Returns the arrays of a safetensors file.
///
/// # Panics
/// When the bytes are not a safetensors file, or when an array is not in single precision.
pub(crate) fn arrays(bytes: &[u8]) -> BTreeMap<String, Array> {
    let file = SafeTensors::deserialize(bytes).expect("the bytes are a safetensors file");
    let array = |(name, tensor): (&str, TensorView<'_>)| {
        assert_eq!(tensor.dtype(), Dtype::F32, "`{name}` is in single precision");
        let data = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (name.to_owned(), Array { shape: tensor.shape().to_vec(), data })
    };
    file.iter().map(array).collect()
}
