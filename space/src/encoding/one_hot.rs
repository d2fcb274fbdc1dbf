//! One-hot encoding with one number per option of every decision.

use crate::{Decision, Genotype, SpaceError, variation};

/// Returns the length of a [`one_hot`] vector, which is the total number of options of all decisions.
#[must_use]
pub fn one_hot_len(decisions: &[Decision]) -> usize {
    decisions.iter().map(|decision| decision.options.len()).sum()
}

/// Returns a vector with 1 at the chosen option of every active decision and 0 elsewhere.
///
/// # Errors
/// The errors of [`variation::check`].
pub fn one_hot(decisions: &[Decision], genotype: &Genotype) -> Result<Vec<f64>, SpaceError> {
    variation::check(decisions, genotype)?;
    let mut encoded = vec![0.0; one_hot_len(decisions)];
    let mut start = 0;
    let active = variation::active(decisions, genotype.genes());
    for ((decision, gene), active) in decisions.iter().zip(genotype.genes()).zip(active) {
        if active {
            encoded[start + usize::from(*gene)] = 1.0;
        }
        start += decision.options.len();
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choice, Condition};

    #[test]
    fn one_hot_is_zero_for_inactive_decisions() {
        let decision = |name: &str, options: usize, active_if| Decision {
            name: name.to_owned(),
            options: (0..options).map(Choice::from).collect(),
            active_if,
        };
        let condition = Condition { decision: 0, any_of: vec![1] };
        let decisions = [decision("a", 2, None), decision("b", 3, Some(condition))];
        let encode = |genes: [u8; 2]| one_hot(&decisions, &Genotype::new(genes));
        assert_eq!(encode([0, 2]), Ok(vec![1.0, 0.0, 0.0, 0.0, 0.0]));
        assert_eq!(encode([1, 2]), Ok(vec![0.0, 1.0, 0.0, 0.0, 1.0]));
        assert!(matches!(encode([1, 3]), Err(SpaceError::Gene { index: 1, found: 3, .. })));
    }
}
