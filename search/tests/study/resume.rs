//! Tests that a study can be stopped at any moment and resumed, with or without the store.
//! store.

use std::fs;
use std::sync::Arc;

use kiln_search::{Event, FailureKind, MemoryStore, Outcome, RunPaths, Status, StrategyRegistry, StudyError};
use kiln_space::Settings;

use crate::parts::{Analytic, Climb, Listed, Misfortune, Seen, Writes, facts, folder, record, run, study};

/// Runs a study to its end. Returns its folder and the bytes of its journal.
fn whole() -> (tempfile::TempDir, RunPaths, Vec<u8>) {
    let (folder, paths) = folder();
    let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
    study.strategy = Box::new(Climb { fidelities: true, ..Climb::default() });
    study.finisher = Some(Arc::new(Writes::default()));
    study.settings.networks = 2;
    run(study, &paths).unwrap();
    let journal = fs::read(paths.journal()).unwrap();
    (folder, paths, journal)
}

fn again(paths: &RunPaths, memory: bool) -> (Arc<Analytic>, Seen, kiln_search::Summary) {
    let (evaluator, seen) = (Arc::new(Analytic::new()), Seen::default());
    let mut study = study(&evaluator, &seen);
    study.strategy = Box::new(Climb { fidelities: true, ..Climb::default() });
    study.finisher = Some(Arc::new(Writes::default()));
    study.settings.networks = 2;
    study.settings.workers = 2;
    if memory {
        study.store = Some(Box::new(MemoryStore::default()));
    }
    let summary = run(study, paths).unwrap();
    (evaluator, seen, summary)
}

#[test]
fn journal_cut_anywhere_resumes_to_the_same_facts() {
    let (_folder, finished, journal) = whole();
    let expected = facts(&finished);
    let ends = journal.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(i, _)| i + 1);
    for (line, end) in std::iter::once(0).chain(ends).enumerate() {
        // The journal is cut after the line, inside the next line, or just before the end of the next line.
        let next = journal[end..].iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let (cut, torn) = [(end, false), (end + next / 2, next > 1), (end + next, false)][line % 3];
        let (_folder, paths) = folder();
        fs::create_dir_all(paths.root()).unwrap();
        fs::write(paths.config(), "").unwrap();
        fs::write(paths.journal(), &journal[..cut]).unwrap();
        let known = record(&paths).trials.len();
        let (evaluator, seen, summary) = again(&paths, line % 4 > 0);
        assert_eq!(facts(&paths), expected, "cut at byte {cut}, line {line}");
        assert!(evaluator.count() <= 40 - known, "{} evaluated, {known} known", evaluator.count());
        assert_eq!(summary.status, Status::Completed);
        assert_eq!(seen.told().len(), 40);
        let repaired = seen.warnings().iter().any(|warning| warning.contains("unfinished line"));
        assert_eq!(repaired, torn, "cut at byte {cut}, line {line}");
    }
}

