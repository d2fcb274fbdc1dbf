//! Errors of reading an ONNX file.

use kiln_space::SpaceError;
use thiserror::Error;

/// Why an ONNX file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The bytes are not a message of ONNX's schema.
    #[error("the ONNX file is damaged in its {part}: {problem}")]
    Damaged {
        /// Name of the damaged part.
        part: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A number or a count in the file is above the limit.
    #[error("the ONNX file has {found} as {what}, but this program reads at most {limit}")]
    TooLarge {
        /// What the number counts.
        what: &'static str,
        /// The number.
        found: u64,
        /// Maximum number.
        limit: u64,
    },
    /// The file uses another operator set.
    #[error(
        "the ONNX file uses version {found} of the operator set `{domain}`, expected `ai.onnx` {expected}"
    )]
    OperatorSet {
        /// Domain of the operator set.
        domain: String,
        /// Its version.
        found: i64,
        /// Version that can be read.
        expected: i64,
    },
    /// Kiln has no such operation.
    #[error(
        "node `{node}` is a `{operation}`, and this program reads only the operations that Kiln writes: {}",
        known.join(", ")
    )]
    Operation {
        /// Name of the node, or of its output if the node has none.
        node: String,
        /// Its operation.
        operation: String,
        /// Operations that can be read.
        known: &'static [&'static str],
    },
    /// An attribute is missing, unknown, or has a value that Kiln does not write.
    #[error("attribute `{attribute}` of the `{operation}` node `{node}` must be {expected}")]
    Attribute {
        /// Name of the node, or of its output if the node has none.
        node: String,
        /// Its operation.
        operation: String,
        /// Name of the attribute.
        attribute: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A node has inputs that its operation does not accept here.
    #[error("the `{operation}` node `{node}` cannot be read: expected {expected}")]
    Inputs {
        /// Name of the node, or of its output if the node has none.
        node: String,
        /// Its operation.
        operation: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A node reads a value that no earlier node and no initializer defines.
    #[error(
        "the `{operation}` node `{node}` reads `{value}`, which no earlier node and no initializer defines"
    )]
    Undefined {
        /// Name of the node, or of its output if the node has none.
        node: String,
        /// Its operation.
        operation: String,
        /// The value.
        value: String,
    },
    /// The shapes of a node's inputs do not fit its operation.
    #[error("the shapes of the `{operation}` node `{node}` do not fit")]
    Shapes {
        /// Name of the node, or of its output if the node has none.
        node: String,
        /// Its operation.
        operation: String,
        /// What does not fit.
        source: SpaceError,
    },
    /// An initializer has a type, shape or length that cannot be read.
    #[error("initializer `{name}` cannot be read: expected {expected}")]
    Tensor {
        /// Name of the initializer.
        name: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A value of the graph has another type or shape than expected.
    #[error("value `{name}` cannot be read: expected {expected}")]
    Value {
        /// Name of the value.
        name: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// The values that the file rounds to 8 bits are not those of Kiln's 8-bit layers.
    #[error(
        "the value of layer `{layer}` is rounded to 8 bits where Kiln does not round it, or the reverse; \
         no choice of 8-bit layers gives this file"
    )]
    Rounding {
        /// Name of the layer.
        layer: String,
    },
    /// The integers of a layer's weights or biases are not those that Kiln's rounding gives.
    #[error(
        "the integers of layer `{layer}` cannot be read: Kiln rounds the values that they represent to other \
         integers"
    )]
    Integers {
        /// Name of the layer.
        layer: String,
    },
    /// A part of the metadata is not what Kiln writes.
    #[error("`{key}` of the file's metadata is not {expected}")]
    Metadata {
        /// The key.
        key: &'static str,
        /// What is accepted.
        expected: &'static str,
    },
}
