//! Settings of a study, and checks of their values.

use std::collections::BTreeMap;

use crate::contracts::MAX_IN_FLIGHT;
use crate::domain::{Constraint, CostSet};
use crate::error::StudyError;
use crate::persistence::check_study_name;

/// Maximum number of hours in a budget, which is a century.
pub const MAX_HOURS: f64 = 876_600.0;

/// Settings of a study other than its parts. When a study is resumed, only the fields from `trials` on may
/// differ.
#[derive(Clone, Debug, PartialEq)]
pub struct StudySettings {
    /// Name of the study and of its run folder.
    pub name: String,
    /// The seed of the study. All other seeds are derived from it.
    pub seed: u64,
    /// Number of proposals that are evaluated at the same time. A larger number keeps more workers busy, but
    /// the strategy knows fewer results at each ask.
    pub in_flight: usize,
    /// Number of consecutive panics, or failures of the program that evaluates, at which the study stops.
    pub panics_in_a_row: u32,
    /// Number of networks of the front to finish.
    pub networks: usize,
    /// Budget of trials, counting trials of every fidelity. `None` if the search has another end: a budget of
    /// epochs or hours, a target, or a strategy that uses up the space.
    pub trials: Option<u64>,
    /// Budget of epochs over all trials. When it is used up, the strategy is not asked any more. The last
    /// trial may exceed the budget.
    pub epochs: Option<u64>,
    /// Budget of hours over all processes that run the study. When it is used up, the strategy is not asked
    /// any more.
    pub hours: Option<f64>,
    /// Maximum values of metrics or costs. The search ends when a feasible trial with full fidelity meets all
    /// maximum values. Empty for no target.
    pub target: BTreeMap<String, f64>,
    /// Number of threads that evaluate networks. It affects only the duration of a study.
    pub workers: usize,
    /// Whether evaluations that panicked are retried.
    pub retry_failed: bool,
    /// Whether the study stops before the search if the health check of shared weights fails.
    pub strict: bool,
}

impl Default for StudySettings {
    fn default() -> Self {
        Self {
            name: "study".to_owned(),
            seed: 0,
            in_flight: 8,
            panics_in_a_row: 5,
            networks: 1,
            trials: Some(100),
            epochs: None,
            hours: None,
            target: BTreeMap::new(),
            workers: 1,
            retry_failed: false,
            strict: false,
        }
    }
}

impl StudySettings {
    pub(super) fn check(&self) -> Result<(), StudyError> {
        check_study_name(&self.name)?;
        let counts = [
            ("in_flight", self.in_flight as u64, MAX_IN_FLIGHT, "1 to 4096"),
            ("panics_in_a_row", u64::from(self.panics_in_a_row), u64::from(u32::MAX), "at least 1"),
            ("trials", self.trials.unwrap_or(1), u64::MAX, "at least 1"),
            ("epochs", self.epochs.unwrap_or(1), u64::MAX, "at least 1"),
            ("workers", self.workers as u64, 1_024, "1 to 1024"),
        ];
        for (key, found, most, expected) in counts {
            if !(1..=most).contains(&found) {
                return Err(StudyError::Setting { key, found: found.to_string(), expected });
            }
        }
        if let Some((name, value)) = self.target.iter().find(|(_, value)| !value.is_finite()) {
            let found = format!("{name} = {value}");
            return Err(StudyError::Setting { key: "target", found, expected: "finite values" });
        }
        match self.hours {
            Some(hours) if !(hours > 0.0 && hours <= MAX_HOURS) => {
                let expected = "a number above 0, at most 876600";
                Err(StudyError::Setting { key: "hours", found: hours.to_string(), expected })
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn check_objectives(objectives: &[String]) -> Result<(), StudyError> {
    let twice = objectives.iter().enumerate().any(|(i, name)| objectives[..i].contains(name));
    if objectives.is_empty() || twice {
        let expected = "at least one name, each once";
        return Err(StudyError::Setting { key: "objectives", found: format!("{objectives:?}"), expected });
    }
    Ok(())
}

pub(super) fn check_constraints(constraints: &[Constraint], costs: &CostSet) -> Result<(), StudyError> {
    let known = costs.names();
    for Constraint { cost, max } in constraints {
        if !known.contains(cost) {
            return Err(StudyError::UnknownCost { cost: cost.clone(), known });
        }
        if !max.is_finite() {
            let found = format!("{cost} <= {max}");
            return Err(StudyError::Setting { key: "constraints", found, expected: "finite limits" });
        }
    }
    Ok(())
}
