//! Statistical tests on a published table. They compare strategies on NAS-Bench-201 over 24 seeds. One-sided
//! Wilcoxon signed-rank tests at level 0.01 compare the final regret, or the mean regret over the whole
//! budget.
//!
//! The environment variable `KILN_DATA` must contain the path of the folder with the table.

use std::path::PathBuf;

use kiln_search::StrategyRegistry;
use kiln_search::bench::{
    CompareSettings, EqualCells, NasBench201Settings, Paired, Problem, Protocol, RunSettings, StrategyChoice,
    StrategyResult, compare,
};

const SEEDS: u64 = 24;
const ALPHA: f64 = 0.01;

fn settings(protocol: Protocol, budget: f64, fidelities: Vec<(u32, String)>) -> Option<NasBench201Settings> {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        eprintln!("skipped: the environment variable `KILN_DATA` does not name a folder with tables");
        return None;
    };
    Some(NasBench201Settings {
        file: data.join("nasbench201/nasbench201.csv.gz"),
        signal: "e200_cifar10_valid_valid_acc_mean".to_owned(),
        report: "e200_cifar10_test_acc_mean".to_owned(),
        protocol,
        budget,
        fidelities,
        full_epochs: 200,
        equal_cells: EqualCells::Apart,
    })
}

fn problem(protocol: Protocol, budget: f64, fidelities: Vec<(u32, String)>) -> Option<Problem> {
    Some(settings(protocol, budget, fidelities)?.problem().expect("the table is readable"))
}

fn at_the_end(found: &StrategyResult) -> Paired {
    found.against[0].regret
}

fn over_the_budget(found: &StrategyResult) -> Paired {
    found.against[0].mean_regret
}

/// Asserts that every strategy is better than the first strategy.
#[track_caller]
fn assert_better(problem: &Problem, strategies: &str, test: fn(&StrategyResult) -> Paired) {
    let strategies = StrategyChoice::parse_list(strategies).expect("a list of strategies");
    let baselines = vec![strategies[0].label.clone()];
    let settings = CompareSettings { seeds: SEEDS, baselines, alpha: ALPHA, runs: RunSettings::default() };
    let found = compare(problem, &StrategyRegistry::builtin(), &strategies, &settings);
    let found = found.expect("the comparison is possible");
    for strategy in &found.strategies[1..] {
        let test = test(strategy);
        assert!(test.p_better < ALPHA, "{} against {}: {test:?}", strategy.strategy, strategies[0].label);
        let report = strategy.report.expect("the test accuracy is in the table");
        assert!((10.0..94.4).contains(&report.mean), "{report:?}");
    }
}

#[test]
#[ignore = "needs KILN_DATA: the table of NAS-Bench-201"]
fn strategies_beat_random_search() {
    let Some(problem) = problem(Protocol::Queries, 100.0, Vec::new()) else { return };
    assert_better(&problem, "random,regularized_evolution,local_search,simulated_annealing", at_the_end);
}

#[test]
#[ignore = "needs KILN_DATA: the table of NAS-Bench-201"]
fn strategies_with_a_model_beat_evolution() {
    let Some(problem) = problem(Protocol::Queries, 60.0, Vec::new()) else { return };
    assert_better(&problem, "regularized_evolution,clustered,gaussian_process", at_the_end);
}

#[test]
#[ignore = "needs KILN_DATA: the table of NAS-Bench-201"]
fn early_stopping_beats_random_search_in_equal_time() {
    let cost = "train_s_per_epoch_cifar10_valid".to_owned();
    let protocol = Protocol::Time { cost, factor: 200.0 * 1.029 };
    let fidelities = vec![(12, "e12_cifar10_valid_valid_acc".to_owned())];
    // The budget is the time of about 30 trainings of 200 epochs.
    let Some(problem) = problem(protocol, 60_000.0, fidelities) else { return };
    let strategies = ["successive_halving", "hyperband", "asha", "bohb"];
    let strategies = strategies.map(|name| format!("{name}:{{\"epochs\":[12],\"reduction\":8}}"));
    assert_better(&problem, &format!("random,{}", strategies.join(",")), over_the_budget);
}

/// After 12 epochs on CIFAR-100, the lowest error of several similar cells is often low by chance.
#[test]
#[ignore = "needs KILN_DATA: the table of NAS-Bench-201"]
fn local_search_reports_better_cells_with_denoised_objectives() {
    let cost = "train_s_per_epoch_cifar10_valid".to_owned();
    let protocol = Protocol::Time { cost, factor: 24.0 * 1.029 };
    let Some(settings) = settings(protocol, 40_000.0, Vec::new()) else { return };
    let settings = NasBench201Settings {
        signal: "e12_cifar100_valid_acc".to_owned(),
        report: "e200_cifar100_test_acc_mean".to_owned(),
        full_epochs: 12,
        ..settings
    };
    let problem = settings.problem().expect("the table is readable");
    let strategies = StrategyChoice::parse_list("local_search").expect("a strategy");
    let runs = RunSettings { denoise: true, ..RunSettings::default() };
    let settings = CompareSettings { seeds: 100, baselines: Vec::new(), alpha: ALPHA, runs };
    let found = compare(&problem, &StrategyRegistry::builtin(), &strategies, &settings);
    let found = found.expect("the comparison is possible");
    let denoised = found.strategies[0].denoised.as_ref().expect("it was asked for");
    assert!(denoised.against_signal.p_better < ALPHA, "{denoised:?}");
}
