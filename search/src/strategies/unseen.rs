//! Finds genotypes that a strategy has not proposed yet. Every method makes a limited number of attempts.

use std::collections::BTreeSet;

use kiln_space::{Genotype, size};
use rand::{Rng, RngExt};

use crate::contracts::Ask;
use crate::domain::Domain;
use crate::trials::{Fidelity, Origin, Proposal};

/// Number of random draws before a small space is enumerated.
const SAMPLE_ATTEMPTS: usize = 24;
/// Maximum size of a space that strategies enumerate. In such a space, a strategy ends after it has proposed
/// every genotype.
pub const ENUMERABLE: u32 = 20_000;
/// Number of mutations of known genotypes that are tried in a space too large to enumerate.
const MUTATION_ATTEMPTS: usize = 200;

/// Records the genotypes that were proposed or reported, and finds other genotypes.
#[derive(Clone, Debug, Default)]
pub(super) struct Unseen {
    known: BTreeSet<Genotype>,
    /// The genotypes of the space, less those that were known when the space was enumerated. Some of the
    /// remaining genotypes may be known by now. `None` before the space is enumerated.
    open: Option<Vec<Genotype>>,
}

impl Unseen {
    /// Whether a genotype was proposed or reported.
    pub(super) fn is_known(&self, genotype: &Genotype) -> bool {
        self.known.contains(genotype)
    }

    /// Marks a genotype as known. Returns false if it was already known.
    pub(super) fn insert(&mut self, genotype: &Genotype) -> bool {
        self.known.insert(genotype.clone())
    }

    /// Proposes `found` with full fidelity, or a random genotype if `found` is `None`. Returns `Done` if no
    /// genotype is left.
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

    /// Returns a feasible genotype that is not known. If possible, [`Domain::sample`] draws it. If several
    /// draws find only known genotypes, it is a remaining genotype in a small space, or a mutant of a known
    /// genotype in a large space. Returns `None` if the space is used up, or after a bounded number of
    /// attempts.
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

    /// Returns a mutant of a known genotype, for a space too large to enumerate.
    fn near_known(&self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Genotype> {
        (0..MUTATION_ATTEMPTS).find_map(|_| {
            let parent = self.known.iter().nth(rng.random_range(0..self.known.len().max(1)))?;
            domain.mutate(parent, rng).filter(|mutant| !self.known.contains(mutant))
        })
    }
}
