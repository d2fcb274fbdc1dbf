//! Tests a strategy against a baseline on the same seeds.

use serde::{Deserialize, Serialize};

use super::curve::area;
use super::paired::{Paired, wilcoxon};
use super::run::Run;

/// The paired tests of a strategy against one baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Label of the baseline.
    pub baseline: String,
    /// Test of the regret at the end of the runs.
    pub regret: Paired,
    /// Test of the mean regret over the whole budget.
    pub mean_regret: Paired,
    /// Test of the budget spent until the optimum was found. A run that did not find the optimum counts with
    /// its whole budget.
    pub found_at: Paired,
}

impl Against {
    /// Compares a strategy's runs with a baseline's runs on the same seeds.
    pub(super) fn of(runs: &[Run], baseline: &[Run], label: &str, budget: f64) -> Self {
        let test = |value: &dyn Fn(&Run) -> f64| {
            let values = |runs: &[Run]| runs.iter().map(value).collect::<Vec<f64>>();
            wilcoxon(&values(runs), &values(baseline))
        };
        Self {
            baseline: label.to_owned(),
            regret: test(&|run| run.regret),
            mean_regret: test(&|run| area(run, budget)),
            found_at: test(&|run| run.found_at.unwrap_or(budget)),
        }
    }
}
