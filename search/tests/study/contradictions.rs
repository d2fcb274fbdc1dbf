//! Tests a journal and a store that contradict each other, and journals that have lost lines.

use std::fs;
use std::sync::Arc;

use kiln_search::{
    Fidelity, JournalEntry, Key, Outcome, RunPaths, SledStore, Store, StudyError, StudyRecord,
};

use crate::parts::{Analytic, Seen, facts, folder, run, study};

/// Runs a study to its end. Returns its folder.
fn ended() -> (tempfile::TempDir, RunPaths) {
    let (folder, paths) = folder();
    run(study(&Arc::new(Analytic::new()), &Seen::default()), &paths).unwrap();
    (folder, paths)
}

/// Runs the study again. Returns the warnings or the error, and the number of evaluations.
fn again(paths: &RunPaths) -> (Result<Vec<String>, StudyError>, usize) {
    let (evaluator, seen) = (Arc::new(Analytic::new()), Seen::default());
    let ended = run(study(&evaluator, &seen), paths).map(|_| seen.warnings());
    (ended, evaluator.count())
}

/// Removes the checks from the journal, so that its lines look like the lines of an earlier version.
fn uncheck(paths: &RunPaths) {
    let line = |line: &str| {
        let mut entry: JournalEntry = serde_json::from_str(line).unwrap();
        entry.version = 1;
        serde_json::to_string(&entry).unwrap() + "\n"
    };
    let journal: String = fs::read_to_string(paths.journal()).unwrap().lines().map(line).collect();
    fs::write(paths.journal(), journal).unwrap();
}

fn key(paths: &RunPaths) -> Key {
    let record = StudyRecord::read(paths).unwrap();
    let genotype = record.trials[&5].trial.proposal.genotype.clone();
    Key { fingerprint: "analytic".to_owned(), genotype, fidelity: Fidelity::Full }
}

fn error(percent: f64) -> Outcome {
    Outcome::from_metrics([("error_percent".to_owned(), percent)].into())
}

#[test]
fn store_that_contradicts_a_checked_line_is_named_and_rebuilt() {
    let (_folder, paths) = ended();
    let (expected, key) = (facts(&paths), key(&paths));
    let right = SledStore::open(&paths.store()).unwrap().get(&key).unwrap();
    SledStore::open(&paths.store()).unwrap().put(&key, &error(0.5)).unwrap();
    let (warnings, evaluated) = again(&paths);
    let warnings = warnings.unwrap();
    assert!(
        warnings[0]
            .starts_with("the store is damaged: it says `{\"measured\":{\"error_percent\":0.5}}` of trial "),
        "{warnings:?}"
    );
    assert_eq!((warnings.len(), evaluated, facts(&paths)), (1, 0, expected));
    assert_eq!(SledStore::open(&paths.store()).unwrap().get(&key).unwrap(), right);
    assert_eq!(again(&paths).0.unwrap(), [""; 0]);
}

#[test]
fn store_that_contradicts_an_unchecked_line_stops_the_study_and_neither_changes() {
    let (_folder, paths) = ended();
    uncheck(&paths);
    let (expected, key) = (facts(&paths), key(&paths));
    SledStore::open(&paths.store()).unwrap().put(&key, &error(0.5)).unwrap();
    for _ in 0..2 {
        let (stopped, evaluated) = again(&paths);
        assert_eq!(evaluated, 0);
        match stopped.unwrap_err() {
            StudyError::Contradiction { store, journal, .. } => {
                assert_eq!(store, r#"{"measured":{"error_percent":0.5}}"#);
                assert!(
                    journal.starts_with(r#"{"measured":{"error_percent":"#) && journal != store,
                    "{journal}"
                );
            }
            other => panic!("{other}"),
        }
        assert_eq!(facts(&paths), expected);
        assert_eq!(SledStore::open(&paths.store()).unwrap().get(&key).unwrap(), Some(error(0.5)));
    }
    fs::remove_dir_all(paths.store()).unwrap();
    let warnings = again(&paths).0.unwrap();
    assert!(warnings[0].starts_with("the journal: lines 1 to "), "{warnings:?}");
    assert_eq!(facts(&paths), expected);
}

#[test]
fn lines_missing_at_the_end_are_noticed_by_the_store() {
    let (_folder, paths) = ended();
    let expected = facts(&paths);
    let journal = fs::read_to_string(paths.journal()).unwrap();
    let kept: String = journal.split_inclusive('\n').take(20).collect();
    fs::write(paths.journal(), kept).unwrap();
    let (warnings, evaluated) = again(&paths);
    let warnings = warnings.unwrap();
    assert!(
        warnings[0].starts_with("the store holds ") && warnings[0].contains("the journal lacks"),
        "{warnings:?}"
    );
    assert_eq!((evaluated, facts(&paths)), (0, expected));
}

#[test]
fn two_answers_to_one_question_in_a_journal_stop_the_study() {
    let (_folder, paths) = ended();
    uncheck(&paths);
    // Trial 40 repeats trial 5 with a different outcome.
    let journal = fs::read_to_string(paths.journal()).unwrap();
    let line = journal.lines().find(|line| line.contains("\"trial\":{\"id\":5,")).unwrap();
    let mut entry: JournalEntry = serde_json::from_str(line).unwrap();
    let kiln_search::Event::Trial { trial, .. } = &mut entry.event else { panic!("{line}") };
    (trial.id, trial.outcome, trial.objectives.0[0]) = (40, error(0.5), 0.5);
    let line = serde_json::to_string(&entry).unwrap() + "\n";
    fs::write(paths.journal(), journal + &line).unwrap();
    let error = again(&paths).0.unwrap_err();
    assert!(matches!(error, StudyError::Inconsistent { trials: [_, 40], .. }), "{error}");
}

#[test]
fn network_of_a_trial_that_the_journal_lacks_is_noticed() {
    let (_folder, paths) = ended();
    fs::create_dir_all(paths.model(39)).unwrap();
    assert_eq!(StudyRecord::read(&paths).unwrap().doubts.sentences(), [""; 0]);
    fs::create_dir_all(paths.model(40)).unwrap();
    let doubts = StudyRecord::read(&paths).unwrap().doubts;
    assert_eq!(doubts.unknown_networks, [40]);
    assert!(doubts.sentences()[0].contains("its last lines are missing"));
}
