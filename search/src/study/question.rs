//! What an evaluation is asked.

use kiln_space::Genotype;

use crate::trials::{Fidelity, Proposal};

/// A genotype and an effort. Equal questions have equal answers, so each is evaluated and paid for once.
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
