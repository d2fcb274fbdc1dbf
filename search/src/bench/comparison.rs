//! The result of a comparison as plain data, which `kiln bench --json` writes.

use serde::{Deserialize, Serialize};

use super::against::Against;
use super::curve::{Curve, area};
use super::milestone::{Milestone, evaluations_to_optimum};
use super::paired::{Paired, wilcoxon};
use super::run::Run;
use super::statistics::Sample;

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the problem.
    pub problem: String,
    /// Budget of a run.
    pub budget: f64,
    /// Unit of the budget.
    pub unit: String,
    /// Number of seeds of each strategy.
    pub seeds: u64,
    /// The baselines of the paired tests.
    pub baselines: Vec<String>,
    /// Significance level of the paired tests.
    pub alpha: f64,
    /// The results of the strategies, in the order in which the strategies were passed to the comparison.
    pub strategies: Vec<StrategyResult>,
}

/// The results of one strategy over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrategyResult {
    /// The strategy as it was written.
    pub strategy: String,
    /// Reported value of the best architecture, such as test accuracy in percent.
    pub report: Option<Sample>,
    /// The reported value of the architecture chosen by denoised objectives, if `denoise` is set.
    pub denoised: Option<DenoisedReport>,
    /// Regret at the end of the run.
    pub regret: Sample,
    /// Share of the seeds whose runs found the optimum.
    pub hit_rate: f64,
    /// Mean regret over the whole budget: the area under the curve of regret, divided by the budget.
    pub mean_regret: Sample,
    /// Budget spent until the optimum was found, over the seeds whose runs found it.
    pub found_at: Option<Sample>,
    /// Number of evaluations until the optimum was found, over the seeds whose runs found it.
    pub evaluations_to_optimum: Option<Sample>,
    /// Regret after 10, 20 and 50 evaluations. Numbers of evaluations that no run reached are left out.
    pub regret_after: Vec<Milestone>,
    /// Number of evaluations of a run.
    pub evaluations: Sample,
    /// Mean time of ask and tell together, in milliseconds per trial.
    pub ask_tell_ms: f64,
    /// Mean time of ask and tell in the last tenth of the trials, in milliseconds per trial.
    pub last_ask_tell_ms: f64,
    /// The paired tests against each baseline other than this strategy.
    pub against: Vec<Against>,
    /// Curve of mean regret against budget spent.
    pub curve: Curve,
}

/// The reported value of the trial with the best denoised objective; see [`crate::denoised()`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DenoisedReport {
    /// The reported values over all seeds.
    pub report: Sample,
    /// Paired test of `report` against the reported value of the trial with the best measured value. Higher
    /// reported values are better.
    pub against_signal: Paired,
}

impl StrategyResult {
    /// Summarizes the runs of one strategy within a budget. `runs` must not be empty.
    pub(super) fn of(label: &str, runs: &[Run], against: Vec<Against>, budget: f64) -> Self {
        let sample = |value: &dyn Fn(&Run) -> f64| {
            Sample::of(&runs.iter().map(value).collect::<Vec<f64>>()).expect("there is at least one seed")
        };
        let reports: Vec<f64> = runs.iter().filter_map(|run| run.report).collect();
        let found: Vec<f64> = runs.iter().filter_map(|run| run.found_at).collect();
        let to_optimum: Vec<f64> = runs.iter().filter_map(evaluations_to_optimum).collect();
        let asks: f64 = runs.iter().map(|run| run.asks as f64).sum();
        let last_asks: f64 = runs.iter().map(|run| run.asks.div_ceil(10) as f64).sum();
        let seconds = |value: fn(&Run) -> f64| runs.iter().map(value).sum::<f64>();
        Self {
            strategy: label.to_owned(),
            report: Sample::of(&reports),
            denoised: DenoisedReport::of(runs),
            regret: sample(&|run| run.regret),
            hit_rate: found.len() as f64 / runs.len() as f64,
            mean_regret: sample(&|run| area(run, budget)),
            found_at: Sample::of(&found),
            evaluations_to_optimum: Sample::of(&to_optimum),
            regret_after: Milestone::of(runs),
            evaluations: sample(&|run| run.evaluations as f64),
            ask_tell_ms: 1e3 * seconds(|run| run.strategy_seconds) / asks,
            last_ask_tell_ms: 1e3 * seconds(|run| run.last_seconds) / last_asks,
            against,
            curve: Curve::of(runs, budget),
        }
    }
}

impl DenoisedReport {
    fn of(runs: &[Run]) -> Option<Self> {
        let both = |run: &Run| Some((run.report?, run.denoised_report?));
        let (signal, denoised): (Vec<f64>, Vec<f64>) = runs.iter().filter_map(both).unzip();
        let lower = |values: &[f64]| values.iter().map(|value| -value).collect::<Vec<f64>>();
        Some(Self {
            report: Sample::of(&denoised)?,
            against_signal: wilcoxon(&lower(&denoised), &lower(&signal)),
        })
    }
}
