//! The health check of shared weights. The check runs once, between the prepare stage and the search stage,
//! and its result is recorded in the journal.

use super::log::Log;
use crate::contracts::{Evaluator, Event, SupernetHealth};
use crate::error::StudyError;
use crate::persistence::StudyRecord;

/// Returns the health in the journal, if the journal's health belongs to the current weights. Otherwise the
/// evaluator checks the weights now. The weights of a study that has ended are not checked, unless the study
/// is strict.
///
/// # Errors
/// [`StudyError::Unhealthy`] if the check failed and the study is strict. Also errors of the evaluator and
/// the journal.
pub(super) fn check(
    evaluator: &dyn Evaluator,
    fingerprint: &str,
    record: &StudyRecord,
    strict: bool,
    log: &Log,
) -> Result<Option<SupernetHealth>, StudyError> {
    let is_of_these_weights = record.fingerprint.as_deref() == Some(fingerprint);
    let health = match record.health.clone().filter(|_| is_of_these_weights) {
        Some(health) => {
            log.show(&Event::Health { health: health.clone() });
            health
        }
        None if record.ended && is_of_these_weights && !strict => return Ok(None),
        None => {
            let Some(health) = evaluator.health(log)? else { return Ok(None) };
            log.record(&Event::Health { health: health.clone() })?;
            health
        }
    };
    if !health.healthy {
        tracing::warn!("{}", health.message());
        if strict {
            return Err(StudyError::Unhealthy { health: Box::new(health) });
        }
    }
    Ok(Some(health))
}
