//! Reads the arrays of an ONNX file back, to compare them with the model.

use std::collections::BTreeMap;

use prost::Message;

use super::proto::ModelProto;
use super::proto::tensor_proto::DataType;
use crate::Array;

/// Returns the single-precision initializers by name.
///
/// # Panics
/// When the bytes are not an ONNX file with a graph, or two initializers share a name.
pub(crate) fn arrays(bytes: &[u8]) -> BTreeMap<String, Array> {
    let model = ModelProto::decode(bytes).expect("the bytes are an ONNX file");
    let mut arrays = BTreeMap::new();
    for tensor in model.graph.expect("the file has a graph").initializer {
        if tensor.data_type() == DataType::Float as i32 {
            let data = floats(tensor.raw_data());
            let shape = tensor.dims.iter().map(|size| *size as usize).collect();
            let before = arrays.insert(tensor.name().to_owned(), Array { shape, data });
            assert!(before.is_none(), "initializer `{}` occurs twice", tensor.name());
        }
    }
    arrays
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
