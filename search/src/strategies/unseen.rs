//! Finds genotypes that a strategy has not proposed yet. Every such search is bounded.

use std::collections::BTreeSet;

use kiln_space::{Genotype, size};
use rand::{Rng, RngExt};

use crate::contracts::Ask;
use crate::domain::Domain;
use crate::trials::{Fidelity, Origin, Proposal};

/// Random draws before a small space is enumerated.
const SAMPLE_ATTEMPTS: usize = 24;
/// Maximum size of a space that strategies enumerate. They end when they have proposed all of it.
pub const ENUMERABLE: u32 = 20_000;
/// Mutations of known genotypes in a space too large to enumerate.
const MUTATION_ATTEMPTS: usize = 200;

/// Remembers the genotypes proposed or told, and finds others.
#[derive(Clone, Debug, Default)]
pub(super) struct Unseen {
    known: BTreeSet<Genotype>,
    /// Genotypes of an enumerated space that were not known then. Some may be known by now.
    open: Option<Vec<Genotype>>,
}

impl Unseen {
    /// Whether it was proposed or told.
    pub(super) fn is_known(&self, genotype: &Genotype) -> bool {
        self.known.contains(genotype)
    }

    /// Marks a genotype as known. False if it was known before.
    pub(super) fn insert(&mut self, genotype: &Genotype) -> bool {
        self.known.insert(genotype.clone())
    }

    /// Proposes `found` with full effort, or a random genotype without it. `Done` if none is left.
    pub(super) fn propose(
        &mut self,
        found: Option<(Genotype, Origin)>,
        domain: &Domain<'_>,
        rng: &mut dyn Rng,
    ) -> Ask {
        let random = || self.sample(domain, rng).map(|genotype| (genotype, Origin::of("random", Vec::new())));
        let Some((genotype, origin)) = found.or_else(random) else { return Ask::Done };
        self.insert(&genotype);
        Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin })
    }

    /// A feasible genotype that is not known: a draw of [`Domain::sample`] while that gives new ones. After
    /// that it is one of those left in a small space, or a mutant of a known one in a large space. `None`
    /// when the space is used up, or after a bounded number of attempts.
    pub(super) fn sample(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Genotype> {
        if self.open.is_none() {
            for _ in 0..SAMPLE_ATTEMPTS {
                match domain.sample(rng) {
                    Some(candidate) if !self.known.contains(&candidate) => return Some(candidate),
                    Some(_) => {}
                    None => break,
                }
            }
        }
        if self.open.is_some() || size::count(domain.space()) <= ENUMERABLE.into() {
            self.enumerated(domain, rng)
        } else {
            self.near_known(domain, rng)
        }
    }

    fn enumerated(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Genotype> {
        let known = &self.known;
        let open = self.open.get_or_insert_with(|| {
            let all = size::enumerate_canonical(domain.space());
            all.filter(|genotype| !known.contains(genotype) && domain.is_feasible(genotype)).collect()
        });
        while !open.is_empty() {
            let drawn = rng.random_range(0..open.len());
            if !known.contains(&open[drawn]) {
                return Some(open[drawn].clone());
            }
            open.swap_remove(drawn);
        }
        None
    }

    /// A mutant of a known genotype, for a space too large to enumerate.
    fn near_known(&self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Genotype> {
        (0..MUTATION_ATTEMPTS).find_map(|_| {
            let parent = self.known.iter().nth(rng.random_range(0..self.known.len().max(1)))?;
            domain.mutate(parent, rng).filter(|mutant| !self.known.contains(mutant))
        })
    }
}
