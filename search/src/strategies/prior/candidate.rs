//! Genotypes to try first, with their sources.

use kiln_space::Genotype;

use crate::trials::TrialId;

/// A genotype to try first.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) genotype: Genotype,
    pub(super) source: Source,
}

/// The source of a genotype to try first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The config lists the genotype in `start` at this index.
    Given(usize),
    /// The genotype of this trial in the study that `transfer` names.
    Trial(TrialId),
    /// The choice of proxies.
    Proxies,
}
