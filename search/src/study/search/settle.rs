//! From an outcome to a trial that is safe on disk.

use std::sync::mpsc::Receiver;

use super::{Answered, Search};
use crate::study::memo;
use crate::study::workers::Answer;
use crate::{
    Costs, EvalError, Event, Fidelity, Objectives, Outcome, Proposal, StudyError, Trial, TrialId, constraint,
};

/// Trial, outcome, whether it was known, seconds, worker.
pub(super) type Settled = (TrialId, Outcome, bool, f64, usize);

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
                        (id, outcome.clone(), known, if known { 0.0 } else { answer.seconds }, answer.worker)
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
        let violation = constraint::violation(domain.constraints(), &costs).unwrap_or_default();
        let objectives = objectives(id, domain.objectives(), proposal.fidelity, &outcome, &costs)?;
        Ok(Trial { id, proposal, outcome, costs, objectives, violation })
    }
}

/// Values of the objectives: what was measured, or else a cost. A failed trial has none. A proxy that measures one thing
/// alone stands in for every objective that only training can measure.
fn objectives(
    trial: TrialId,
    names: &[String],
    fidelity: Fidelity,
    outcome: &Outcome,
    costs: &Costs,
) -> Result<Objectives, StudyError> {
    let Some(measurement) = outcome.measurement() else { return Ok(Objectives::default()) };
    let stand_in = match (fidelity, measurement.metrics().len()) {
        (Fidelity::Proxy, 1) => measurement.metrics().values().next().copied(),
        _ => None,
    };
    let value = |name: &String| {
        let found = measurement.get(name).or_else(|| costs.0.get(name).copied()).or(stand_in);
        found.ok_or_else(|| StudyError::UnknownObjective {
            trial,
            objective: name.clone(),
            known: measurement.metrics().keys().chain(costs.0.keys()).cloned().collect(),
        })
    };
    names.iter().map(value).collect::<Result<_, _>>().map(Objectives)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn values(fidelity: Fidelity, metrics: &[(&str, f64)]) -> Result<Vec<f64>, StudyError> {
        let names = ["error_percent".to_owned(), "latency_us".to_owned()];
        let table = |pairs: &[(&str, f64)]| -> BTreeMap<String, f64> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let outcome = Outcome::from_metrics(table(metrics));
        let costs = Costs(table(&[("latency_us", 7.0)]));
        objectives(0, &names, fidelity, &outcome, &costs).map(|objectives| objectives.0)
    }

    #[test]
    fn a_proxy_stands_in_for_what_only_training_measures() {
        assert_eq!(values(Fidelity::Proxy, &[("negative_naswot", -3.0)]).unwrap(), [-3.0, 7.0]);
        assert_eq!(values(Fidelity::Full, &[("error_percent", 2.0), ("loss", 9.0)]).unwrap(), [2.0, 7.0]);
        assert!(values(Fidelity::Full, &[("negative_naswot", -3.0)]).is_err(), "only at its own fidelity");
        assert!(values(Fidelity::Proxy, &[("a", 1.0), ("b", 2.0)]).is_err(), "which of them it would be");
    }
}