#[test]
fn answers_that_only_the_store_has_are_not_evaluated_again() {
    let (_folder, paths, journal) = whole();
    let expected = facts(&paths);
    let half = journal.len() / 2;
    let end = half + journal[half..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(paths.journal(), &journal[..end]).unwrap();
    let (evaluator, _, _) = again(&paths, false);
    assert_eq!((evaluator.count(), facts(&paths)), (0, expected));
}

#[test]
fn ended_study_is_told_again_without_evaluations() {
    let (_folder, paths, _) = whole();
    let expected = facts(&paths);
    let (evaluator, seen, summary) = again(&paths, false);
    assert_eq!((evaluator.count(), facts(&paths)), (0, expected));
    assert_eq!((seen.told().len(), summary.finished.len()), (40, 2));
    assert!(seen.warnings().is_empty(), "{:?}", seen.warnings());
    let started = |event: &Event| matches!(event, Event::Started { resumed: 40, trials: Some(40), .. });
    assert!(seen.events.lock().unwrap().iter().any(started));
}

#[test]
fn damaged_store_is_rebuilt_from_the_journal() {
    let (_folder, paths, _) = whole();
    let expected = facts(&paths);
    let files: Vec<_> = fs::read_dir(paths.store()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files.iter().filter(|file| file.is_file()) {
        let bytes = fs::read(file).unwrap();
        fs::write(file, vec![0xa5; bytes.len().max(64)]).unwrap();
    }
    let (evaluator, seen, _) = again(&paths, false);
    assert_eq!((evaluator.count(), facts(&paths)), (0, expected));
    let said = seen.warnings().iter().any(|warning| warning.contains("from the journal"));
    assert!(said, "{:?}", seen.warnings());
    let (_, seen, _) = again(&paths, false);
    assert!(seen.warnings().is_empty(), "{:?}", seen.warnings());
}

#[test]
fn stopped_study_resumes() {
    let (_folder, finished) = folder();
    run(study(&Arc::new(Analytic::new()), &Seen::default()), &finished).unwrap();
    let (_folder, paths) = folder();
    for stop_after in [1, 10, 11, 25] {
        let seen = Seen { stop_after: Some(stop_after), ..Seen::default() };
        let mut study = study(&Arc::new(Analytic { jitter_us: 500, ..Analytic::new() }), &seen);
        study.settings.workers = 3;
        let summary = run(study, &paths).unwrap();
        assert_eq!(summary.status, Status::Interrupted);
        let kept = record(&paths).trials.len();
        assert!((stop_after..40).contains(&kept), "{kept} kept, stopped after {stop_after}");
        assert_eq!(summary.trials, kept as u64);
    }
    let kept = record(&paths).trials.len();
    let evaluator = Arc::new(Analytic::new());
    assert_eq!(run(study(&evaluator, &Seen::default()), &paths).unwrap().status, Status::Completed);
    assert!(evaluator.count() <= 40 - kept);
    assert_eq!(facts(&paths), facts(&finished));
}

#[test]
fn larger_budget_resumes_where_the_smaller_one_ended() {
    let (_folder, small) = folder();
    let with = |trials, paths: &RunPaths| {
        let evaluator = Arc::new(Analytic::new());
        let mut study = study(&evaluator, &Seen::default());
        study.settings.trials = Some(trials);
        run(study, paths).unwrap();
        evaluator.count()
    };
    let first = with(15, &small);
    let second = with(40, &small);
    let (_folder, large) = folder();
    assert_eq!(first + second, with(40, &large));
    assert_eq!(facts(&small), facts(&large));
}

#[test]
fn every_strategy_resumes_where_it_stopped() {
    let registry = StrategyRegistry::builtin();
    for name in registry.names() {
        let with = |trials, workers, paths: &RunPaths| {
            // One third of the networks fail.
            let misfortune: Misfortune = |genotype| {
                let sum: u32 = genotype.genes().iter().map(|gene| u32::from(*gene)).sum();
                let reason = "the loss is NaN".to_owned();
                let failed = Outcome::Failed { kind: FailureKind::Diverged, reason };
                sum.is_multiple_of(3).then_some(Ok(failed))
            };
            let evaluator = Arc::new(Analytic { misfortune, jitter_us: 50, ..Analytic::new() });
            let mut study = study(&evaluator, &Seen::default());
            study.strategy = registry.build(name, &Settings::empty("search")).unwrap();
            (study.settings.trials, study.settings.workers) = (Some(trials), workers);
            assert_eq!(run(study, paths).unwrap().trials, trials, "{name}");
            evaluator.count()
        };
        let ((_stopped, stopped), (_whole, whole)) = (folder(), folder());
        let evaluated = with(21, 2, &stopped) + with(40, 3, &stopped);
        assert_eq!(evaluated, with(40, 1, &whole), "{name}");
        assert_eq!(facts(&stopped), facts(&whole), "{name}");
    }
}

#[test]
fn rerun_with_other_proposals_names_the_trial() {
    let (_folder, paths) = folder();
    let listed = |last: u8| {
        let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
        study.strategy = Box::new(Listed::full(&[[0; 4], [1; 4], [0, 0, 0, last]]));
        run(study, &paths)
    };
    listed(1).unwrap();
    let message = listed(2).unwrap_err().to_string();
    assert!(
        message.starts_with("trial 2 is `0-0-0-2` (full) now, but `0-0-0-1` (full) in the journal"),
        "{message}"
    );
}

#[test]
fn another_evaluator_is_refused_once_there_are_trials() {
    let (_folder, paths) = folder();
    let other = |fingerprint| Arc::new(Analytic { fingerprint, ..Analytic::new() });
    run(study(&other("a"), &Seen::default()), &paths).unwrap();
    let error = run(study(&other("b"), &Seen::default()), &paths).unwrap_err();
    assert!(matches!(error, StudyError::Fingerprint { before, after } if before == "a" && after == "b"));
}

/// A strategy that counts its asks.
struct Counted(Climb, Arc<std::sync::atomic::AtomicUsize>);

impl kiln_search::Strategy for Counted {
    fn ask(&mut self, domain: &kiln_search::Domain<'_>, rng: &mut dyn rand::Rng) -> kiln_search::Ask {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.ask(domain, rng)
    }

    fn tell(&mut self, trial: &kiln_search::Trial) {
        self.0.tell(trial);
    }
}

/// Runs a study of `trials` trials. Returns the summary, the number of asks, and the events.
fn long(paths: &RunPaths, trials: u64) -> (kiln_search::Summary, usize, Seen) {
    let (evaluator, seen) = (Arc::new(Analytic::new()), Seen::default());
    let asked = Arc::default();
    let mut study = study(&evaluator, &seen);
    study.strategy = Box::new(Counted(Climb::default(), Arc::clone(&asked)));
    study.finisher = Some(Arc::new(Writes::default()));
    study.settings.trials = Some(trials);
    let summary = run(study, paths).unwrap();
    (summary, asked.load(std::sync::atomic::Ordering::Relaxed), seen)
}

#[test]
fn ended_study_is_shown_from_its_journal_with_few_asks() {
    let (_folder, paths) = folder();
    let (first, asked, told) = long(&paths, 300);
    assert_eq!(asked, 300);
    let before = facts(&paths);
    let (again, asked, told_again) = long(&paths, 300);
    assert_eq!(asked, 64, "the beginning is asked for again, so that another strategy is noticed");
    assert_eq!((&again.front, &again.finished, again.trials), (&first.front, &first.finished, 300));
    assert_eq!(facts(&paths), before);
    let sorted = |seen: &Seen| {
        let mut told = seen.told();
        told.sort_by_key(|trial| trial.id);
        told
    };
    assert_eq!(sorted(&told_again), sorted(&told));
    // With a larger budget, the search continues. If the last run was interrupted, the search is replayed.
    let (more, asked, _) = long(&paths, 310);
    assert_eq!((more.trials, asked), (310, 310));
    let journal = fs::read_to_string(paths.journal()).unwrap();
    let last = journal.trim_end().rfind('\n').unwrap();
    fs::write(paths.journal(), &journal[..=last]).unwrap();
    assert_eq!(long(&paths, 310).1, 310, "the end is not in the journal");
}

#[test]
fn ended_study_with_another_strategy_or_unchecked_lines_is_searched_again() {
    let (_folder, paths) = folder();
    long(&paths, 300);
    let other = Listed::full(&[[0, 0, 0, 0]; 300]);
    let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
    study.strategy = Box::new(other);
    study.settings.trials = Some(300);
    assert!(matches!(run(study, &paths), Err(StudyError::Replay { .. })));
    let (_folder, paths) = folder();
    long(&paths, 300);
    let old: String = fs::read_to_string(paths.journal())
        .unwrap()
        .lines()
        .map(|line| {
            let (body, _) = line.split_once(",\"check\"").unwrap();
            body.replace("\"version\":2", "\"version\":1") + "}\n"
        })
        .collect();
    fs::write(paths.journal(), old).unwrap();
    assert_eq!(long(&paths, 300).1, 300);
}
