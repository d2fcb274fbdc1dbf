//! Tests the effect of events on the state.

use std::collections::BTreeMap;
use std::time::Duration;

use kiln_search::hypervolume::hypervolume;
use kiln_search::{Event, Fidelity, JOURNAL_VERSION, JournalEntry, Seconds, StudyRecord, Trial, study_front};

use super::{progress, searching, setup, state, told, trial, whole};
use crate::comparison::Comparison;
use crate::study_page::{History, StudyPage};
use crate::tui::groups::groups;
use crate::tui::setup::{Role, Setup};
use crate::tui::state::{Front, Level, State};

#[test]
fn front_matches_study_for_any_order_of_trials() {
    let mut trials: Vec<Trial> = (0..200).map(trial).collect();
    // The events contain a repeated architecture, a lower fidelity, and a trial that exceeds a limit.
    for (id, source) in (200..220).zip(60..80) {
        let same = Trial { id, ..trial(source) };
        trials.push(same);
    }
    trials[5].proposal.fidelity = Fidelity::Epochs(1);
    trials[150].violation = 0.5;
    let expected: Vec<u64> = study_front(&trials).iter().map(|entry| entry.trial).collect();
    for step in [1, 7, 219] {
        let mut front = Front::default();
        for i in 0..trials.len() {
            front.insert(&trials[i * step % trials.len()]);
        }
        let found: Vec<u64> = (0..220).filter(|id| front.contains(*id)).collect();
        assert_eq!(found, expected, "step {step}");
        assert_eq!(front.len(), expected.len());
    }
}

#[test]
fn hypervolume_matches_front_and_never_falls() {
    let state = state(&whole());
    let reference = state.volume.scale().unwrap().reference.clone();
    assert!((reference[1] - 200.0).abs() < 1e-12, "the limit is the reference");
    let trials: Vec<Trial> = (0..150).map(trial).collect();
    let front = study_front(&trials);
    let points: Vec<&[f64]> = front.iter().map(|entry| entry.objectives.0.as_slice()).collect();
    let best = |axis: usize| points.iter().map(|point| point[axis]).fold(f64::INFINITY, f64::min);
    let whole = (reference[0] - best(0)) * (reference[1] - best(1));
    let curve = state.volume.curve();
    let (number, last) = *curve.last().unwrap();
    assert!(number <= 150);
    assert!((last - 100.0 * hypervolume(&points, &reference) / whole).abs() < 1e-9);
    assert!(curve.windows(2).all(|pair| pair[0].1 <= pair[1].1 && pair[0].0 < pair[1].0));
}

#[test]
fn screen_watch_report_and_compare_show_same_hypervolume() {
    // The short trainings have lower errors than all full trainings. Some trials fail.
    let trials: Vec<Trial> = (0..150)
        .map(|id| {
            let mut trial = trial(id);
            if id % 3 == 0 {
                trial.proposal.fidelity = Fidelity::Epochs(1 + 2 * (id % 2) as u32);
                trial.objectives.0.iter_mut().for_each(|value| *value /= 2.0);
            }
            trial
        })
        .collect();
    assert!(trials.iter().any(|trial| trial.objectives.0.is_empty()));
    let event = |trial: &Trial| Event::Trial {
        trial: trial.clone(),
        known: false,
        seconds: Seconds::saturating(0.5),
        worker: 0,
    };
    let Setup { objectives, constraints, .. } = setup(Role::Runs);
    // The process that runs the search receives the trials in one order. `kiln watch` reads them in another
    // order.
    let [screen, watch] = [Role::Runs, Role::Watches].map(|role| {
        let mut state = State::new(&setup(role));
        let mut order: Vec<&Trial> = trials.iter().collect();
        if role == Role::Watches {
            order.reverse();
        }
        for trial in order {
            state.apply(&event(trial), Duration::ZERO);
        }
        (state.volume.curve().last().unwrap().1, state.volume.scale().unwrap().reference.clone())
    });
    assert_eq!(screen, watch);
    let (share, reference) = screen;
    assert!(share > 10.0 && share < 100.0, "{share}");
    assert!((reference[1] - 200.0).abs() < 1e-12 && reference[0] > 0.0, "{reference:?}");

    let entry = |event| JournalEntry {
        version: JOURNAL_VERSION,
        unix_s: Seconds::saturating(1e9),
        elapsed_s: Seconds::saturating(1.0),
        event,
    };
    let entries: Vec<JournalEntry> = trials.iter().map(|trial| entry(event(trial))).collect();
    let mut history = History::default();
    for entry in &entries {
        history.see(entry);
    }
    let record = StudyRecord::new(entries);
    let (names, config) = (objectives.clone(), String::new());
    let page =
        StudyPage::new("a".to_owned(), "runs/a".into(), config, names, constraints.clone(), record, history);
    let html = page.page(&BTreeMap::new()).html();
    assert!(html.contains(&format!("It is {share:.2} % in the end")), "{share}");
    let accuracy = format!("The reference point is {:.2} %, 200.0 µs.", 100.0 - reference[0]);
    assert!(html.contains(&accuracy), "{accuracy}");

    let mut study = crate::comparison::tests::contender("a", &[], 200.0);
    study.constraints = constraints;
    study.front = study_front(&trials);
    study.trials = trials;
    let comparison = Comparison::new(&objectives, &[study.clone(), study]);
    assert_eq!(comparison.reference, Some(reference));
    assert!(comparison.studies.iter().all(|side| side.hypervolume_percent.to_bits() == share.to_bits()));
}

