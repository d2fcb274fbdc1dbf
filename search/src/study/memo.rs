//! Opens the store, compares it with the journal, and adds outcomes that only the journal has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use kiln_space::Genotype;

use super::log::Log;
use super::panics;
use crate::error::{Contradiction, StoreDamage, StudyError};
use crate::persistence::{JournaledTrial, Key, SledStore, Store, StudyRecord};
use crate::trials::{Fidelity, Outcome, Proposal};

/// Returns a store that contains every outcome of the journal. This is the store `given`, or else the store
/// in the folder `path`. The store in the folder is rebuilt if it cannot be read or contradicts a journal
/// line that has a valid check.
pub(super) fn open(
    given: Option<Box<dyn Store>>,
    path: &Path,
    fingerprint: &str,
    record: &StudyRecord,
    log: &Log,
) -> Result<Box<dyn Store>, StudyError> {
    let answers = Answers::new(fingerprint, record)?;
    if let Some(store) = given {
        let compared = answers.look_up(store.as_ref())?;
        for found in &compared.contradictions {
            found.check(path)?;
            log.warn(format!("the store {}; it takes over the journal's", found.contradiction))?;
        }
        compared.complete(store.as_ref(), &answers, log)?;
        return Ok(store);
    }
    // If the store did not exist before, it is new. An error of a new store is no sign of damage, and another
    // new store would return the same error.
    let is_old = path.exists();
    let opened = open_sled(path).and_then(|store| {
        let compared = answers.compare(store.as_ref())?;
        Ok((store, compared))
    });
    let damage = match opened {
        Ok((store, compared)) => {
            for found in &compared.contradictions {
                found.check(path)?;
            }
            match compared.contradictions.first() {
                None => {
                    compared.complete(store.as_ref(), &answers, log)?;
                    return Ok(store);
                }
                Some(first) => StoreDamage::Contradicts(first.contradiction.clone()),
            }
        }
        Err(error @ (StudyError::Store { .. } | StudyError::StoreRecord { .. })) if is_old => {
            StoreDamage::Unreadable(error.into())
        }
        Err(error) => return Err(error),
    };
    let said = damage.to_string();
    fs::remove_dir_all(path).map_err(|source| StudyError::Unmended {
        path: path.to_owned(),
        damage,
        source,
    })?;
    // If the new store also fails, the old store may have been intact. Both errors are reported.
    let store = open_sled(path).inspect_err(|_| tracing::warn!("before that: {said}"))?;
    let restored = answers.put_missing(store.as_ref(), &BTreeSet::new())?;
    log.warn(format!("{said}; rebuilt from the journal with {restored} outcomes"))?;
    Ok(store)
}

/// Returns the store's key for a proposal.
pub(super) fn key(fingerprint: &str, proposal: &Proposal) -> Key {
    Key {
        fingerprint: fingerprint.to_owned(),
        genotype: proposal.genotype.clone(),
        fidelity: proposal.fidelity,
    }
}

/// Whether an outcome belongs in the store. Breakdowns are recorded only in the journal, since they may have
/// causes that are not part of the key.
pub(super) const fn belongs(outcome: &Outcome) -> bool {
    !outcome.is_breakdown()
}

fn open_sled(path: &Path) -> Result<Box<dyn Store>, StudyError> {
    // sled panics on some kinds of damage.
    match panics::catch(|| SledStore::open(path)) {
        Ok(opened) => Ok(Box::new(opened?)),
        Err(panic) => Err(StudyError::Store { path: path.to_owned(), source: panic.into() }),
    }
}

type Asked<'a> = (&'a Genotype, Fidelity);

fn asked(answer: &JournaledTrial) -> Asked<'_> {
    (&answer.trial.proposal.genotype, answer.trial.proposal.fidelity)
}

/// The trials of a journal whose outcomes belong in the store, by genotype and fidelity.
struct Answers<'a> {
    fingerprint: &'a str,
    by_question: BTreeMap<Asked<'a>, &'a JournaledTrial>,
}

/// The result of comparing a store with the journal.
#[derive(Default)]
struct Compared<'a> {
    /// Genotypes and fidelities for which the store and the journal have the same outcome.
    found: BTreeSet<Asked<'a>>,
    contradictions: Vec<Found>,
    /// Number of outcomes that are in the store but not in the journal. It is 0 if they were not counted.
    unknown: u64,
}

