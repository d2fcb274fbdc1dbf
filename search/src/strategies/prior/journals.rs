//! Trials of earlier studies, read from their journals.

use std::path::Path;

use super::candidate::{Candidate, Source};
use crate::comparison::pareto::{self, Point};
use crate::contracts::Event;
use crate::error::StudyError;
use crate::persistence::JournalReader;
use crate::trials::Trial;

/// Reads the measured trials of a journal.
pub(super) fn trials(journal: &Path) -> Result<Vec<Trial>, StudyError> {
    let mut reader = JournalReader::open(journal)?;
    let mut trials = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        if let Event::Trial { trial, .. } = entry.event
            && !trial.objectives.0.is_empty()
        {
            trials.push(trial);
        }
    }
    for doubt in reader.doubts().sentences() {
        tracing::warn!("{}: {doubt}", journal.display());
    }
    Ok(trials)
}

/// Reads the genotypes that a study evaluated at its highest fidelity. They are ordered from best to worst by
/// non-dominated rank, then by crowding distance.
pub(super) fn ranked(journal: &Path) -> Result<Vec<Candidate>, StudyError> {
    let trials = trials(journal)?;
    let highest = trials.iter().map(|trial| trial.proposal.fidelity).max();
    let trials: Vec<&Trial> =
        trials.iter().filter(|trial| Some(trial.proposal.fidelity) == highest).collect();
    let points: Vec<Point<'_>> = trials.iter().map(|trial| Point::from(*trial)).collect();
    let candidate = |at: usize| Candidate {
        genotype: trials[at].proposal.genotype.clone(),
        source: Source::Trial(trials[at].id),
    };
    Ok(pareto::order(&points).into_iter().map(candidate).collect())
}
