//! Genotypes to try first, with where they come from.

use kiln_space::Genotype;

use crate::trials::TrialId;

/// A genotype to try first.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) genotype: Genotype,
    pub(super) source: Source,
}

/// Where a genotype to try first comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The config, at this index of `start`.
    Given(usize),
    /// This trial of the study that `transfer` names.
    Trial(TrialId),
    /// The choice of proxies.
    Proxies,
}
