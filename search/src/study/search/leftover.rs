//! Determines which networks are left untried when a strategy reports that it is done.

use std::collections::BTreeSet;

use kiln_space::{Genotype, size};

use crate::contracts::{SearchEnd, Strategy};
use crate::domain::Domain;
use crate::strategies::ENUMERABLE;

/// Returns the reason why the search ends when a strategy reports that it is done. The argument contains the
/// genotypes that the strategy proposed. A small space is enumerated to count the untried networks.
pub(super) fn end_of_strategy(
    strategy: &dyn Strategy,
    domain: &Domain<'_>,
    tried: &BTreeSet<&Genotype>,
) -> SearchEnd {
    let why = strategy.why_done();
    if size::count(domain.space()) > ENUMERABLE.into() {
        return SearchEnd::Strategy { left: None, why };
    }
    let is_feasible =
        |genotype: &Genotype| domain.violation(genotype).is_some_and(|violation| violation <= 0.0);
    let (mut networks, mut left) = (0, 0);
    for genotype in size::enumerate_canonical(domain.space()).filter(is_feasible) {
        networks += 1;
        left += u64::from(!tried.contains(&genotype));
    }
    if left == 0 { SearchEnd::Exhausted { networks } } else { SearchEnd::Strategy { left: Some(left), why } }
}
