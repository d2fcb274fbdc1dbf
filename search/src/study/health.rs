//! The health of shared weights. It is checked once, between the prepare stage and the search stage, and
//! recorded in the journal.

use super::log::Log;
use crate::contracts::{Evaluator, Event, SupernetHealth};
use crate::error::StudyError;
use crate::persistence::StudyRecord;

/// Returns the health in the journal if it belongs to these weights. Otherwise the evaluator checks the
/// weights now. A study that has ended is not checked any more, unless it is strict.
///
/// # Errors
/// [`StudyError::Unhealthy`] if the study is strict; errors of the evaluator and the journal.
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
