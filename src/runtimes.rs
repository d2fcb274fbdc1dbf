//! Runtimes of other projects, whose latencies `kiln hw measure` measures.

mod onnx_runtime;

pub use onnx_runtime::{OnnxRuntime, OnnxRuntimeError};
