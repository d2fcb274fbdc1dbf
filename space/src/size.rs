//! Counts the genotypes of a space exactly and iterates over them.
//!
//! Genotypes that differ only in inactive genes count once. A space's `canonical` method may map several
//! genotypes to one. So there can be fewer architectures than genotypes, but never more.

use num_bigint::BigUint;

use crate::{Decision, Genotype, SearchSpace, variation};

/// Returns the exact number of genotypes. Genotypes that differ only in inactive genes count once.
///
/// The conditions turn the decisions into a forest. The size of an option is the product of the sizes of the
/// decisions that it activates. The size of a decision is the sum of the sizes of its options. The size of
/// the space is the product of the sizes of the roots.
///
/// # Example
/// ```
/// use kiln_space::{size, spaces::NasBench201};
/// assert_eq!(size::count(&NasBench201::default()), 15_625_u32.into());
/// ```
#[must_use]
pub fn count(space: &dyn SearchSpace) -> BigUint {
    let decisions = space.decisions();
    let one = BigUint::from(1_u8);
    // `options[i][o]` is the product of the sizes of the decisions that option `o` of decision `i` activates.
    // Conditions refer to earlier decisions only. So the loop runs backwards, and each product is complete
    // when the loop reads it.
    let mut options: Vec<Vec<BigUint>> =
        decisions.iter().map(|decision| vec![one.clone(); decision.options.len()]).collect();
    let mut total = one;
    for (index, decision) in decisions.iter().enumerate().rev() {
        let subtree: BigUint = options[index].iter().sum();
        match &decision.active_if {
            None => total *= subtree,
            Some(condition) => {
                for option in &condition.any_of {
                    if let Some(product) = options[condition.decision].get_mut(usize::from(*option)) {
                        *product *= &subtree;
                    }
                }
            }
        }
    }
    total
}

/// Iterates over every genotype that [`count`] counts, in lexicographic order. Use it only for small spaces.
#[must_use]
pub fn enumerate(space: &dyn SearchSpace) -> Enumeration<'_> {
    let decisions = space.decisions();
    Enumeration { decisions, next: Some(variation::normalize(decisions, &[])) }
}

/// Iterates over every canonical genotype once, in lexicographic order. Use it only for small spaces.
pub fn enumerate_canonical(space: &dyn SearchSpace) -> impl Iterator<Item = Genotype> + '_ {
    enumerate(space).filter(|genotype| space.canonical(genotype) == *genotype)
}

/// Iterator over the genotypes of a space; see [`enumerate`].
#[derive(Clone, Debug)]
pub struct Enumeration<'a> {
    decisions: &'a [Decision],
    next: Option<Genotype>,
}

impl Iterator for Enumeration<'_> {
    type Item = Genotype;

    fn next(&mut self) -> Option<Genotype> {
        let current = self.next.take()?;
        self.next = successor(self.decisions, &current);
        Some(current)
    }
}

/// Returns the next genotype, like an odometer. The last active gene that is not at its maximum advances, and
/// all later genes restart at 0.
fn successor(decisions: &[Decision], genotype: &Genotype) -> Option<Genotype> {
    let active = variation::active(decisions, genotype.genes());
    let moving = (0..decisions.len()).rev().find(|index| {
        active[*index] && usize::from(genotype.genes()[*index]) + 1 < decisions[*index].options.len()
    })?;
    let mut genes = genotype.genes().to_vec();
    genes[moving] += 1;
    genes[moving + 1..].fill(0);
    Some(Genotype::new(genes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{Architecture, Choice, Condition, ParameterSpec, SpaceError};

    struct Forest(Vec<Decision>);

    impl SearchSpace for Forest {
        fn decisions(&self) -> &[Decision] {
            &self.0
        }

        fn decode(&self, _: &Genotype) -> Result<Architecture, SpaceError> {
            unreachable!("sizes need no networks")
        }

        fn canonical(&self, genotype: &Genotype) -> Genotype {
            variation::normalize(&self.0, genotype.genes())
        }

        fn parameters(&self) -> Vec<ParameterSpec> {
            Vec::new()
        }
    }

    /// Builds decisions from triples `(options, parent, set)`. Any numbers are allowed: `parent` is reduced
    /// to a valid parent, and `set` to a set of the parent's options.
    fn forest(parts: &[(u8, usize, u8)]) -> Forest {
        let mut decisions: Vec<Decision> = Vec::new();
        for (index, (options, parent, set)) in parts.iter().enumerate() {
            let active_if = (parent % (index + 1)).checked_sub(1).map(|decision| {
                let options = decisions[decision].options.len() as u8;
                Condition { decision, any_of: (0..options).filter(|option| set >> option & 1 == 1).collect() }
            });
            let options = (0..usize::from(*options)).map(Choice::from).collect();
            decisions.push(Decision { name: index.to_string(), options, active_if });
        }
        Forest(decisions)
    }

    /// Lists all genotypes in range, normalized.
    fn brute_force(space: &Forest) -> BTreeSet<Genotype> {
        let mut all = vec![Vec::new()];
        for decision in &space.0 {
            all = all
                .into_iter()
                .flat_map(|genes: Vec<u8>| {
                    (0..decision.options.len() as u8).map(move |gene| [&genes[..], &[gene]].concat())
                })
                .collect();
        }
        all.iter().map(|genes| variation::normalize(&space.0, genes)).collect()
    }

    proptest! {
        #[test]
        fn count_and_enumerate_agree_with_brute_force(
            parts in prop::collection::vec((1_u8..4, 0_usize..10, 0_u8..8), 0..7),
        ) {
            let space = forest(&parts);
            let walked: Vec<Genotype> = enumerate(&space).collect();
            prop_assert_eq!(count(&space), walked.len().into());
            prop_assert!(walked.is_sorted());
            prop_assert_eq!(walked.into_iter().collect::<BTreeSet<_>>(), brute_force(&space));
        }
    }

    #[test]
    fn count_of_large_space_is_exact() {
        let parts = vec![(3, 0, 0); 100];
        assert_eq!(count(&forest(&parts)), BigUint::from(3_u8).pow(100));
    }
}
