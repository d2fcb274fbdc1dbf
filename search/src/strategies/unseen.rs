//! Genotypes that a strategy has not proposed yet. Every search for one is bounded.

use std::collections::BTreeSet;

use kiln_space::{Genotype, size};
use rand::{Rng, RngExt};

use crate::contracts::Ask;
use crate::domain::Domain;
use crate::trials::{Fidelity, Origin, Proposal};

/// Draws before small spaces are enumerated.
const SAMPLE_ATTEMPTS: usize = 24;
/// Genotypes of a space up to which strategies go through all of them, and end when they have.
pub const ENUMERABLE: u32 = 20_000;
/// Mutations of known genotypes in a space too large to enumerate.
const MUTATION_ATTEMPTS: usize = 200;

/// Keeps what was proposed or told, and finds what was not.
#[derive(Clone, Debug, Default)]
pub(super) struct Unseen {
    known: BTreeSet<Genotype>,
    /// Of a small space that was enumerated: what is open, and some that became known since.
    open: Option<Vec<Genotype>>,
}

impl Unseen {
    /// Whether it was proposed or told.
    pub(super) fn is_known(&self, genotype: &Genotype) -> bool {
        self.known.contains(genotype)
    }

    /// Marks a genotype; false if it was known.
    pub(super) fn insert(&mut self, genotype: &Genotype) -> bool {
        self.known.insert(genotype.clone())
    }

    /// Proposes what was found, or a random genotype where nothing was, with full effort; done where none is left.
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

    /// A feasible genotype that is not known: a draw of [`Domain::sample`] as long as these bring something new, then one
    /// of those left or a mutant of something known. `None` when the space is used up, or nothing was found in bounded attempts.
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

    /// In a space too large to enumerate: a mutant of something known.
    fn near_known(&self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Genotype> {
        (0..MUTATION_ATTEMPTS).find_map(|_| {
            let parent = self.known.iter().nth(rng.random_range(0..self.known.len().max(1)))?;
            domain.mutate(parent, rng).filter(|mutant| !self.known.contains(mutant))
        })
    }
}
