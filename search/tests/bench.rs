//! Comparing strategies: the same numbers for any number of threads, mistakes that are named, and one-sided Wilcoxon
//! signed-rank tests over 20 seeds at level 0.01 on functions whose optimum is known.

use kiln_search::StrategyRegistry;
use kiln_search::bench::{
    BenchError, CompareSettings, Comparison, Function, FunctionSettings, StrategyChoice, compare, svg,
};

const ALPHA: f64 = 0.01;

fn compared(
    settings: FunctionSettings,
    strategies: &str,
    seeds: u64,
    baseline: &str,
) -> Result<Comparison, BenchError> {
    let strategies = StrategyChoice::parse_list(strategies)?;
    let baseline = (!baseline.is_empty()).then(|| baseline.to_owned());
    let compare_settings = CompareSettings { seeds, baseline, alpha: ALPHA };
    compare(&settings.problem()?, &StrategyRegistry::builtin(), &strategies, &compare_settings)
}

fn chained(decisions: usize, evaluations: u64) -> FunctionSettings {
    FunctionSettings { function: Function::Chained, decisions, options: 4, evaluations }
}

/// Every strategy but the first is better than the first, by the regret over the whole budget.
#[track_caller]
fn assert_better(settings: FunctionSettings, strategies: &str) {
    let baseline = strategies.split(',').next().expect("a first strategy");
    let comparison = compared(settings, strategies, 20, baseline).expect("the comparison is possible");
    assert!(comparison.strategies.len() > 1);
    for found in &comparison.strategies[1..] {
        let test = found.mean_regret_test.expect("a test against the first");
        assert!(test.p_better < ALPHA, "{} against {baseline}: {test:?}", found.strategy);
    }
}

#[test]
fn strategies_that_learn_beat_random_search() {
    let strategies =
        "random,regularized_evolution,local_search,simulated_annealing,nsga2:{\"population\":20}";
    assert_better(chained(12, 200), strategies);
}

#[test]
fn strategies_with_a_model_beat_evolution() {
    assert_better(chained(8, 60), "regularized_evolution,gaussian_process,clustered");
}

#[test]
fn evolution_spreads_along_a_front() {
    let function = Function::LeadingTrailing;
    let settings = FunctionSettings { function, decisions: 12, options: 2, evaluations: 300 };
    assert_better(settings, "random,nsga2:{\"population\":20},regularized_evolution");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        let found = pool.install(|| compared(chained(6, 40), "random,clustered,nsga2", 5, "random"));
        let mut found = found.expect("the comparison is possible");
        for strategy in &mut found.strategies {
            (strategy.ask_tell_ms, strategy.last_ask_tell_ms) = (0.0, 0.0);
        }
        found
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn the_plot_has_a_line_for_each_strategy() {
    let comparison =
        compared(chained(6, 30), "random,local_search", 3, "").expect("the comparison is possible");
    let drawn = svg(&comparison);
    assert_eq!(drawn.matches("<polyline").count(), 2);
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>") && !drawn.contains("NaN"));
    assert!(drawn.contains(">local_search</text>"));
}

#[test]
fn what_cannot_be_compared_is_named() {
    let message = |settings, strategies, seeds, baseline| {
        compared(settings, strategies, seeds, baseline).expect_err("it cannot be compared").to_string()
    };
    assert_eq!(message(chained(3, 5), "random", 0, ""), "`seeds` is 0, expected 1 to 1000000");
    assert_eq!(
        message(chained(3, 5), "random", 1, "nsga2"),
        "`baseline` is `nsga2`, expected one of the strategies, as it is written there"
    );
    assert_eq!(message(chained(0, 5), "random", 1, ""), "`decisions` is 0, expected 1 to 1000");
    assert!(message(chained(3, 5), "asha", 1, "").starts_with("`asha` asks for Epochs(1) of "));
    assert!(message(chained(3, 5), "random:{\"a\":1}", 1, "").contains("unknown field `a`"));
    assert!(message(chained(3, 0), "random", 1, "").contains("`budget` is 0"));
}
