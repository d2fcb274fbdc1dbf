//! The genotypes to try first, with their sources.

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
    /// `start` in the config lists the genotype at this index.
    Given(usize),
    /// This trial of the study that `transfer` names has the genotype.
    Trial(TrialId),
    /// Zero-cost proxies chose the genotype.
    Proxies,
}
