//! Tests that fidelities are stated, requested, counted and reached correctly.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln_search::{
    Fidelities, Fidelity, Rung, SearchEnd, Status, Strategy, StrategyRegistry, Study, StudyError,
};
use kiln_space::Settings;

use crate::parts::{Analytic, Climb, Listed, Seen, facts, folder, propose, record, run, study};

fn built(strategy: &str, settings: &str) -> Box<dyn Strategy> {
    let settings = Settings::new("search", serde_json::from_str(settings).unwrap());
    StrategyRegistry::builtin().build(strategy, &settings).unwrap()
}

fn over(answered: Fidelities, strategy: &str, settings: &str, trials: u64) -> (Study, Arc<Analytic>, Seen) {
    let (evaluator, seen) = (Arc::new(Analytic { answered, ..Analytic::new() }), Seen::default());
    let mut study = study(&evaluator, &seen);
    study.strategy = built(strategy, settings);
    study.settings.trials = Some(trials);
    (study, evaluator, seen)
}

const RUNGS: [&str; 4] = ["asha", "bohb", "hyperband", "successive_halving"];

#[test]
fn strategy_with_unanswered_fidelities_is_refused_before_the_run_folder() {
    for name in RUNGS {
        let (study, ..) = over(Fidelities::full_only().with_proxy(), name, "{}", 100);
        let error = study.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the strategy asks for the fidelity `1 epoch`, and the evaluator answers zero-cost proxies, \
             full; give the strategy rungs among these, or choose another evaluator"
        );
        let (study, ..) = over(Fidelities::of_schedule(20), name, r#"{ "epochs": [10, 30] }"#, 100);
        let error = study.check().unwrap_err().to_string();
        assert!(error.contains("`30 epochs`") && error.contains("full (20 epochs)"), "{error}");
        let (study, ..) = over(Fidelities::of_schedule(20), name, r#"{ "epochs": [10, 19] }"#, 100);
        study.check().unwrap();
    }
    let proxies = r#"{ "proxies": { "draw": 5, "keep": 2 } }"#;
    let (study, ..) = over(Fidelities::of_schedule(20), "random", proxies, 100);
    assert!(matches!(study.check(), Err(StudyError::Fidelity { fidelity: Fidelity::Proxy, .. })));
    let (study, ..) = over(Fidelities::full_only(), "random", "{}", 1);
    study.check().unwrap();
}

#[test]
fn unstated_fidelity_stops_the_study() {
    let (mut study, evaluator, _) = over(Fidelities::of_schedule(20), "random", "{}", 100);
    study.strategy = Box::new(Listed(vec![propose([0; 4], Fidelity::Epochs(20))]));
    let (_folder, paths) = folder();
    let error = run(study, &paths).unwrap_err();
    assert!(matches!(error, StudyError::Fidelity { fidelity: Fidelity::Epochs(20), .. }), "{error}");
    assert_eq!(evaluator.count(), 0);
}

#[test]
fn rung_of_the_whole_schedule_is_the_highest_rung() {
    for name in RUNGS {
        let (study, evaluator, _) = over(Fidelities::of_schedule(9), name, r#"{ "epochs": [3, 9] }"#, 40);
        let (_folder, paths) = folder();
        let summary = run(study, &paths).unwrap();
        let evaluated = evaluator.evaluated.lock().unwrap();
        let efforts: BTreeSet<Fidelity> = evaluated.iter().map(|(_, fidelity)| *fidelity).collect();
        assert_eq!(Vec::from_iter(efforts), [Fidelity::Epochs(3), Fidelity::Full], "{name}");
        let once: BTreeSet<_> = evaluated.iter().collect();
        assert_eq!(once.len(), evaluated.len(), "{name}: each network once with each effort");
        assert!(summary.front.iter().all(|entry| entry.fidelity == Fidelity::Full));
    }
}

/// Returns the smallest budget of trials that the study accepts.
fn least(name: &str, answered: Fidelities, in_flight: usize) -> u64 {
    let refusal = |trials| {
        let (mut study, ..) = over(answered, name, "{}", trials);
        study.settings.in_flight = in_flight;
        match study.check() {
            Err(StudyError::Budget { key: "trials", needed, .. }) => Some(needed),
            Err(error) => panic!("{error}"),
            Ok(()) => None,
        }
    };
    let needed = refusal(1).unwrap();
    assert_eq!((refusal(needed - 1), refusal(needed)), (Some(needed), None));
    needed
}

#[test]
fn smallest_accepted_budget_evaluates_one_network_fully_with_its_last_trial() {
    for name in RUNGS {
        for in_flight in [1, 3, 8] {
            let answered = Fidelities::of_schedule(20);
            let trials = least(name, answered, in_flight);
            let (mut study, evaluator, _) = over(answered, name, "{}", trials);
            study.constraints.clear();
            study.settings.in_flight = in_flight;
            let (_folder, paths) = folder();
            let summary = run(study, &paths).unwrap();
            let full = |fidelity: &Fidelity| *fidelity == Fidelity::Full;
            let evaluated = evaluator.evaluated.lock().unwrap();
            assert_eq!(
                evaluated.iter().filter(|(_, fidelity)| full(fidelity)).count(),
                1,
                "{name} {in_flight}"
            );
            let last = &record(&paths).trials[&(trials - 1)].trial;
            assert!(full(&last.proposal.fidelity), "{name} {in_flight}: {trials}");
            assert_eq!(summary.front.len(), 1);
        }
    }
    // A bracket evaluates nine networks after one epoch, three networks after three epochs, and one network
    // with full fidelity.
    assert_eq!(least("successive_halving", Fidelities::of_schedule(20), 8), 13);
    assert_eq!(least("asha", Fidelities::of_schedule(20), 1), 13);
}

#[test]
fn budget_of_epochs_ends_at_the_same_trial_for_any_number_of_workers() {
    let attempt = |workers, stop_after, paths: &_| {
        let (mut study, _, mut seen) = over(Fidelities::of_schedule(20), "asha", "{}", 1_000);
        (study.settings.epochs, study.settings.workers) = (Some(200), workers);
        seen.stop_after = stop_after;
        study.observers = vec![Box::new(seen.clone())];
        study.stop = Arc::clone(&seen.stop);
        run(study, paths).unwrap()
    };
    let (_folder, whole) = folder();
    let summary = attempt(1, None, &whole);
    let spent = &summary.spent;
    assert!((200..220).contains(&spent.epochs), "{spent}");
    assert_eq!(spent.full_trainings(), Some(spent.epochs as f64 / 20.0));
    let by_hand: u64 = spent
        .rungs
        .iter()
        .map(|Rung { fidelity, networks, failed }| {
            u64::from(Fidelities::of_schedule(20).epochs(*fidelity)) * (networks + failed)
        })
        .sum();
    assert_eq!((by_hand, spent.rungs.len()), (spent.epochs, 3));
    assert_eq!(summary.end, Some(SearchEnd::Epochs { epochs: spent.epochs }));

    let (_folder, parts) = folder();
    assert_eq!(attempt(3, Some(20), &parts).status, Status::Interrupted);
    let resumed = attempt(2, None, &parts);
    assert_eq!((resumed.status, resumed.spent), (Status::Completed, summary.spent));
    assert_eq!(facts(&parts), facts(&whole));
}

#[test]
fn budget_of_epochs_without_training_or_for_no_network_is_refused() {
    let (mut study, ..) = over(Fidelities::full_only(), "random", "{}", 10);
    study.settings.epochs = Some(10);
    let error = study.check().unwrap_err().to_string();
    assert_eq!(error, "`epochs` is 10, expected no such budget: the trials of this evaluator train nothing");
    let (mut study, ..) = over(Fidelities::of_schedule(20), "successive_halving", "{}", 100);
    study.settings.epochs = Some(37);
    let error = study.check().unwrap_err();
    // There are 9 trainings with one epoch, 3 trainings with three epochs, and one training with twenty
    // epochs.
    assert!(matches!(error, StudyError::Budget { key: "epochs", found: 37, needed: 38, .. }), "{error}");
    study_with(&mut study, 38).unwrap();
    let (mut study, ..) = over(Fidelities::of_schedule(20), "random", "{}", 100);
    assert!(matches!(study_with(&mut study, 19), Err(StudyError::Budget { needed: 20, .. })));
}

fn study_with(study: &mut Study, epochs: u64) -> Result<(), StudyError> {
    study.settings.epochs = Some(epochs);
    study.check()
}

#[test]
fn study_without_full_effort_warns() {
    let (mut study, _, seen) = over(Fidelities::of_schedule(20), "random", "{}", 100);
    let list = [([0; 4], 1), ([1; 4], 3), ([0, 1, 0, 0], 3)];
    let proposed = list.map(|(genes, epochs)| propose(genes, Fidelity::Epochs(epochs)));
    study.strategy = Box::new(Listed(proposed.to_vec()));
    let (_folder, paths) = folder();
    let summary = run(study, &paths).unwrap();
    assert!(summary.front.iter().all(|entry| entry.fidelity == Fidelity::Epochs(3)));
    let said =
        "no network was judged with full effort: the front is what networks measure after 3 of 20 epochs";
    assert!(seen.warnings().iter().any(|warning| warning == said), "{:?}", seen.warnings());
    assert_eq!(
        summary.spent.to_string(),
        "7 epochs (0.3 full trainings); networks judged: 1 after 1 of 20 epochs, 2 after 3 of 20 epochs, 0 \
         with full effort"
    );
    assert_eq!(record(&paths).full_epochs, 20);
}

/// The journal is from a build in which a full training had the planned duration of one epoch. The test
/// imitates this build with an evaluator that states other fidelities.
#[test]
fn journal_with_another_plan_is_refused_with_the_reason() {
    let (_folder, paths) = folder();
    let attempt = |full_epochs, stop_after: Option<usize>| {
        let answered = Fidelities { full_epochs, ..Fidelities::of_schedule(30).with_proxy() };
        let evaluator = Arc::new(Analytic { answered, ..Analytic::new() });
        let seen = Seen { stop_after, ..Seen::default() };
        let mut study = study(&evaluator, &seen);
        study.strategy = Box::new(Climb { fidelities: true, ..Climb::default() });
        run(study, &paths)
    };
    assert_eq!(attempt(4, Some(30)).unwrap().status, Status::Interrupted);
    let error = attempt(30, None).unwrap_err();
    assert!(matches!(error, StudyError::Replay { .. }), "{error}");
    let message = error.to_string();
    let reason = "an older build planned a full training as one epoch, and told the trials of several \
                  fidelities in another order";
    assert!(message.contains(reason), "{message}");
}
