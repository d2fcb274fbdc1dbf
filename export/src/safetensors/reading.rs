//! Reads the arrays of a safetensors file that another program wrote.

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors};

use crate::{Array, Arrays, ExportError};

/// Reads the arrays of a safetensors file, by name. All arrays must be in single precision. Metadata are
/// ignored.
///
/// # Errors
/// [`ExportError::Safetensors`] if the bytes are not such a file, [`ExportError::ArrayType`] for an array in
/// another format.
///
/// # Example
/// ```
/// assert!(kiln_export::read_safetensors(b"no header").is_err());
/// let header = br#"{"a.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
/// let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &1.5_f32.to_le_bytes()].concat();
/// assert_eq!(kiln_export::read_safetensors(&bytes)?["a.bias"].data, [1.5]);
/// # Ok::<(), kiln_export::ExportError>(())
/// ```
pub fn read_safetensors(bytes: &[u8]) -> Result<Arrays, ExportError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| ExportError::Safetensors { problem: error.to_string() })?;
    let array = |(name, tensor): (&str, TensorView<'_>)| {
        if tensor.dtype() != Dtype::F32 {
            let found = format!("{:?}", tensor.dtype());
            return Err(ExportError::ArrayType { name: name.to_owned(), found });
        }
        let data = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok((name.to_owned(), Array { shape: tensor.shape().to_vec(), data }))
    };
    file.iter().map(array).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exporter, Safetensors, testing};

    fn file(model: &crate::TrainedModel) -> Vec<u8> {
        let mut bytes = Vec::new();
        Safetensors.export(model, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn written_arrays_are_read_back() {
        let model = testing::perceptron();
        assert_eq!(read_safetensors(&file(&model)).unwrap(), model.arrays);
    }

    #[test]
    fn other_types_and_damaged_files_are_errors() {
        let integers = testing::quantized(&testing::perceptron(), &[]);
        let error = read_safetensors(&file(&integers)).unwrap_err().to_string();
        assert!(error.contains("expected F32"), "{error}");
        kiln_damage::check_damaged(&[file(&testing::perceptron())], |bytes| {
            let _ = read_safetensors(bytes);
        });
    }
}
