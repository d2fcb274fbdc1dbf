//! Several strategies on one problem, many seeds each.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::curve::{Curve, area};
use super::paired::{Paired, wilcoxon};
use super::{BenchError, Problem, Run, Sample, StrategyChoice, run};
use crate::StrategyRegistry;

/// How strategies are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// Runs of each strategy; run number `i` of all of them has seed `i`.
    pub seeds: u64,
    /// Label of the strategy that the others are tested against, if any.
    pub baseline: Option<String>,
    /// Level of the paired tests.
    pub alpha: f64,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The problem, in words.
    pub problem: String,
    /// Budget of a run.
    pub budget: f64,
    /// Unit of the budget.
    pub unit: String,
    /// Seeds of each strategy.
    pub seeds: u64,
    /// The baseline of the paired tests.
    pub baseline: Option<String>,
    /// Level of the paired tests.
    pub alpha: f64,
    /// In the order given.
    pub strategies: Vec<StrategyResult>,
}

/// What one strategy found over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrategyResult {
    /// The strategy, as it was written.
    pub strategy: String,
    /// What the problem reports of the best, such as test accuracy in percent.
    pub report: Option<Sample>,
    /// Regret at the end.
    pub regret: Sample,
    /// Share of the seeds that found the optimum.
    pub hit_rate: f64,
    /// Mean regret over the whole budget: the area under the curve, divided by the budget.
    pub mean_regret: Sample,
    /// Spent until the optimum was found, over the seeds that found it.
    pub found_at: Option<Sample>,
    /// Evaluations made.
    pub evaluations: Sample,
    /// Milliseconds of ask and tell together, for each trial.
    pub ask_tell_ms: f64,
    /// The same over the last tenth of the trials.
    pub last_ask_tell_ms: f64,
    /// The paired test of the regret at the end, and of the mean regret; absent for the baseline itself.
    pub regret_test: Option<Paired>,
    /// The paired test of the mean regret.
    pub mean_regret_test: Option<Paired>,
    /// Regret against budget.
    pub curve: Curve,
}

/// Runs every strategy with every seed, on all threads. The result does not depend on their number, the times aside.
///
/// # Errors
/// [`BenchError`] for numbers that cannot be, strategies that cannot be built, and problems without an answer.
pub fn compare(
    problem: &Problem,
    registry: &StrategyRegistry,
    strategies: &[StrategyChoice],
    settings: &CompareSettings,
) -> Result<Comparison, BenchError> {
    check(problem, strategies, settings)?;
    let mut all: Vec<Vec<Run>> = Vec::new();
    for strategy in strategies {
        let one = |seed| run(problem, &strategy.label, strategy.build(registry)?, seed);
        all.push((0..settings.seeds).into_par_iter().map(one).collect::<Result<_, _>>()?);
    }
    let baseline = settings.baseline.as_ref();
    let place = baseline.and_then(|label| strategies.iter().position(|strategy| strategy.label == *label));
    let results = strategies.iter().zip(&all).enumerate().map(|(index, (strategy, runs))| {
        let against = place.filter(|place| *place != index).map(|place| all[place].as_slice());
        result(&strategy.label, runs, against, problem.budget)
    });
    Ok(Comparison {
        problem: problem.name.clone(),
        budget: problem.budget,
        unit: problem.unit.to_owned(),
        seeds: settings.seeds,
        baseline: settings.baseline.clone(),
        alpha: settings.alpha,
        strategies: results.collect(),
    })
}

fn check(
    problem: &Problem,
    strategies: &[StrategyChoice],
    settings: &CompareSettings,
) -> Result<(), BenchError> {
    let refuse = |name, found: String, expected| Err(BenchError::Value { name, found, expected });
    if strategies.is_empty() {
        return refuse("strategies", "none".to_owned(), "at least one");
    }
    if !(1..=1_000_000).contains(&settings.seeds) {
        return refuse("seeds", settings.seeds.to_string(), "1 to 1000000");
    }
    if !(settings.alpha > 0.0 && settings.alpha < 1.0) {
        return refuse("alpha", settings.alpha.to_string(), "a level between 0 and 1");
    }
    if !(problem.budget > 0.0 && problem.budget.is_finite()) {
        return refuse("budget", problem.budget.to_string(), "a positive number");
    }
    match &settings.baseline {
        Some(label) if !strategies.iter().any(|strategy| strategy.label == *label) => {
            refuse("baseline", format!("`{label}`"), "one of the strategies, as it is written there")
        }
        _ => Ok(()),
    }
}

fn result(label: &str, runs: &[Run], baseline: Option<&[Run]>, budget: f64) -> StrategyResult {
    let values = |runs: &[Run], value: fn(&Run) -> f64| runs.iter().map(value).collect::<Vec<f64>>();
    let sample = |values: &[f64]| Sample::of(values).expect("there is at least one seed");
    let regrets = |runs: &[Run]| values(runs, |run| run.regret);
    let areas = |runs: &[Run]| runs.iter().map(|run| area(run, budget)).collect::<Vec<f64>>();
    let reports: Vec<f64> = runs.iter().filter_map(|run| run.report).collect();
    let found: Vec<f64> = runs.iter().filter_map(|run| run.found_at).collect();
    let asks: f64 = runs.iter().map(|run| run.asks as f64).sum();
    let last_asks: f64 = runs.iter().map(|run| run.asks.div_ceil(10) as f64).sum();
    let seconds = |value: fn(&Run) -> f64| runs.iter().map(value).sum::<f64>();
    StrategyResult {
        strategy: label.to_owned(),
        report: Sample::of(&reports),
        regret: sample(&regrets(runs)),
        hit_rate: found.len() as f64 / runs.len() as f64,
        mean_regret: sample(&areas(runs)),
        found_at: Sample::of(&found),
        evaluations: sample(&values(runs, |run| run.evaluations as f64)),
        ask_tell_ms: 1e3 * seconds(|run| run.strategy_seconds) / asks,
        last_ask_tell_ms: 1e3 * seconds(|run| run.last_seconds) / last_asks,
        regret_test: baseline.map(|baseline| wilcoxon(&regrets(runs), &regrets(baseline))),
        mean_regret_test: baseline.map(|baseline| wilcoxon(&areas(runs), &areas(baseline))),
        curve: Curve::of(runs, budget),
    }
}
