//! Measures the effort of studies: the unit of effort, and the effort spent after each trial.

use std::fmt;
use std::time::Duration;

use kiln_search::{Fidelity, Trial};
use serde::Serialize;

use super::Contender;
use crate::units;

/// The unit of effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// Number of trials. This unit is used if every trial took the same effort.
    Trials,
    /// Trained epochs, summed over the trials. Each trial counts as if its training had started from newly
    /// initialized weights.
    Epochs,
    /// Seconds of evaluation, summed over the trials.
    Seconds,
}

impl Measure {
    /// Chooses trials if all trials took the same effort. Otherwise, chooses epochs if every trial's number
    /// of epochs is known. Otherwise, chooses seconds.
    pub(super) fn of(contenders: &[Contender]) -> Self {
        let trials =
            || contenders.iter().flat_map(|study| study.trials.iter().map(move |trial| (study, trial)));
        let effort = |(study, trial): (&Contender, &Trial)| {
            (trial.proposal.fidelity, study.evaluator.clone(), study.full_epochs)
        };
        let mut efforts = trials().map(effort);
        let first = efforts.next();
        if efforts.all(|effort| Some(&effort) == first.as_ref()) {
            return Self::Trials;
        }
        if trials().all(|(study, trial)| epochs(trial, study.full_epochs).is_some()) {
            Self::Epochs
        } else {
            Self::Seconds
        }
    }

    /// Returns the effort that a study has spent after each of its trials.
    pub(super) fn spent(self, study: &Contender) -> Vec<f64> {
        let mut total = 0.0;
        let of = |(index, trial): (usize, &Trial)| match self {
            Self::Trials => 1.0,
            Self::Epochs => epochs(trial, study.full_epochs).unwrap_or(0) as f64,
            Self::Seconds => study.seconds_of.get(index).map_or(0.0, |seconds| seconds.get()),
        };
        let add = |effort: f64| {
            total += effort;
            total
        };
        study.trials.iter().enumerate().map(of).map(add).collect()
    }

    /// Returns `1 / parts` of an amount of effort, rounded to whole trials or epochs.
    pub(super) fn part(self, all: f64, parts: usize) -> f64 {
        let part = all / parts as f64;
        if self == Self::Seconds { part } else { part.floor() }
    }

    /// Formats an amount of effort with its unit.
    pub(super) fn text(self, amount: f64) -> String {
        match self {
            Self::Trials => format!("{amount:.0}"),
            Self::Epochs => format!("{amount:.0} epochs"),
            Self::Seconds => units::duration(Duration::try_from_secs_f64(amount).unwrap_or(Duration::MAX)),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trials => "trials",
            Self::Epochs => "epochs",
            Self::Seconds => "seconds",
        })
    }
}

/// Returns the number of epochs for which a trial was trained. Returns `None` if the number of epochs of a
/// full training is unknown.
pub(super) fn epochs(trial: &Trial, full: Option<u32>) -> Option<u64> {
    match trial.proposal.fidelity {
        Fidelity::Proxy => Some(0),
        Fidelity::Epochs(epochs) => full.map(|full| u64::from(epochs.min(full))),
        Fidelity::Full => full.map(u64::from),
    }
}

/// Describes the fidelity of the trials on a study's front.
pub(super) fn judged(fidelity: Option<Fidelity>, full: Option<u32>) -> String {
    let Some(fidelity) = fidelity else { return "-".to_owned() };
    fidelity.qualifier(full.unwrap_or(0)).unwrap_or_else(|| {
        full.map_or_else(|| "with full effort".to_owned(), |full| format!("after {}", Fidelity::Epochs(full)))
    })
}
