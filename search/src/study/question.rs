//! The genotype and fidelity of an evaluation.

use kiln_space::Genotype;

use crate::trials::{Fidelity, Proposal};

/// A genotype and a fidelity to evaluate. Equal questions have equal outcomes, so each question uses the
/// budget only once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) genotype: Genotype,
    pub(super) fidelity: Fidelity,
}

impl From<&Proposal> for Question {
    fn from(proposal: &Proposal) -> Self {
        Self { genotype: proposal.genotype.clone(), fidelity: proposal.fidelity }
    }
}
