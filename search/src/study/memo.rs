//! The store as the study uses it: opened, and completed from the journal where it lacks something.

use std::error::Error;
use std::fs;
use std::path::Path;

use super::log::Log;
use super::panics;
use crate::{Key, Outcome, Proposal, SledStore, Store, StudyError};

/// The store, holding every answer of the journal: `given`, or the one in the folder `path`, which is rebuilt when it
/// cannot be read.
pub(super) fn open(
    given: Option<Box<dyn Store>>,
    path: &Path,
    fingerprint: &str,
    answers: &[(Proposal, Outcome)],
    log: &Log,
) -> Result<Box<dyn Store>, StudyError> {
    // A store that was not there before is new: what is wrong with it is no damage, and another new one has it too.
    let is_damage = given.is_none() && path.exists();
    let opened = given.map_or_else(|| open_sled(path), Ok).and_then(|store| {
        let missing = complete(store.as_ref(), fingerprint, answers)?;
        Ok((store, missing))
    });
    match opened {
        Ok((store, 0)) => Ok(store),
        Ok((store, missing)) => {
            log.warn(format!("{missing} outcomes were missing from the store; restored from the journal"))?;
            Ok(store)
        }
        Err(error @ (StudyError::Store { .. } | StudyError::StoreRecord { .. })) if is_damage => {
            remove(path, &error)?;
            // Where a new one fails too, the old one was perhaps whole: both reasons are told.
            let store = open_sled(path).inspect_err(|_| tracing::warn!("before that: {}", chain(&error)))?;
            let restored = complete(store.as_ref(), fingerprint, answers)?;
            log.warn(format!(
                "the store could not be read ({}); rebuilt from the journal with {restored} outcomes",
                chain(&error)
            ))?;
            Ok(store)
        }
        Err(error) => Err(error),
    }
}

/// Removes a store that is damaged so.
fn remove(path: &Path, damage: &StudyError) -> Result<(), StudyError> {
    fs::remove_dir_all(path).map_err(|source| StudyError::Unmended {
        path: path.to_owned(),
        damage: chain(damage),
        source,
    })
}

/// An error with what led to it.
fn chain(error: &StudyError) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The key of a proposal.
pub(super) fn key(fingerprint: &str, proposal: &Proposal) -> Key {
    Key {
        fingerprint: fingerprint.to_owned(),
        genotype: proposal.genotype.clone(),
        fidelity: proposal.fidelity,
    }
}

/// Whether an outcome belongs into the store. A panic may have causes besides the key, so only the journal keeps it.
pub(super) const fn belongs(outcome: &Outcome) -> bool {
    !outcome.is_panic()
}

fn open_sled(path: &Path) -> Result<Box<dyn Store>, StudyError> {
    // sled panics on some kinds of damage.
    match panics::catch(|| SledStore::open(path)) {
        Ok(opened) => Ok(Box::new(opened?)),
        Err(reason) => Err(StudyError::Store { path: path.to_owned(), source: reason.into() }),
    }
}

/// Puts the answers that the store lacks, and gives their number.
fn complete(
    store: &dyn Store,
    fingerprint: &str,
    answers: &[(Proposal, Outcome)],
) -> Result<u64, StudyError> {
    let mut missing = 0;
    for (proposal, outcome) in answers.iter().filter(|(_, outcome)| belongs(outcome)) {
        let key = key(fingerprint, proposal);
        if store.get(&key)?.as_ref() != Some(outcome) {
            store.put(&key, outcome)?;
            missing += 1;
        }
    }
    if missing > 0 {
        store.flush()?;
    }
    Ok(missing)
}
