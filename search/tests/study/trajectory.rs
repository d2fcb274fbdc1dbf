//! Tests that the trials and their order do not depend on the number or the speed of the workers.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln_search::{
    Constraint, Event, Fidelity, MemoryStore, RunPaths, SearchEnd, Status, StrategyRegistry, StudyError,
};
use kiln_space::Settings;

use crate::parts::{Analytic, Climb, Listed, Seen, facts, folder, propose, record, run, study};

#[test]
fn trials_and_their_order_are_equal_for_any_number_of_workers() {
    let mut all = Vec::new();
    for (workers, fidelities) in [(1, true), (4, true), (9, true), (1, false), (4, false)] {
        let evaluator = Arc::new(Analytic { jitter_us: 3_000, ..Analytic::new() });
        let seen = Seen::default();
        let (_folder, paths) = folder();
        let mut study = study(&evaluator, &seen);
        study.settings.workers = workers;
        study.settings.in_flight = 4;
        study.strategy = Box::new(Climb { fidelities, ..Climb::default() });
        study.store = Some(Box::new(MemoryStore::default()));
        let summary = run(study, &paths).unwrap();
        assert_eq!((summary.status, summary.trials), (Status::Completed, 40));
        let evaluated = evaluator.evaluated.lock().unwrap().clone();
        let distinct: BTreeSet<_> = evaluated.iter().cloned().collect();
        assert_eq!(distinct.len(), evaluated.len(), "something was evaluated twice");
        let told = seen.told();
        let ids: Vec<_> = told.iter().map(|trial| trial.id).collect();
        assert_eq!(ids.is_sorted(), !fidelities, "virtual completion order");
        all.push((fidelities, facts(&paths), told, summary.front));
    }
    let (mixed, plain): (Vec<_>, Vec<_>) = all.into_iter().partition(|(fidelities, ..)| *fidelities);
    assert!(mixed.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(plain.windows(2).all(|pair| pair[0] == pair[1]));
    let full = |front: &[kiln_search::FrontEntry]| front.iter().all(|entry| entry.objectives.0[0] < 55.0);
    assert!(mixed.iter().chain(&plain).all(|(_, _, _, front)| !front.is_empty() && full(front)));
}

#[test]
fn another_seed_gives_another_trajectory() {
    let told = [7, 8].map(|seed| {
        let seen = Seen::default();
        let (_folder, paths) = folder();
        let mut study = study(&Arc::new(Analytic::new()), &seen);
        study.settings.seed = seed;
        run(study, &paths).unwrap();
        seen.told()
    });
    assert_ne!(told[0], told[1]);
}

#[test]
fn equal_proposals_in_flight_are_evaluated_once() {
    let evaluator = Arc::new(Analytic { jitter_us: 2_000, ..Analytic::new() });
    let seen = Seen::default();
    let (_folder, paths) = folder();
    let mut study = study(&evaluator, &seen);
    study.settings.workers = 3;
    study.strategy = Box::new(Listed::full(&[[0; 4], [0; 4], [1; 4], [0; 4], [1; 4], [0; 4]]));
    let summary = run(study, &paths).unwrap();
    assert_eq!((summary.trials, evaluator.count()), (6, 2));
    let told = seen.told();
    assert!(
        told.iter().all(|trial| trial.objectives
            == told[usize::from(trial.proposal.genotype.genes()[0] == 1) * 2].objectives)
    );
    assert_eq!(summary.front.iter().map(|entry| entry.trial).collect::<Vec<_>>(), [0, 2], "each once");
    assert!(
        matches!(summary.end, Some(SearchEnd::Strategy { left: Some(1..), why: None })),
        "{:?}",
        summary.end
    );
}

#[test]
fn front_holds_the_highest_fidelity_only() {
    let (_folder, paths) = folder();
    let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
    study.strategy = Box::new(Listed(vec![
        propose([0; 4], Fidelity::Proxy),
        propose([1; 4], Fidelity::Epochs(3)),
        propose([2; 4], Fidelity::Epochs(9)),
        propose([0; 4], Fidelity::Epochs(9)),
        propose([1; 4], Fidelity::Epochs(3)),
    ]));
    study.constraints = vec![Constraint::new("macs", 1e9)];
    let front: Vec<_> = run(study, &paths).unwrap().front.into_iter().map(|entry| entry.trial).collect();
    assert_eq!(front, [2, 3]);
}

#[test]
fn used_up_hours_end_the_search_and_keep_the_trials() {
    let seen = Seen::default();
    let (_folder, paths) = folder();
    let mut late = study(&Arc::new(Analytic { jitter_us: 4_000, ..Analytic::new() }), &seen);
    late.settings.hours = Some(30e-3 / 3600.0);
    let summary = run(late, &paths).unwrap();
    assert_eq!(summary.status, Status::Completed);
    assert!(summary.trials < 40, "{} trials in 30 ms", summary.trials);
    assert_eq!(summary.end, Some(SearchEnd::Hours));
    assert_eq!(record(&paths).search_end, Some(SearchEnd::Hours));
    let mut longer = study(&Arc::new(Analytic::new()), &Seen::default());
    longer.settings.hours = None;
    assert_eq!(run(longer, &paths).unwrap().trials, 40);
}

#[test]
fn impossible_settings_are_named_before_a_folder_is_created() {
    let (_folder, paths) = folder();
    let fresh = || study(&Arc::new(Analytic::new()), &Seen::default());
    let mut cases = Vec::new();
    let mut study = fresh();
    study.settings.workers = 0;
    cases.push((study, "`workers` is 0, expected 1 to 1024"));
    let mut study = fresh();
    study.settings.hours = Some(f64::NAN);
    cases.push((study, "`hours` is NaN, expected a number above 0, at most 876600"));
    let mut study = fresh();
    study.objectives = vec!["a".to_owned(), "a".to_owned()];
    cases.push((study, "`objectives` is [\"a\", \"a\"], expected at least one name, each once"));
    let mut study = fresh();
    study.constraints = vec![Constraint::new("latency_us", 1.0)];
    cases.push((study, "there is no cost `latency_us` to constrain; known: `parameters`, `macs`"));
    for (study, message) in cases {
        assert_eq!(study.check().unwrap_err().to_string(), message);
    }
    assert!(!paths.root().exists());
}

#[test]
fn unknown_objective_is_named_with_the_known_values() {
    let (_folder, paths) = folder();
    let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
    study.objectives = vec!["loss".to_owned()];
    match run(study, &paths).unwrap_err() {
        StudyError::UnknownObjective { objective, known, .. } => {
            assert_eq!(objective, "loss");
            assert_eq!(known, ["error_percent", "macs", "parameters"]);
        }
        error => panic!("{error}"),
    }
}

#[test]
fn every_strategy_keeps_its_trajectory_for_any_number_of_workers_and_after_a_stop() {
    let registry = StrategyRegistry::builtin();
    let settings = Settings::empty("search.strategy");
    for name in registry.names() {
        let with = |workers, stop_after, paths: &RunPaths| {
            let seen = Seen { stop_after, ..Seen::default() };
            let mut study = study(&Arc::new(Analytic { jitter_us: 1_000, ..Analytic::new() }), &seen);
            study.settings.workers = workers;
            study.strategy = registry.build(name, &settings).unwrap();
            study.store = Some(Box::new(MemoryStore::default()));
            run(study, paths).unwrap().status
        };
        let (_one, alone) = folder();
        assert_eq!(with(1, None, &alone), Status::Completed, "{name}");
        let (_other, together) = folder();
        assert_eq!(with(4, Some(17), &together), Status::Interrupted, "{name}");
        assert_eq!(with(4, None, &together), Status::Completed, "{name}");
        assert_eq!(facts(&together), facts(&alone), "{name}");
    }
}

#[test]
fn search_that_ends_early_journals_the_reason_once() {
    let (_folder, paths) = folder();
    let exhaust = |seen: &Seen| {
        let mut study = study(&Arc::new(Analytic::new()), seen);
        study.settings.trials = None;
        let settings = Settings::empty("search");
        study.strategy = StrategyRegistry::builtin().build("random", &settings).unwrap();
        study.constraints = vec![Constraint::new("parameters", 12.0)];
        study
    };
    let summary = run(exhaust(&Seen::default()), &paths).unwrap();
    let Some(SearchEnd::Exhausted { networks }) = summary.end else { panic!("{:?}", summary.end) };
    assert_eq!(networks, summary.trials);
    assert_eq!(record(&paths).search_end, Some(SearchEnd::Exhausted { networks }));
    let again = Seen::default();
    assert_eq!(run(exhaust(&again), &paths).unwrap().end, summary.end);
    let text = std::fs::read_to_string(paths.journal()).unwrap();
    assert_eq!(text.matches("\"kind\":\"search_end\"").count(), 1, "{text}");
    let shown = again.events.lock().unwrap().iter().any(|event| matches!(event, Event::SearchEnd { .. }));
    assert!(shown);
}