/// A contradiction, and whether the journal's line has a check.
struct Found {
    contradiction: Contradiction,
    checked: bool,
}

impl<'a> Answers<'a> {
    /// Trials with equal genotype and fidelity must have equal outcomes, so different outcomes are an error.
    fn new(fingerprint: &'a str, record: &'a StudyRecord) -> Result<Self, StudyError> {
        let mut by_question: BTreeMap<Asked<'a>, &'a JournaledTrial> = BTreeMap::new();
        for answer in record.answers().filter(|answer| belongs(&answer.trial.outcome)) {
            let before = by_question.insert(asked(answer), answer);
            if let Some(before) = before.filter(|before| before.trial.outcome != answer.trial.outcome) {
                return Err(StudyError::Inconsistent {
                    trials: [before.trial.id, answer.trial.id],
                    outcomes: [said(&before.trial.outcome), said(&answer.trial.outcome)],
                });
            }
        }
        Ok(Self { fingerprint, by_question })
    }

    /// Looks up each outcome of the journal in the store, and compares the two outcomes.
    fn look_up(&self, store: &dyn Store) -> Result<Compared<'a>, StudyError> {
        let mut compared = Compared::default();
        for answer in self.by_question.values() {
            if let Some(outcome) = store.get(&key(self.fingerprint, &answer.trial.proposal))? {
                compared.add(answer, &outcome);
            }
        }
        Ok(compared)
    }

    /// Compares all entries of the store with the journal.
    fn compare(&self, store: &dyn Store) -> Result<Compared<'a>, StudyError> {
        let mut compared = Compared::default();
        for entry in store.iter() {
            let (key, outcome) = entry?;
            if key.fingerprint != self.fingerprint {
                continue;
            }
            match self.by_question.get(&(&key.genotype, key.fidelity)) {
                Some(answer) => compared.add(answer, &outcome),
                None => compared.unknown += 1,
            }
        }
        Ok(compared)
    }

    /// Puts the outcomes that are not in `found` into the store, and returns their number.
    fn put_missing(&self, store: &dyn Store, found: &BTreeSet<Asked<'_>>) -> Result<u64, StudyError> {
        let mut missing = 0;
        for answer in self.by_question.values().filter(|answer| !found.contains(&asked(answer))) {
            store.put(&key(self.fingerprint, &answer.trial.proposal), &answer.trial.outcome)?;
            missing += 1;
        }
        if missing > 0 {
            store.flush()?;
        }
        Ok(missing)
    }
}

impl<'a> Compared<'a> {
    fn add(&mut self, answer: &'a JournaledTrial, outcome: &Outcome) {
        if *outcome == answer.trial.outcome {
            self.found.insert(asked(answer));
        } else {
            let (journal, store) = (said(&answer.trial.outcome), said(outcome));
            let contradiction = Contradiction { trial: answer.trial.id, journal, store };
            self.contradictions.push(Found { contradiction, checked: answer.checked });
        }
    }

    /// Adds the outcomes that are only in the journal to the store. Warns about outcomes that were missing in
    /// the store or in the journal.
    fn complete(&self, store: &dyn Store, answers: &Answers<'_>, log: &Log) -> Result<(), StudyError> {
        let missing = answers.put_missing(store, &self.found)?;
        if missing > 0 {
            log.warn(format!("{missing} outcomes were missing from the store; restored from the journal"))?;
        }
        if self.unknown > 0 {
            log.warn(format!(
                "the store holds {} outcomes that the journal lacks: lines were cut from the journal; these \
                 outcomes answer where they are asked for again",
                self.unknown
            ))?;
        }
        Ok(())
    }
}

impl Found {
    /// Returns an error if the journal's line has no check. Without a check, it is unknown which of the two
    /// outcomes is right.
    fn check(&self, store: &Path) -> Result<(), StudyError> {
        if self.checked {
            return Ok(());
        }
        let Contradiction { trial, journal, store: found } = self.contradiction.clone();
        Err(StudyError::Contradiction { path: store.to_owned(), trial, journal, store: found })
    }
}

fn said(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).expect("an outcome is plain data")
}
