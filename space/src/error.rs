//! What can be wrong with a search space, a genotype or an architecture.

use thiserror::Error;

use crate::Shape;

/// An error of this crate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// An operation was given inputs it does not accept.
    #[error("`{op}` does not accept inputs of shape {}: expected {expected}", listed(.inputs))]
    Shape {
        /// Name of the operation.
        op: &'static str,
        /// Shapes it was given.
        inputs: Vec<Shape>,
        /// What it accepts.
        expected: &'static str,
    },
    /// A layer of an architecture does not hold together.
    #[error("layer `{layer}`: {problem}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A genotype has the wrong number of genes.
    #[error("the genotype has {found} genes, expected {expected}")]
    GenotypeLength {
        /// Genes found.
        found: usize,
        /// Decisions of the space.
        expected: usize,
    },
    /// A gene is out of range.
    #[error("gene {index} (`{decision}`) is {found}, expected less than {options}")]
    Gene {
        /// Index of the gene.
        index: usize,
        /// Name of the decision.
        decision: String,
        /// Value found.
        found: u8,
        /// Number of options.
        options: usize,
    },
    /// A space was described with values that cannot work.
    #[error("`{key}` is {found}, expected {expected}")]
    Description {
        /// Key of the description, with its path.
        key: String,
        /// Value found.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A network written as text cannot be read.
    #[error("`{found}` is not {expected}")]
    Notation {
        /// The text.
        found: String,
        /// How it should look.
        expected: &'static str,
    },
}

fn listed(shapes: &[Shape]) -> String {
    if shapes.is_empty() {
        return "(none)".to_owned();
    }
    shapes.iter().map(|shape| format!("`{shape}`")).collect::<Vec<_>>().join(", ")
}
