//! From an outcome to a trial that is safe on disk.

use std::collections::BTreeMap;

use crate::contracts::Event;
use crate::domain::{Domain, violation};
use crate::error::StudyError;
use crate::persistence::{JournaledTrial, Store};
use crate::study::log::Log;
use crate::study::memo;
use crate::trials::objectives::objectives;
use crate::trials::{Outcome, Proposal, Seconds, Trial, TrialId};

/// A proposal with its outcome, on its way to the journal.
pub(super) struct Settled {
    pub(super) id: TrialId,
    pub(super) proposal: Proposal,
    pub(super) outcome: Outcome,
    /// Whether the outcome was known before.
    pub(super) known: bool,
    pub(super) seconds: Seconds,
    pub(super) worker: usize,
}

/// A trial that is in the journal.
pub(super) struct Answered {
    pub(super) trial: Trial,
    pub(super) known: bool,
    pub(super) seconds: Seconds,
    pub(super) worker: usize,
}

/// Writes outcomes into the journal, then into the store, and keeps the trials until they are told.
///
/// Nothing leaves the ledger that is not synced: a strategy or a screen never hears of a trial that a crash
/// could take back.
pub(super) struct Ledger<'a> {
    domain: &'a Domain<'a>,
    store: &'a dyn Store,
    fingerprint: &'a str,
    log: &'a Log,
    /// Trials in the journal that are not told yet.
    answered: BTreeMap<TrialId, Answered>,
    /// Trials in the journal.
    journaled: u64,
}

impl<'a> Ledger<'a> {
    /// A ledger behind a journal that has this many trials.
    pub(super) const fn new(
        domain: &'a Domain<'a>,
        store: &'a dyn Store,
        fingerprint: &'a str,
        log: &'a Log,
        journaled: u64,
    ) -> Self {
        Self { domain, store, fingerprint, log, answered: BTreeMap::new(), journaled }
    }

    /// Number of trials in the journal.
    pub(super) const fn journaled(&self) -> u64 {
        self.journaled
    }

    /// Whether this trial can be told.
    pub(super) fn has(&self, id: TrialId) -> bool {
        self.answered.contains_key(&id)
    }

    /// Takes out a trial to tell it.
    pub(super) fn take(&mut self, id: TrialId) -> Answered {
        self.answered.remove(&id).expect("only answered trials are told")
    }

    /// The store's outcome for a proposal.
    pub(super) fn remembered(&self, proposal: &Proposal) -> Result<Option<Outcome>, StudyError> {
        self.store.get(&memo::key(self.fingerprint, proposal))
    }

    /// Takes over a trial that the journal has. Its objectives follow anew from the outcome.
    pub(super) fn take_over(
        &mut self,
        proposal: Proposal,
        journaled: &JournaledTrial,
    ) -> Result<(), StudyError> {
        let JournaledTrial { trial, seconds, worker, .. } = journaled;
        let trial = self.trial(trial.id, proposal, trial.outcome.clone())?;
        let answered = Answered { trial, known: true, seconds: *seconds, worker: *worker };
        self.answered.insert(answered.trial.id, answered);
        Ok(())
    }

    /// Writes outcomes into the journal, then into the store, and makes them ready to be told. One that
    /// cannot be a trial does not keep the others from it.
    pub(super) fn settle(&mut self, settled: Vec<Settled>) -> Result<(), StudyError> {
        let mut failed = None;
        let mut events = Vec::new();
        for Settled { id, proposal, outcome, known, seconds, worker } in settled {
            match self.trial(id, proposal, outcome) {
                Ok(trial) => events.push(Event::Trial { trial, known, seconds, worker }),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if !events.is_empty() {
            // The journal is the authority: after a crash between the two, the store is completed from it.
            self.log.write(&events)?;
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
        let mut has_news = false;
        for event in events {
            if let Event::Trial { trial, known: false, .. } = event
                && memo::belongs(&trial.outcome)
            {
                let key = memo::key(self.fingerprint, &trial.proposal);
                self.store.put(&key, &trial.outcome)?;
                has_news = true;
            }
        }
        if has_news { self.store.flush() } else { Ok(()) }
    }

    /// The trial that an outcome makes of a proposal, with costs and objectives.
    fn trial(&self, id: TrialId, proposal: Proposal, outcome: Outcome) -> Result<Trial, StudyError> {
        let costs = self.domain.costs(&proposal.genotype).unwrap_or_default();
        let violation = violation(self.domain.constraints(), &costs).unwrap_or_default();
        let names = self.domain.objectives();
        let objectives = objectives(id, names, proposal.fidelity, &outcome, &costs)?;
        Ok(Trial { id, proposal, outcome, costs, objectives, violation })
    }
}
