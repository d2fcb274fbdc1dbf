//! Checks that a study can have written the lines of a journal. Other lines count as damaged, even if they
//! have a valid check.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use crate::contracts::{Event, Finished, MAX_IN_FLIGHT};
use crate::domain::{Constraint, violation};
use crate::error::Implausible;
use crate::trials::objectives::{are_possible, objectives};
use crate::trials::{Trial, TrialId};

/// The study's config, as far as it is known, and the trials in the journal's lines so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Plausibility {
    /// Names of the study's objectives, if they are known.
    pub(super) objectives: Option<Vec<String>>,
    /// Constraints of the study. Empty if they are not known.
    pub(super) constraints: Vec<Constraint>,
    /// Ids of the trials since the last retry.
    trials: BTreeSet<TrialId>,
}

/// Whether a relative path stays inside the folder to which it is joined.
fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

impl Plausibility {
    /// Checks the next event of a journal.
    pub(super) fn check(&mut self, event: &Event) -> Result<(), Implausible> {
        match event {
            Event::Trial { trial, .. } => self.check_trial(trial),
            Event::Retried { trials } => {
                self.check_known(trials)?;
                self.trials.clear();
                Ok(())
            }
            Event::Searched { trials, front } => {
                if *trials > self.trials.len() as u64 {
                    return Err(Implausible::Told { told: *trials, finished: self.trials.len() });
                }
                if !front.is_sorted_by(|a, b| a < b) {
                    return Err(Implausible::Order(front.clone()));
                }
                self.check_known(front)
            }
            Event::Finished { finished: Finished { trial, metrics, files }, .. } => {
                if let Some((name, value)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
                    let (trial, name, value) = (*trial, name.clone(), *value);
                    return Err(Implausible::NotFinite { trial, name, value });
                }
                if let Some(file) = files.iter().find(|file| !is_inside(&file.name)) {
                    return Err(Implausible::Outside { trial: *trial, name: file.name.clone() });
                }
                self.check_known(&[*trial])
            }
            Event::Measured { measured, .. } => {
                if let Some((name, value)) = measured.implausible() {
                    let (trial, name) = (measured.trial, name.to_owned());
                    return Err(Implausible::NotFinite { trial, name, value });
                }
                self.check_known(&[measured.trial])
            }
            Event::Started { .. }
            | Event::Progress { .. }
            | Event::Prepared { .. }
            | Event::Health { .. }
            | Event::SearchEnd { .. }
            | Event::Rejections { .. }
            | Event::Ended
            | Event::Warning { .. } => Ok(()),
        }
    }

    fn check_known(&self, trials: &[TrialId]) -> Result<(), Implausible> {
        match trials.iter().find(|trial| !self.trials.contains(trial)) {
            Some(unknown) => Err(Implausible::Unknown(*unknown)),
            None => Ok(()),
        }
    }

    fn check_trial(&mut self, trial: &Trial) -> Result<(), Implausible> {
        let (id, before) = (trial.id, self.trials.len());
        // Every trial that was reported to the strategy is in the journal. At most `MAX_IN_FLIGHT` other
        // trials can be unfinished at the same time.
        if id >= (before as u64).saturating_add(MAX_IN_FLIGHT) {
            return Err(Implausible::Ahead { trial: id, before });
        }
        if let Some((name, value)) = trial.costs.0.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Implausible::NotFinite { trial: id, name: name.clone(), value: *value });
        }
        self.check_objectives(trial)?;
        self.check_violation(trial)?;
        if self.trials.insert(id) { Ok(()) } else { Err(Implausible::Twice(id)) }
    }

    fn check_objectives(&self, trial: &Trial) -> Result<(), Implausible> {
        let Trial { id, proposal, outcome, costs, objectives: found, .. } = trial;
        let wrong = |expected| Err(Implausible::Objectives { trial: *id, found: found.0.clone(), expected });
        let Some(names) = &self.objectives else {
            return if are_possible(found, outcome, costs) { Ok(()) } else { wrong(None) };
        };
        let Ok(expected) = objectives(*id, names, proposal.fidelity, outcome, costs) else {
            return wrong(None);
        };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        if bits(&expected.0) == bits(&found.0) { Ok(()) } else { wrong(Some(expected.0)) }
    }

    /// Checks that the violation follows from the line's costs. A line without a constrained cost is not
    /// checked.
    fn check_violation(&self, trial: &Trial) -> Result<(), Implausible> {
        let (id, found) = (trial.id, trial.violation);
        let wrong = |expected| Err(Implausible::Violation { trial: id, found, expected });
        if !(found >= 0.0 && found.is_finite()) {
            return wrong(None);
        }
        match violation(&self.constraints, &trial.costs) {
            Some(expected) if !self.constraints.is_empty() && expected.to_bits() != found.to_bits() => {
                wrong(Some(expected))
            }
            _ => Ok(()),
        }
    }
}
