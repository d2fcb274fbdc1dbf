//! Tests the recorded results of a study as a problem. A strategy that runs on these results must evaluate
//! the same trials as the study.

use std::sync::Arc;

use kiln_search::bench::{BenchError, Goal, Journaled, Problem, RunSettings, run as bench};
use kiln_search::hypervolume::hypervolume;
use kiln_search::{Constraint, CostSet, Fidelity, MemoryStore, StrategyRegistry, Trial};
use kiln_space::{Genotype, Settings};

use crate::parts::{Analytic, Layers, Seen, folder, record, run, study};

/// Returns the trials of a study with this strategy.
fn trials(strategy: &str, count: u64) -> Vec<Trial> {
    let (_folder, paths) = folder();
    let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
    study.strategy = StrategyRegistry::builtin().build(strategy, &Settings::empty("search")).unwrap();
    study.settings.trials = Some(count);
    study.store = Some(Box::new(MemoryStore::default()));
    run(study, &paths).unwrap();
    record(&paths).trials.into_values().map(|journaled| journaled.trial).collect()
}

fn problem(trials: &[Trial]) -> Problem {
    let studied = Journaled {
        name: "s".to_owned(),
        space: Arc::new(Layers::new(false)),
        costs: CostSet::default(),
        constraints: vec![Constraint::new("parameters", 45.0)],
        objectives: vec!["error_percent".to_owned(), "parameters".to_owned()],
        trials,
        budget: 40.0,
    };
    studied.problem().unwrap()
}

/// Returns the improvements of the hypervolume: the number of trials after each improvement, and the share of
/// the largest hypervolume that is then missing.
fn improvements(trials: &[Trial], goal: &Goal) -> Vec<(f64, f64)> {
    let Goal::Hypervolume { reference, optimum } = goal else { panic!("several objectives") };
    let points: Vec<&[f64]> = trials.iter().map(|trial| trial.objectives.0.as_slice()).collect();
    let volume = |count: usize| hypervolume(&points[..count], reference);
    let grew = (1..=points.len()).filter(|count| volume(*count) > volume(count - 1) + 1e-9);
    grew.map(|count| (count as f64, 1.0 - volume(count) / optimum)).collect()
}

#[test]
fn run_on_the_answers_of_a_study_finds_what_the_study_found() {
    let problem = problem(&trials("random", 256));
    // The limit of 45 parameters is the reference point's value for parameters.
    let Goal::Hypervolume { reference, .. } = &problem.goal else { panic!("several objectives") };
    assert!((reference[1] - 45.0).abs() < 1e-12, "{reference:?}");
    let registry = StrategyRegistry::builtin();
    for name in ["clustered", "nsga2", "regularized_evolution", "random"] {
        let strategy = registry.build(name, &Settings::empty("search")).unwrap();
        let runs = RunSettings { in_flight: 3, ..RunSettings::default() };
        let found = bench(&problem, name, strategy, 7, runs).unwrap();
        let expected = improvements(&trials(name, 40), &problem.goal);
        assert_eq!(found.evaluations, 40);
        assert_eq!(found.improvements.len(), expected.len(), "{name}");
        for (found, expected) in found.improvements.iter().zip(&expected) {
            assert!((found.0 - expected.0).abs() < 0.5 && (found.1 - expected.1).abs() < 1e-9, "{name}");
        }
    }
}

#[test]
fn genotype_without_a_trial_is_named() {
    let problem = problem(&trials("random", 10));
    let found = problem.oracle.answer(&Genotype::new([3, 3, 3, 3]), Fidelity::Full);
    assert!(matches!(found, Err(BenchError::MissingTrial { .. })), "{found:?}");
    let empty = Journaled {
        name: "s".to_owned(),
        space: Arc::new(Layers::new(false)),
        costs: CostSet::default(),
        constraints: Vec::new(),
        objectives: vec!["error_percent".to_owned()],
        trials: &[],
        budget: 40.0,
    };
    assert!(matches!(empty.problem(), Err(BenchError::NoTrials { .. })));
}
