//! Runs several strategies on one problem, with many seeds each.

use rayon::prelude::*;

use super::against::Against;
use super::choice::StrategyChoice;
use super::comparison::{Comparison, StrategyResult};
use super::error::BenchError;
use super::problem::Problem;
use super::run::{Run, RunSettings, run};
use crate::registry::StrategyRegistry;

/// How strategies are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// Number of runs of each strategy. Run number `i` has seed `i`.
    pub seeds: u64,
    /// Labels of the baselines. Every other strategy is tested against each baseline.
    pub baselines: Vec<String>,
    /// Significance level of the paired tests.
    pub alpha: f64,
    /// Settings of each run.
    pub runs: RunSettings,
}

/// Runs every strategy with every seed, in parallel on all processors. Except for measured times, the result
/// does not depend on the number of threads.
///
/// # Errors
/// [`BenchError`] for invalid settings, for strategies that cannot be built, and for problems that lack an
/// answer.
pub fn compare(
    problem: &Problem,
    registry: &StrategyRegistry,
    strategies: &[StrategyChoice],
    settings: &CompareSettings,
) -> Result<Comparison, BenchError> {
    check(problem, strategies, settings)?;
    for strategy in strategies {
        strategy.build(registry)?;
    }
    let mut all: Vec<Vec<Run>> = Vec::new();
    for strategy in strategies {
        let one = |seed| run(problem, &strategy.label, strategy.build(registry)?, seed, settings.runs);
        all.push((0..settings.seeds).into_par_iter().map(one).collect::<Result<_, _>>()?);
    }
    let place = |label: &String| strategies.iter().position(|strategy| strategy.label == *label);
    let baselines: Vec<(usize, &String)> =
        settings.baselines.iter().filter_map(|label| Some((place(label)?, label))).collect();
    let results = strategies.iter().zip(&all).enumerate().map(|(index, (strategy, runs))| {
        let others = baselines.iter().filter(|(place, _)| *place != index);
        let against = others.map(|(place, label)| Against::of(runs, &all[*place], label, problem.budget));
        StrategyResult::of(&strategy.label, runs, against.collect(), problem.budget)
    });
    Ok(Comparison {
        problem: problem.name.clone(),
        budget: problem.budget,
        unit: problem.unit.to_owned(),
        seeds: settings.seeds,
        baselines: settings.baselines.clone(),
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
    let known = |label: &&String| strategies.iter().any(|strategy| strategy.label == **label);
    match settings.baselines.iter().find(|label| !known(label)) {
        Some(label) => {
            refuse("baseline", format!("`{label}`"), "one of the strategies, as it is written there")
        }
        None => Ok(()),
    }
}
