//! Targets of the examples.

/// Targets of a classification or a regression, one entry per example.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Classification: each example belongs to one class.
    Classes {
        /// Class names in label order.
        names: Vec<String>,
        /// Class of each example.
        labels: Vec<u32>,
    },
    /// Regression: each example has one value per named target.
    Values {
        /// Names of the targets in output order.
        names: Vec<String>,
        /// Values minus their offset, `[examples, names]`, row-major, each in its own unit.
        values: Vec<f32>,
        /// Offsets that were subtracted from the targets in double precision, so that single precision keeps
        /// small differences. Empty if all offsets are 0.
        offsets: Vec<f64>,
    },
}

/// Maximum number of strata of a regression. Strata ensure that each split has small and large targets.
const STRATA: usize = 10;
/// Minimum number of examples per stratum, so that each split gets examples of every stratum.
const STRATUM: usize = 10;

impl Targets {
    /// Names of the outputs: classes or regression targets.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::Classes { names, .. } | Self::Values { names, .. } => names,
        }
    }

    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { names, values, .. } => values.len() / names.len().max(1),
        }
    }

    /// Whether the data has no examples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the stratum of each example. Each split gets the same fraction of every stratum. In a
    /// classification, the stratum is the class. In a regression, the stratum is the decile of the first
    /// target among the `free` examples. If there are few free examples, the quantiles are coarser. Examples
    /// that are not free get stratum 0.
    pub(crate) fn strata(&self, free: &[u32]) -> Vec<u32> {
        match self {
            Self::Classes { labels, .. } => labels.clone(),
            Self::Values { names, values, .. } => {
                let first = |example: u32| values[example as usize * names.len()];
                let mut order = free.to_vec();
                order.sort_by(|a, b| first(*a).total_cmp(&first(*b)));
                let groups = (free.len() / STRATUM).clamp(1, STRATA);
                let mut strata = vec![0; self.len()];
                for (rank, example) in order.into_iter().enumerate() {
                    strata[example as usize] = (rank * groups / free.len()) as u32;
                }
                strata
            }
        }
    }

    /// Adds names and targets to a hash.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        match self {
            Self::Classes { labels, .. } => {
                for label in labels {
                    hasher.update(&label.to_le_bytes());
                }
            }
            Self::Values { names, values, offsets } => {
                hasher.update(b"values");
                hasher.update(&(names.len() as u64).to_le_bytes());
                for value in values {
                    hasher.update(&value.to_le_bytes());
                }
                for offset in offsets {
                    hasher.update(&offset.to_le_bytes());
                }
            }
        }
    }

    /// The offset that was subtracted from a target.
    #[must_use]
    pub fn offset(&self, quantity: usize) -> f64 {
        match self {
            Self::Classes { .. } => 0.0,
            Self::Values { offsets, .. } => offsets.get(quantity).copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_of_values_are_deciles_of_the_first_target() {
        let values = (0..200).flat_map(|i| [((i * 7) % 200) as f32, 0.0]).collect();
        let targets =
            Targets::Values { names: vec!["a".to_owned(), "b".to_owned()], values, offsets: Vec::new() };
        let free: Vec<u32> = (0..200).collect();
        let strata = targets.strata(&free);
        for stratum in 0..10 {
            assert_eq!(strata.iter().filter(|found| **found == stratum).count(), 20);
        }
        assert_eq!(strata[0], 0, "the smallest value");
        assert_eq!(strata[57], 9, "399 modulo 200 is 199, the largest");
        assert_eq!(targets.strata(&free[..19])[..19], [0; 19], "too few to be divided");
    }
}