#[test]
fn remaining_time_survives_dropped_progress() {
    let trials_only: Vec<_> = searching()
        .into_iter()
        .filter(|(event, _)| !matches!(event, Event::Progress { stage, .. } if stage == "search"))
        .collect();
    for events in [searching(), trials_only] {
        let state = state(&events);
        let stage = state.stage().unwrap();
        assert_eq!((stage.name(), stage.done(), stage.total()), ("search", 90, 150));
        let left = stage.left(Duration::from_secs(65)).unwrap().as_secs_f64();
        assert!((left - 30.0).abs() < 1.0, "{left}");
    }
}

#[test]
fn stored_outcomes_do_not_count_for_speed() {
    let mut state = State::new(&setup(Role::Runs));
    let second = Duration::from_secs;
    state.apply(&Event::Started { study: "digits".to_owned(), resumed: 50, trials: Some(100) }, second(0));
    for id in 0..50 {
        let event =
            Event::Trial { trial: trial(id), known: true, seconds: Seconds::saturating(1.0), worker: 0 };
        state.apply(&event, second(0));
    }
    assert!(state.workers.is_empty());
    for id in 50..60 {
        state.apply(&told(id), second(id - 48));
    }
    let left = state.stage().unwrap().left(second(20)).unwrap();
    assert!((left.as_secs_f64() - 80.0).abs() < 10.0, "{left:?}");
}

#[test]
fn retry_replaces_all_trials() {
    let mut state = state(&searching());
    let before = state.clone();
    state.apply(&Event::Retried { trials: vec![13] }, Duration::from_secs(70));
    assert!(state.trials.is_empty() && state.finished.is_empty() && state.best.is_none());
    assert_eq!((state.front.len(), state.failed), (0, 0));
    for id in 0..90 {
        state.apply(&told(id), Duration::from_secs(80));
    }
    assert_eq!((&state.front, state.failed, state.best), (&before.front, before.failed, before.best));
    assert_eq!(state.volume.curve(), before.volume.curve());
}

#[test]
fn log_contains_failures_warnings_and_end() {
    let state = state(&whole());
    let count = |level| state.lines.iter().filter(|line| line.level == level).count();
    assert_eq!((count(Level::Failure), count(Level::Warning)), (7, 1));
    assert_eq!(state.failed, 7);
    assert!(state.ended && state.finished.len() == 1);
    let last = state.lines.iter().next_back().unwrap();
    assert_eq!(last.message, "the study is done");
    let mut state = state;
    state.apply(&Event::Warning { message: "a\u{1b}[2Jb\nc".to_owned() }, Duration::from_secs(200));
    assert_eq!(
        state.lines.iter().next_back().unwrap().message,
        "a\\u{1b}[2Jb\\nc",
        "control characters stay out"
    );
}

#[test]
fn new_stage_ends_previous_stage() {
    let mut state = State::new(&setup(Role::Runs));
    state.apply(&progress("data", 1, 1, ""), Duration::from_secs(1));
    state.apply(&progress("supernet", 1, 10, ""), Duration::from_secs(3));
    assert_eq!(state.stages[0].ended, Some(Duration::from_secs(3)));
    assert_eq!(state.stage().unwrap().name(), "supernet");
}

#[test]
fn best_among_equal_values_is_on_front() {
    let mut state = State::new(&setup(Role::Runs));
    for (id, latency) in [(0, 50.0), (1, 40.0), (2, 60.0)] {
        let mut trial = trial(id);
        trial.objectives.0 = vec![2.0, latency];
        let event = Event::Trial { trial, known: false, seconds: Seconds::saturating(1.0), worker: 0 };
        state.apply(&event, Duration::from_secs(id));
    }
    assert_eq!(state.best.map(|(_, id)| id), Some(1));
}

#[test]
fn lower_fidelities_are_not_compared_with_higher_ones() {
    let mut state = State::new(&setup(Role::Runs));
    let second = Duration::from_secs;
    state.apply(&Event::Prepared { fingerprint: "f".to_owned(), full_epochs: 20 }, second(0));
    let tell = |state: &mut State, id: u64, fidelity, error: f64| {
        let mut trial = trial(id);
        trial.proposal.fidelity = fidelity;
        trial.objectives.0[0] = error;
        state.apply(
            &Event::Trial { trial, known: false, seconds: Seconds::saturating(1.0), worker: 0 },
            second(id),
        );
    };
    tell(&mut state, 0, Fidelity::Proxy, -30.0);
    assert_eq!(state.qualifier().as_deref(), Some("by a zero-cost proxy"));
    tell(&mut state, 1, Fidelity::Epochs(1), 9.0);
    tell(&mut state, 2, Fidelity::Proxy, -40.0);
    assert_eq!((state.best, state.qualifier().as_deref()), (Some((9.0, 1)), Some("after 1 of 20 epochs")));
    assert_eq!(groups(&state)[0].best, Some(9.0));
    let searched = Event::Searched { trials: 3, front: vec![1] };
    state.apply(&searched, second(3));
    assert!(
        state.lines.iter().next_back().unwrap().message.ends_with("3 trials, judged after 1 of 20 epochs")
    );
    tell(&mut state, 3, Fidelity::Full, 11.0);
    tell(&mut state, 4, Fidelity::Epochs(1), 8.0);
    assert_eq!((state.best, state.qualifier()), (Some((11.0, 3)), None));
}
