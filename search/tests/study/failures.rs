//! Tests architectures that fail, evaluators that fail, and constraints that cannot be met.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kiln_search::{Ask, Constraint, EvalError, FailureKind, Fidelity, Outcome, Status, Strategy, StudyError};

use crate::parts::{Analytic, Layers, Listed, Misfortune, Seen, facts, folder, propose, record, run, study};

/// Makes an evaluation panic, diverge or return an error, depending on the second gene.
const MISFORTUNES: Misfortune = |genotype| match genotype.genes()[1] {
    1 => panic!("index out of range"),
    2 => Some(Ok(Outcome::from_metrics([("error_percent".to_owned(), f64::NAN)].into()))),
    _ => None,
};

fn kinds(paths: &kiln_search::RunPaths) -> Vec<Option<(FailureKind, String)>> {
    let outcomes = record(paths).trials.into_values().map(|known| known.trial.outcome);
    outcomes
        .map(|outcome| match outcome {
            Outcome::Measured(_) => None,
            Outcome::Failed { kind, reason } => Some((kind, reason)),
        })
        .collect()
}

#[test]
fn failures_are_recorded_with_their_reason_and_the_search_continues() {
    let (_folder, paths) = folder();
    let list = [[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0], [3, 0, 0, 0], [1, 0, 0, 0]];
    let evaluator = Arc::new(Analytic { misfortune: MISFORTUNES, ..Analytic::new() });
    let misfortunate = |evaluator: &Arc<Analytic>| {
        let mut study = study(evaluator, &Seen::default());
        study.space = Arc::new(Layers::new(true));
        study.strategy = Box::new(Listed::full(&list));
        study
    };
    let summary = run(misfortunate(&evaluator), &paths).unwrap();
    assert_eq!(summary.status, Status::Completed);
    let failed = |kind, reason: &str| Some((kind, reason.to_owned()));
    let expected = [
        None,
        failed(FailureKind::Panicked, "index out of range"),
        failed(FailureKind::Diverged, "metric `error_percent` is NaN, expected a finite number"),
        failed(FailureKind::Invalid, "layer `layer0`: too wide"),
        None,
    ];
    assert_eq!(kinds(&paths), expected);
    assert_eq!(evaluator.count(), 4, "what cannot be built is not evaluated");
    let front: Vec<_> = summary.front.iter().map(|entry| entry.trial).collect();
    assert!(!front.is_empty() && front.iter().all(|id| [0, 4].contains(id)));

    let before = facts(&paths);
    run(misfortunate(&evaluator), &paths).unwrap();
    assert_eq!((evaluator.count(), facts(&paths)), (4, before), "failures are not repeated either");

    let mended = Arc::new(Analytic::new());
    let mut study = misfortunate(&mended);
    study.settings.retry_failed = true;
    run(study, &paths).unwrap();
    assert_eq!(mended.count(), 1, "only the panic is tried again");
    assert_eq!(kinds(&paths)[1], None);
    assert_eq!(kinds(&paths)[2], expected[2]);
}

/// A strategy whose second proposal depends on the outcome of the first one.
struct Learns(Option<bool>);

impl Strategy for Learns {
    fn ask(&mut self, domain: &kiln_search::Domain<'_>, rng: &mut dyn rand::Rng) -> Ask {
        let listed = |genes| propose(genes, Fidelity::Full);
        match self.0 {
            None => listed([0, 1, 0, 0]),
            Some(failed) if domain.sample(rng).is_some() => listed([u8::from(failed), 0, 0, 0]),
            Some(_) => Ask::Done,
        }
    }

    fn tell(&mut self, trial: &kiln_search::Trial) {
        if trial.id == 0 {
            self.0 = Some(trial.objectives.0.is_empty());
        }
    }
}

#[test]
fn retried_trial_may_change_later_proposals() {
    let (_folder, paths) = folder();
    let attempt = |evaluator: &Arc<Analytic>, retry_failed| {
        let mut study = study(evaluator, &Seen::default());
        study.strategy = Box::new(Learns(None));
        (study.settings.in_flight, study.settings.trials) = (1, Some(2));
        study.settings.retry_failed = retry_failed;
        run(study, &paths)
    };
    let second = || record(&paths).trials[&1].trial.proposal.genotype.genes()[0];
    attempt(&Arc::new(Analytic { misfortune: MISFORTUNES, ..Analytic::new() }), false).unwrap();
    assert_eq!(second(), 1);
    attempt(&Arc::new(Analytic::new()), true).unwrap();
    assert_eq!(second(), 0);
    let idle = Arc::new(Analytic::new());
    attempt(&idle, true).unwrap();
    attempt(&idle, false).unwrap();
    assert_eq!((second(), idle.count()), (0, 0));
}

