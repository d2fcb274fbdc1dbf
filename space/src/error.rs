//! Errors of search spaces, genotypes and architectures.

use thiserror::Error;

use crate::Shape;

/// An error from search spaces, genotypes or architectures.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// An operation does not accept the shapes of its inputs.
    #[error("`{op}` does not accept inputs of shape {}: expected {expected}", listed(.inputs))]
    Shape {
        /// Name of the operation.
        op: &'static str,
        /// Shapes of the inputs.
        inputs: Vec<Shape>,
        /// Shapes that the operation accepts.
        expected: &'static str,
    },
    /// A layer of an architecture is inconsistent.
    #[error("layer `{layer}`: {problem}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// What is wrong with the layer.
        problem: &'static str,
    },
    /// A genotype has the wrong number of genes.
    #[error("the genotype has {found} genes, expected {expected}")]
    GenotypeLength {
        /// Number of genes.
        found: usize,
        /// Number of decisions of the space.
        expected: usize,
    },
    /// A gene is out of range.
    #[error("gene {index} (`{decision}`) is {found}, expected less than {options}")]
    Gene {
        /// Index of the gene.
        index: usize,
        /// Name of the decision.
        decision: String,
        /// Value of the gene.
        found: u8,
        /// Number of options of the decision.
        options: usize,
    },
    /// A description of a space contains an impossible value.
    #[error("`{key}` is {found}, expected {expected}")]
    Description {
        /// Dotted path of the key.
        key: String,
        /// The value.
        found: String,
        /// The accepted values.
        expected: &'static str,
    },
    /// An architecture has more channels than their coupling can be computed for.
    #[error("the layers have {found} channels, expected at most {limit}")]
    TooManyChannels {
        /// Number of channels of all layers.
        found: usize,
        /// Maximum number.
        limit: usize,
    },
    /// Coupled channels were computed for another architecture.
    #[error("the coupling of channels belongs to another architecture")]
    OtherCoupling,
    /// No coupled channels have this number.
    #[error("there is no unit of channels {found}, expected less than {units}")]
    UnknownUnit {
        /// The number.
        found: usize,
        /// Number of units of the architecture.
        units: usize,
    },
    /// A channel cannot be removed.
    #[error(
        "channel {channel} of layer `{layer}` cannot be removed: it is tied to the network's input or \
         output, or a layer has no other channels"
    )]
    FixedChannel {
        /// Name of the layer.
        layer: String,
        /// Index of the channel.
        channel: usize,
    },
    /// All channels of a layer were to be removed.
    #[error("layer `{layer}` would lose all channels, expected at least one that is kept")]
    NoChannels {
        /// Name of the layer.
        layer: String,
    },
    /// A text does not follow the notation of architectures.
    #[error("`{found}` is not {expected}")]
    Notation {
        /// The text.
        found: String,
        /// The notation.
        expected: &'static str,
    },
}

fn listed(shapes: &[Shape]) -> String {
    if shapes.is_empty() {
        return "(none)".to_owned();
    }
    shapes.iter().map(|shape| format!("`{shape}`")).collect::<Vec<_>>().join(", ")
}
