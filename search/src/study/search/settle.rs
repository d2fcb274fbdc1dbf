//! From an outcome to a trial that is safe on disk.

use std::sync::mpsc::Receiver;

use super::{Answered, Search};
use crate::contracts::{EvalError, Event};
use crate::domain::violation;
use crate::error::StudyError;
use crate::study::memo;
use crate::study::workers::Answer;
use crate::trials::objectives::objectives;
use crate::trials::{Outcome, Proposal, Seconds, Trial, TrialId};

/// Trial, outcome, whether it was known, time, worker.
pub(super) type Settled = (TrialId, Outcome, bool, Seconds, usize);

impl Search<'_> {
    /// Waits for an answer, and settles it with all others that have come.
    pub(super) fn receive(&mut self, answers: &Receiver<Answer>) -> Result<(), StudyError> {
        let first = answers.recv().expect("workers live as long as the search");
        let mut settled = Vec::new();
        let mut failed = None;
        for answer in std::iter::once(first).chain(answers.try_iter()) {
            let proposal = &self.open[&answer.trial];
            let same = (proposal.genotype.clone(), proposal.fidelity);
            let waiting = self.evaluating.remove(&same).expect("only evaluations that run are answered");
            match answer.outcome {
                Ok(outcome) => {
                    if outcome.is_panic() {
                        self.panicked.insert(same, outcome.clone());
                    }
                    settled.extend(waiting.into_iter().map(|id| {
                        let known = id != answer.trial;
                        let seconds = if known { Seconds::ZERO } else { answer.seconds };
                        (id, outcome.clone(), known, seconds, answer.worker)
                    }));
                }
                Err(EvalError::Interrupted) => self.interrupted = true,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let settled = self.settle(settled);
        let Some(first) = failed else { return settled };
        if let Err(later) = settled {
            tracing::warn!("after the error that is told: {later}");
        }
        Err(first.into())
    }

    /// Writes outcomes into the journal, then into the store, and makes them ready to be told. One that cannot be a trial
    /// does not keep the others from it.
    pub(super) fn settle(&mut self, settled: Vec<Settled>) -> Result<(), StudyError> {
        let mut failed = None;
        let mut events = Vec::new();
        for (id, outcome, known, seconds, worker) in settled {
            let proposal = self.open.remove(&id).expect("only open proposals are settled");
            match self.trial(id, proposal, outcome) {
                Ok(trial) => events.push(Event::Trial { trial, known, seconds, worker }),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if !events.is_empty() {
            self.parts.log.write(&events)?;
            self.journaled += events.len() as u64;
            self.remember(&events)?;
        }
        for event in events {
            if let Event::Trial { trial, known, seconds, worker } = event {
                self.answered.insert(trial.id, Answered { trial, known, seconds, worker });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn remember(&self, events: &[Event]) -> Result<(), StudyError> {
        let mut news = false;
        for event in events {
            if let Event::Trial { trial, known: false, .. } = event
                && memo::belongs(&trial.outcome)
            {
                let key = memo::key(self.parts.fingerprint, &trial.proposal);
                self.parts.store.put(&key, &trial.outcome)?;
                news = true;
            }
        }
        if news { self.parts.store.flush() } else { Ok(()) }
    }

    /// The trial that an outcome makes of a proposal, with costs and objectives.
    pub(super) fn trial(
        &self,
        id: TrialId,
        proposal: Proposal,
        outcome: Outcome,
    ) -> Result<Trial, StudyError> {
        let domain = self.parts.domain;
        let costs = domain.costs(&proposal.genotype).unwrap_or_default();
        let violation = violation(domain.constraints(), &costs).unwrap_or_default();
        let objectives = objectives(id, domain.objectives(), proposal.fidelity, &outcome, &costs)?;
        Ok(Trial { id, proposal, outcome, costs, objectives, violation })
    }
}
