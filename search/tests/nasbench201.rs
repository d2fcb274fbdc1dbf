//! Statistical tests on a published table: strategies against each other on NAS-Bench-201, with 100 evaluations of the
//! validation accuracy on CIFAR-10 after 200 epochs, over 24 seeds, by one-sided Mann-Whitney tests at level 0.01.
//!
//! The table is looked for in the folder that the environment variable `KILN_DATA` names.

use std::path::PathBuf;

use kiln_search::{
    Ask, CostSet, Costs, Domain, Objectives, Outcome, StrategyRegistry, TableEvaluator, Trial, seed,
};
use kiln_space::{Settings, SpaceRegistry};
use rayon::prelude::*;
use serde_json::{Value, json};

const SEEDS: u64 = 24;
const EVALUATIONS: u64 = 100;
/// The 99th percentile of the standard normal distribution.
const CRITICAL: f64 = 2.326_347_874;

fn settings(path: &str, table: Value) -> Settings {
    let Value::Object(table) = table else { panic!("a table") };
    Settings::new(path, table)
}

fn table() -> Option<TableEvaluator> {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        eprintln!("skipped: the environment variable `KILN_DATA` does not name a folder with tables");
        return None;
    };
    let settings = settings(
        "evaluator",
        json!({
            "file": "nasbench201/nasbench201.csv.gz", "key": "arch", "key_format": "nasbench201",
            "signal": "e200_cifar10_valid_valid_acc_mean",
        }),
    );
    Some(TableEvaluator::open(&settings, Some(&data)).expect("the table is readable"))
}

/// Lowest error that a strategy finds, for each seed.
fn lowest_errors(strategy: &str, table: &TableEvaluator) -> Vec<f64> {
    (0..SEEDS).into_par_iter().map(|seed| lowest_error(strategy, table, seed)).collect()
}

fn lowest_error(strategy: &str, table: &TableEvaluator, seed: u64) -> f64 {
    let merge = settings("space", json!({ "merge_equal": false }));
    let space = SpaceRegistry::builtin().build("nasbench201", &merge, None).expect("the cell space");
    let (costs, objectives) = (CostSet::default(), ["error_percent".to_owned()]);
    let domain = Domain::new(space.as_ref(), &costs, &[], &objectives);
    let mut strategy = StrategyRegistry::builtin()
        .build(strategy, &Settings::empty("search"))
        .expect("no settings are needed");
    let mut lowest = f64::INFINITY;
    for id in 0..EVALUATIONS {
        let Ask::Propose(proposal) = strategy.ask(&domain, &mut seed::ask_generator(seed, id)) else {
            panic!("the space has more cells than evaluations")
        };
        let found = table.get(&proposal.genotype).expect("the table has every cell").clone();
        let error = found.get("error_percent").expect("every entry has the signal");
        lowest = lowest.min(error);
        strategy.tell(&Trial {
            id,
            proposal,
            outcome: Outcome::Measured(found),
            costs: Costs::default(),
            objectives: Objectives(vec![error]),
            violation: 0.0,
        });
    }
    lowest
}

/// Standard score of the Mann-Whitney statistic for `a` being lower than `b`, with the correction for ties.
fn lower(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let wins = |x: &f64, y: &f64| match x.total_cmp(y) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 0.0,
    };
    let statistic: f64 = a.iter().flat_map(|x| b.iter().map(move |y| wins(x, y))).sum();
    let mut all = [a, b].concat();
    all.sort_by(f64::total_cmp);
    let ties: f64 = all
        .chunk_by(|x, y| x.total_cmp(y).is_eq())
        .map(|equal| (equal.len() as f64).powi(3) - equal.len() as f64)
        .sum();
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    (statistic - n * m / 2.0) / variance.sqrt()
}

#[test]
fn the_score_by_hand() {
    // 1 and 2 are lower than 3 and 4 in all four pairs; the variance is 2 * 2 * 5 / 12.
    assert!((lower(&[1.0, 2.0], &[3.0, 4.0]) - 2.0 / (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    // One pair of equals: 3.5 pairs, and the variance is 4 / 12 * (5 - 6 / 12).
    assert!((lower(&[1.0, 3.0], &[3.0, 4.0]) - 1.5 / 1.5_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn strategies_beat_random_search_and_clusters_beat_evolution() {
    let Some(table) = table() else { return };
    assert_eq!(table.len(), 15_625);
    let [random, evolution, clustered] =
        ["random", "regularized_evolution", "clustered"].map(|strategy| lowest_errors(strategy, &table));
    let scores = [
        ("regularized evolution against random", lower(&evolution, &random)),
        ("clustered against random", lower(&clustered, &random)),
        ("clustered against regularized evolution", lower(&clustered, &evolution)),
    ];
    eprintln!("{scores:?}");
    for (pair, score) in scores {
        assert!(score > CRITICAL, "{pair}: standard score {score}");
    }
}
