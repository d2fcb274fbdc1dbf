//! Turns outcomes into trials that are stored safely on disk.

use std::collections::BTreeMap;

use crate::contracts::Event;
use crate::domain::{Domain, violation};
use crate::error::StudyError;
use crate::persistence::{JournaledTrial, Store};
use crate::study::log::Log;
use crate::study::memo;
use crate::trials::objectives::objectives;
use crate::trials::{Outcome, Proposal, Seconds, Trial, TrialId};

/// A proposal with its outcome, before it is written to the journal.
pub(super) struct Settled {
    pub(super) id: TrialId,
    pub(super) proposal: Proposal,
    pub(super) outcome: Outcome,
    /// Whether the outcome was known without a new evaluation.
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

/// Writes outcomes to the journal, then to the store. Keeps the trials until they are reported to the
/// strategy.
///
/// Every trial is synced to disk before it leaves the ledger. So a crash can never undo a trial that was
/// reported to the strategy or the observers.
pub(super) struct Ledger<'a> {
    domain: &'a Domain<'a>,
    store: &'a dyn Store,
    fingerprint: &'a str,
    log: &'a Log,
    /// Trials in the journal that were not reported to the strategy yet.
    answered: BTreeMap<TrialId, Answered>,
    /// Number of trials in the journal.
    journaled: u64,
}

impl<'a> Ledger<'a> {
    /// Creates a ledger for a journal that contains this many trials.
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

    /// Whether this trial is ready to be reported.
    pub(super) fn has(&self, id: TrialId) -> bool {
        self.answered.contains_key(&id)
    }

    /// Removes a trial from the ledger so that it can be reported.
    pub(super) fn take(&mut self, id: TrialId) -> Answered {
        self.answered.remove(&id).expect("only answered trials are told")
    }

    /// Returns the store's outcome for a proposal, if there is one.
    pub(super) fn remembered(&self, proposal: &Proposal) -> Result<Option<Outcome>, StudyError> {
        self.store.get(&memo::key(self.fingerprint, proposal))
    }

    /// Adds a trial that is already in the journal. Its objectives are recomputed from the outcome.
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

    /// Writes outcomes to the journal, then to the store. Their trials are then ready to be reported. If one
    /// outcome cannot become a trial, the other outcomes are still recorded.
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
            // The journal is authoritative: after a crash between the two writes, the store is completed from
            // the journal.
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

    /// Creates the trial of a proposal and its outcome, including costs and objectives.
    fn trial(&self, id: TrialId, proposal: Proposal, outcome: Outcome) -> Result<Trial, StudyError> {
        let costs = self.domain.costs(&proposal.genotype).unwrap_or_default();
        let violation = violation(self.domain.constraints(), &costs).unwrap_or_default();
        let names = self.domain.objectives();
        let objectives = objectives(id, names, proposal.fidelity, &outcome, &costs)?;
        Ok(Trial { id, proposal, outcome, costs, objectives, violation })
    }
}
