//! A genotype contains one small integer per decision.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The index of the chosen option for each decision. Genes of inactive decisions are 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Genotype(Box<[u8]>);

impl Genotype {
    /// Creates a genotype from its genes.
    #[must_use]
    pub fn new(genes: impl Into<Box<[u8]>>) -> Self {
        Self(genes.into())
    }

    /// The genes, in the order of the decisions.
    #[must_use]
    pub fn genes(&self) -> &[u8] {
        &self.0
    }

    /// Number of genes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the genotype has no genes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Genotype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, gene) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            write!(f, "{gene}")?;
        }
        Ok(())
    }
}
