//! Tests of comparisons. Results must be the same for any number of threads, and errors must be clear.
//! One-sided Wilcoxon signed-rank tests over 20 seeds at level 0.01 compare strategies on functions with a
//! known optimum.

use std::sync::{Arc, Mutex};

use kiln_search::bench::{
    Answer, BenchError, CompareSettings, Comparison, Function, FunctionSettings, Oracle, Paired, RunSettings,
    StrategyChoice, compare, run, svg,
};
use kiln_search::{Ask, Domain, Fidelity, Origin, Proposal, Strategy, StrategyRegistry, Trial, seed};
use kiln_space::Genotype;
use rand::Rng;

const ALPHA: f64 = 0.01;

fn compared(
    settings: FunctionSettings,
    strategies: &str,
    seeds: u64,
    baseline: &str,
) -> Result<Comparison, BenchError> {
    let strategies = StrategyChoice::parse_list(strategies)?;
    let baselines = baseline.split_terminator(',').map(str::to_owned).collect();
    let compare_settings = CompareSettings { seeds, baselines, alpha: ALPHA, runs: RunSettings::default() };
    compare(&settings.problem()?, &StrategyRegistry::builtin(), &strategies, &compare_settings)
}

fn chained(decisions: usize, evaluations: u64) -> FunctionSettings {
    FunctionSettings { function: Function::Chained, decisions, options: 4, evaluations }
}

/// Asserts that every strategy has a lower mean regret over the whole budget than the first strategy.
#[track_caller]
fn assert_better(settings: FunctionSettings, strategies: &str) {
    let baseline = strategies.split(',').next().expect("a first strategy");
    let comparison = compared(settings, strategies, 20, baseline).expect("the comparison is possible");
    assert!(comparison.strategies.len() > 1);
    for found in &comparison.strategies[1..] {
        let test = found.against[0].mean_regret;
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
fn evolution_beats_random_search_on_two_objectives() {
    let function = Function::LeadingTrailing;
    let settings = FunctionSettings { function, decisions: 12, options: 2, evaluations: 300 };
    assert_better(settings, "random,nsga2:{\"population\":20},regularized_evolution");
}

#[test]
fn comparison_is_equal_for_any_number_of_threads() {
    let found_by = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        let found = pool.install(|| compared(chained(6, 40), "random,clustered,nsga2", 5, "random"));
        let mut found = found.expect("the comparison is possible");
        for strategy in &mut found.strategies {
            (strategy.ask_tell_ms, strategy.last_ask_tell_ms) = (0.0, 0.0);
        }
        found
    };
    assert_eq!(found_by(1), found_by(3));
}

#[test]
fn plot_has_a_line_for_each_strategy() {
    let comparison =
        compared(chained(6, 30), "random,local_search", 3, "").expect("the comparison is possible");
    let drawn = svg(&comparison);
    assert_eq!(drawn.matches("<polyline").count(), 2);
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>") && !drawn.contains("NaN"));
    assert!(drawn.contains(">local_search</text>"));
}

/// A function whose objectives are noisy and whose reported values are exact.
struct Noisy(Box<dyn Oracle>);

impl Oracle for Noisy {
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError> {
        let Some(answer) = self.0.answer(genotype, fidelity)? else { return Ok(None) };
        let noise = (seed::derive(3, "noise", &[genotype.genes()]) % 1_000) as f64 / 1_000.0;
        let value = answer.objectives[0];
        Ok(Some(Answer { objectives: vec![value + 0.2 * noise], report: Some(-value), cost: answer.cost }))
    }
}

#[test]
fn denoised_report_is_of_an_architecture_that_was_tried() {
    let mut problem =
        FunctionSettings { function: Function::Separable, ..chained(8, 150) }.problem().unwrap();
    problem.oracle = Box::new(Noisy(problem.oracle));
    let strategies = StrategyChoice::parse_list("random,regularized_evolution").expect("two strategies");
    let runs = RunSettings { denoise: true, ..RunSettings::default() };
    let settings = CompareSettings { seeds: 20, baselines: Vec::new(), alpha: ALPHA, runs };
    let found =
        compare(&problem, &StrategyRegistry::builtin(), &strategies, &settings).expect("a comparison");
    for strategy in found.strategies {
        let denoised = strategy.denoised.expect("it was asked for");
        let Paired { better, worse, equal, .. } = denoised.against_signal;
        assert_eq!(better + worse + equal, 20, "{denoised:?}");
        // The reported values are exact, and the best architecture has the reported value 0.
        assert!(denoised.report.mean <= 0.0 && better + worse > 0, "{}: {denoised:?}", strategy.strategy);
    }
}

#[test]
fn run_until_found_ends_at_the_optimum() {
    let problem = chained(4, 256).problem().expect("a problem");
    let strategies = StrategyChoice::parse_list("random,local_search,nsga2").expect("three strategies");
    let baselines = vec!["random".to_owned(), "nsga2".to_owned()];
    let with = |until_found| {
        let runs = RunSettings { until_found, ..RunSettings::default() };
        let settings = CompareSettings { seeds: 10, baselines: baselines.clone(), alpha: ALPHA, runs };
        compare(&problem, &StrategyRegistry::builtin(), &strategies, &settings).expect("a comparison")
    };
    for (whole, ended) in with(false).strategies.into_iter().zip(with(true).strategies) {
        assert!((whole.hit_rate - 1.0).abs() < 1e-12, "256 evaluations are all there are");
        assert_eq!((whole.found_at, &whole.against), (ended.found_at, &ended.against));
        assert_eq!(ended.found_at, Some(ended.evaluations));
        assert!(ended.evaluations.mean < whole.evaluations.mean);
        assert_eq!(ended.against.len(), if ended.strategy == "local_search" { 2 } else { 1 });
    }
}

/// A strategy that draws at random. At each ask, it records how many trials were reported to it so far.
struct Listens {
    heard: usize,
    at_ask: Arc<Mutex<Vec<usize>>>,
}

impl Strategy for Listens {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        self.at_ask.lock().expect("no thread has panicked").push(self.heard);
        let origin = Origin::default();
        let propose = |genotype| Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin });
        domain.sample(rng).map_or(Ask::Done, propose)
    }

    fn tell(&mut self, _: &Trial) {
        self.heard += 1;
    }
}

#[test]
fn answers_come_later_and_cost_the_same_with_several_in_flight() {
    let problem = chained(8, 20).problem().expect("a problem");
    let with = |in_flight| {
        let at_ask = Arc::<Mutex<Vec<usize>>>::default();
        let strategy = Box::new(Listens { heard: 0, at_ask: Arc::clone(&at_ask) });
        let runs = RunSettings { in_flight, ..RunSettings::default() };
        let found = run(&problem, "listens", strategy, 3, runs).expect("a run");
        let at_ask = at_ask.lock().unwrap().clone();
        (found, at_ask)
    };
    let (one, heard) = with(1);
    // The evaluation that the last ask proposes does not fit into the budget.
    assert_eq!(heard, (0..=20).collect::<Vec<_>>());
    let (several, heard) = with(5);
    assert_eq!(heard, (0..=20_usize).map(|ask| ask.saturating_sub(4)).collect::<Vec<_>>());
    assert_eq!((one.improvements, one.evaluations), (several.improvements, several.evaluations));
}

#[test]
fn impossible_comparisons_are_refused_with_the_reason() {
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
