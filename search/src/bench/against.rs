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
    /// Regret at the end.
    pub regret: Paired,
    /// Mean regret over the whole budget.
    pub mean_regret: Paired,
    /// Budget spent until the optimum was found; the whole budget if it was not found.
    pub found_at: Paired,
}

impl Against {
    /// Compares runs that have equal seeds.
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
