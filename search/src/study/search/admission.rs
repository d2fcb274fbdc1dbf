//! Checks whether a proposal may become a trial, and whether the journal already contains its outcome.

use kiln_space::{Architecture, Genotype, variation};

use crate::domain::{CostError, Domain};
use crate::error::{ProposalFault, StudyError};
use crate::persistence::{JournaledTrial, StudyRecord};
use crate::trials::{Fidelities, Fidelity, Proposal, TrialId};

/// Checks proposals against the strategy's contract, the fidelities that the evaluator supports, and the
/// journal.
pub(super) struct Admission<'a> {
    pub(super) domain: &'a Domain<'a>,
    /// Fidelities that the evaluator supports.
    pub(super) answered: Fidelities,
    pub(super) record: &'a StudyRecord,
}

impl<'a> Admission<'a> {
    /// Refuses a proposal that breaks the strategy's contract or requests an unsupported fidelity.
    pub(super) fn check(&self, id: TrialId, proposal: &Proposal) -> Result<(), StudyError> {
        let answered = self.answered;
        if !answered.answers(proposal.fidelity) {
            return Err(StudyError::Fidelity { fidelity: proposal.fidelity, answered });
        }
        let genotype = &proposal.genotype;
        let refuse = |fault| Err(StudyError::Proposal { trial: id, genotype: genotype.clone(), fault });
        let space = self.domain.space();
        if let Err(error) = variation::check(space.decisions(), genotype) {
            return refuse(ProposalFault::Stranger(error));
        }
        if space.canonical(genotype) != *genotype {
            return refuse(ProposalFault::NotCanonical);
        }
        match self.domain.violation(genotype) {
            Some(violation) if violation > 0.0 => refuse(ProposalFault::Infeasible { violation }),
            _ => Ok(()),
        }
    }

    /// Returns the outcome of trial `id` in the journal, if there is one.
    ///
    /// # Errors
    /// [`StudyError::Replay`] if the trial in the journal has a different genotype or fidelity. This means
    /// that the strategy proposes different trials than in the earlier run.
    pub(super) fn journaled(
        &self,
        id: TrialId,
        proposal: &Proposal,
    ) -> Result<Option<&'a JournaledTrial>, StudyError> {
        let trials = &self.record.trials;
        let Some(journaled) = trials.get(&id) else { return Ok(None) };
        let before = &journaled.trial.proposal;
        if before.genotype == proposal.genotype && before.fidelity == proposal.fidelity {
            return Ok(Some(journaled.as_ref()));
        }
        Err(StudyError::Replay {
            trial: id,
            genotype: proposal.genotype.clone(),
            fidelity: proposal.fidelity,
            journaled: before.genotype.clone(),
            journaled_fidelity: before.fidelity,
            has_rungs: trials.values().any(|known| known.trial.proposal.fidelity != Fidelity::Full),
        })
    }

    /// Returns the architecture of a genotype.
    ///
    /// # Errors
    /// [`CostError`] if the network cannot be built, or its costs are not known.
    pub(super) fn architecture(&self, genotype: &Genotype) -> Result<Architecture, CostError> {
        let architecture = self.domain.space().decode(genotype)?;
        self.domain.costs(genotype)?;
        Ok(architecture)
    }
}
