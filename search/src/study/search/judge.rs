//! From a proposal to its answer: known, impossible, or to be evaluated.

use std::sync::mpsc::Sender;

use kiln_space::{Architecture, Genotype, variation};

use super::{Answered, Search};
use crate::error::StudyError;
use crate::study::memo;
use crate::study::workers::Job;
use crate::trials::seed::trial_seed;
use crate::trials::{FailureKind, Fidelity, Outcome, Proposal, Seconds, TrialId};

impl Search<'_> {
    /// Takes a proposal: answers it from the journal or the store, or has it evaluated.
    pub(super) fn accept(&mut self, proposal: Proposal, jobs: &Sender<Job>) -> Result<(), StudyError> {
        let id = self.next;
        self.next += 1;
        self.check_proposal(id, &proposal)?;
        self.schedule.start(id, proposal.fidelity);
        let record = self.parts.record;
        if let Some(journaled) = record.trials.get(&id) {
            let before = &journaled.trial.proposal;
            if before.genotype != proposal.genotype || before.fidelity != proposal.fidelity {
                return Err(StudyError::Replay {
                    trial: id,
                    genotype: proposal.genotype,
                    fidelity: proposal.fidelity,
                    journaled: before.genotype.clone(),
                    journaled_fidelity: before.fidelity,
                    has_rungs: record
                        .trials
                        .values()
                        .any(|known| known.trial.proposal.fidelity != Fidelity::Full),
                });
            }
            let (seconds, worker) = (journaled.seconds, journaled.worker);
            if !matches!(journaled.trial.outcome, Outcome::Failed { kind: FailureKind::Invalid, .. }) {
                self.pay(&proposal);
            }
            let trial = self.trial(id, proposal, journaled.trial.outcome.clone())?;
            self.answered.insert(id, Answered { trial, known: true, seconds, worker });
            return Ok(());
        }
        match self.buildable(&proposal.genotype) {
            Ok(architecture) => self.evaluate(id, proposal, architecture, jobs),
            Err(reason) => {
                let outcome = Outcome::Failed { kind: FailureKind::Invalid, reason };
                self.open.insert(id, proposal);
                self.settle(vec![(id, outcome, false, Seconds::ZERO, 0)])
            }
        }
    }

    fn evaluate(
        &mut self,
        id: TrialId,
        proposal: Proposal,
        architecture: Architecture,
        jobs: &Sender<Job>,
    ) -> Result<(), StudyError> {
        self.pay(&proposal);
        let same = (proposal.genotype.clone(), proposal.fidelity);
        let known = match self.panicked.get(&same) {
            Some(outcome) => Some(outcome.clone()),
            None => self.parts.store.get(&memo::key(self.parts.fingerprint, &proposal))?,
        };
        self.open.insert(id, proposal);
        if let Some(outcome) = known {
            return self.settle(vec![(id, outcome, true, Seconds::ZERO, 0)]);
        }
        if let Some(waiting) = self.evaluating.get_mut(&same) {
            waiting.push(id);
            return Ok(());
        }
        let (genotype, fidelity) = same.clone();
        let seed = trial_seed(self.parts.settings.seed, &genotype);
        self.evaluating.insert(same, vec![id]);
        let job = Job { trial: id, genotype, architecture, fidelity, seed };
        jobs.send(job).expect("workers live as long as the search");
        Ok(())
    }

    /// The network of a genotype if it can be built and its costs are known, or why not.
    fn buildable(&self, genotype: &Genotype) -> Result<Architecture, String> {
        let architecture = self.parts.domain.space().decode(genotype).map_err(|error| error.to_string())?;
        self.parts.domain.costs(genotype).map_err(|error| error.to_string())?;
        Ok(architecture)
    }

    /// Holds a proposal against the laws of strategies, and against what the evaluator answers.
    fn check_proposal(&self, id: TrialId, proposal: &Proposal) -> Result<(), StudyError> {
        let answered = self.parts.answered;
        if !answered.answers(proposal.fidelity) {
            return Err(StudyError::Fidelity { fidelity: proposal.fidelity, answered });
        }
        let genotype = &proposal.genotype;
        let refuse = |problem| Err(StudyError::Proposal { trial: id, genotype: genotype.clone(), problem });
        let space = self.parts.domain.space();
        if let Err(error) = variation::check(space.decisions(), genotype) {
            return refuse(format!("not in the space: {error}"));
        }
        if space.canonical(genotype) != *genotype {
            return refuse("not canonical".to_owned());
        }
        match self.parts.domain.violation(genotype) {
            Some(violation) if violation > 0.0 => {
                refuse(format!("infeasible: it exceeds the constraints by {violation} of their limits"))
            }
            _ => Ok(()),
        }
    }
}