#[test]
fn panics_in_a_row_stop_the_study_and_lose_nothing() {
    let (_folder, paths) = folder();
    let evaluator = Arc::new(Analytic {
        misfortune: |genotype| (genotype.genes()[0] > 0).then(|| panic!("no")),
        ..Analytic::new()
    });
    let list = [[0; 4], [1; 4], [0, 1, 0, 0], [1; 4], [1, 0, 0, 0], [1, 1, 0, 0], [0; 4]];
    let attempt = || {
        let mut study = study(&evaluator, &Seen::default());
        study.settings.panics_in_a_row = 3;
        study.strategy = Box::new(Listed::full(&list));
        run(study, &paths).unwrap_err()
    };
    for _ in 0..2 {
        match attempt() {
            StudyError::Panics { count, trial, reason } => assert_eq!((count, trial, &*reason), (3, 5, "no")),
            error => panic!("{error}"),
        }
        assert!(record(&paths).trials.len() >= 6);
    }
}

#[test]
fn broken_environment_stops_the_study_and_keeps_finished_trials() {
    static BROKEN: AtomicBool = AtomicBool::new(true);
    let misfortune: Misfortune = |genotype| {
        let lost = EvalError::Device { device: "gpu".to_owned(), problem: "was lost".to_owned() };
        (genotype.genes() == [1; 4] && BROKEN.load(Ordering::Relaxed)).then_some(Err(lost))
    };
    let evaluator = Arc::new(Analytic { misfortune, jitter_us: 500, ..Analytic::new() });
    let (_folder, paths) = folder();
    let attempt = || {
        let mut study = study(&evaluator, &Seen::default());
        study.settings.workers = 2;
        study.strategy =
            Box::new(Listed::full(&[[0; 4], [0, 1, 0, 0], [0, 0, 1, 0], [1; 4], [0, 0, 0, 1], [1, 0, 0, 0]]));
        run(study, &paths)
    };
    let error = attempt().unwrap_err();
    assert_eq!(error.to_string(), "device `gpu`: was lost");
    let kept = record(&paths).trials.len();
    assert!(kept >= 3, "{kept}");
    let before = evaluator.count();
    BROKEN.store(false, Ordering::Relaxed);
    assert_eq!(attempt().unwrap().trials, 6);
    assert_eq!(evaluator.count() - before, 6 - kept);
}

#[test]
fn constraints_without_feasible_networks_are_reported_with_the_smallest_values_seen() {
    let (_folder, paths) = folder();
    let evaluator = Arc::new(Analytic::new());
    let mut study = study(&evaluator, &Seen::default());
    study.constraints = vec![Constraint::new("parameters", 10.0), Constraint::new("macs", 1e6)];
    let error = run(study, &paths).unwrap_err();
    // The smallest network has 11 parameters: 4 + 1 in the first layer, and 1 + 1 in each of the three other
    // layers.
    let message = error.to_string();
    assert!(message.starts_with("no architecture meets the constraints: 100.0 % of "), "{message}");
    assert!(message.contains("the smallest `parameters` seen is 11, the limit 10"), "{message}");
    assert_eq!(evaluator.count(), 0);
}

#[test]
fn constraints_with_few_feasible_networks_are_met() {
    let (_folder, paths) = folder();
    let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
    study.constraints = vec![Constraint::new("parameters", 11.0)];
    study.settings.trials = Some(3);
    let summary = run(study, &paths).unwrap();
    assert_eq!(summary.front[0].genotype.genes(), [0; 4]);
    assert_eq!(summary.trials, 3);
}

#[test]
fn proposals_that_break_a_law_are_refused() {
    for (ask, problem) in [
        (propose([3; 4], Fidelity::Full), "infeasible"),
        (propose([9, 0, 0, 0], Fidelity::Full), "not in the space"),
    ] {
        let (_folder, paths) = folder();
        let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
        study.strategy = Box::new(Listed(vec![ask]));
        let message = run(study, &paths).unwrap_err().to_string();
        assert!(message.contains(problem), "{message}");
    }
    let (_folder, paths) = folder();
    let mut waiting = study(&Arc::new(Analytic::new()), &Seen::default());
    waiting.strategy = Box::new(Listed(vec![propose([0; 4], Fidelity::Full), Ask::Wait, Ask::Wait]));
    assert!(matches!(run(waiting, &paths), Err(StudyError::Stuck { trials: 1 })));
}
