//! Tests the finish stage. Each network must be finished only once. A network must be finished completely or
//! not at all.

use std::fs;
use std::sync::Arc;

use kiln_search::{RunFolder, RunPaths, Status, Study, StudyError, Summary, Wanted};

use crate::parts::{Analytic, Seen, Writes, facts, folder, record, run, study};

fn finishing(finisher: &Arc<Writes>) -> Study {
    let mut study = study(&Arc::new(Analytic::new()), &Seen::default());
    study.settings.networks = 3;
    study.finisher = Some(Arc::clone(finisher) as _);
    study
}

fn folders(paths: &RunPaths) -> Vec<String> {
    let entries = fs::read_dir(paths.models()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn lowest_networks_in_the_first_objective_are_finished_once() {
    let (_folder, paths) = folder();
    let finisher = Arc::new(Writes::default());
    let summary = run(finishing(&finisher), &paths).unwrap();
    let mut front = summary.front.clone();
    front.sort_by(|a, b| a.objectives.0[0].total_cmp(&b.objectives.0[0]));
    let best: Vec<_> = front.iter().take(3).map(|entry| entry.trial).collect();
    assert_eq!(summary.finished.iter().map(|finished| finished.trial).collect::<Vec<_>>(), best);
    for entry in &front[..3] {
        let file = paths.model(entry.trial).join("network.txt");
        assert_eq!(fs::read_to_string(file).unwrap(), entry.genotype.to_string());
    }
    let again = run(finishing(&finisher), &paths).unwrap();
    assert_eq!((again.front, again.finished), (summary.front, summary.finished));
    assert_eq!(*finisher.finished.lock().unwrap(), best, "nothing is finished twice");
}

#[test]
fn interrupted_finish_stage_resumes() {
    let (_folder, whole) = folder();
    run(finishing(&Arc::new(Writes::default())), &whole).unwrap();
    let (_folder, paths) = folder();
    let broken = Arc::new(Writes { fails_after: Some(1), ..Writes::default() });
    assert!(matches!(run(finishing(&broken), &paths), Err(StudyError::Eval(_))));
    assert_eq!(record(&paths).finished.len(), 1);
    let rest = Arc::new(Writes::default());
    run(finishing(&rest), &paths).unwrap();
    assert_eq!(rest.finished.lock().unwrap().len(), 2);
    assert_eq!(folders(&paths), folders(&whole), "no partial folder stays");
    assert_eq!(facts(&paths), facts(&whole));
}

#[test]
fn network_with_missing_files_is_finished_again() {
    let (_folder, paths) = folder();
    let summary = run(finishing(&Arc::new(Writes::default())), &paths).unwrap();
    let gone = summary.finished[1].trial;
    fs::remove_file(paths.model(gone).join("network.txt")).unwrap();
    let finisher = Arc::new(Writes::default());
    run(finishing(&finisher), &paths).unwrap();
    assert_eq!(*finisher.finished.lock().unwrap(), [gone]);
    assert!(paths.model(gone).join("network.txt").exists());
}

#[test]
fn network_with_a_changed_file_is_finished_again_with_a_warning() {
    let (_folder, paths) = folder();
    let summary = run(finishing(&Arc::new(Writes::default())), &paths).unwrap();
    let changed = summary.finished[1].trial;
    let file = paths.model(changed).join("network.txt");
    let before = fs::read(&file).unwrap();
    let mut flipped = before.clone();
    flipped[0] ^= 1;
    for damage in [Vec::new(), flipped] {
        fs::write(&file, damage).unwrap();
        let (finisher, seen) = (Arc::new(Writes::default()), Seen::default());
        let mut study = study(&Arc::new(Analytic::new()), &seen);
        study.settings.networks = 3;
        study.finisher = Some(Arc::clone(&finisher) as _);
        let again = run(study, &paths).unwrap();
        assert_eq!(again.finished, summary.finished);
        assert_eq!(*finisher.finished.lock().unwrap(), [changed]);
        assert_eq!(fs::read(&file).unwrap(), before);
        let warnings = seen.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("network.txt: "), "{warnings:?}");
        assert!(warnings[0].ends_with("the network is finished again"), "{warnings:?}");
    }
}

#[test]
fn finisher_that_names_a_missing_file_is_an_error() {
    let (_folder, paths) = folder();
    let finisher = Arc::new(Writes { lies: true, ..Writes::default() });
    let error = run(finishing(&finisher), &paths).unwrap_err();
    assert!(matches!(error, StudyError::MissingFile { file, .. } if file == "card.json"));
    assert!(record(&paths).finished.is_empty());
}

/// Finishes networks of an ended study.
fn finish(finisher: &Arc<Writes>, paths: &RunPaths, wanted: &Wanted) -> Result<Summary, StudyError> {
    finishing(finisher).finish(&RunFolder::open(paths, "", &[])?, wanted)
}

#[test]
fn networks_finished_after_the_study_have_the_same_files() {
    let (_folder, whole) = folder();
    let mut front = run(finishing(&Arc::new(Writes::default())), &whole).unwrap().front;
    front.sort_by(|a, b| a.objectives.0[0].total_cmp(&b.objectives.0[0]).then(a.trial.cmp(&b.trial)));
    let (_folder, paths) = folder();
    run(study(&Arc::new(Analytic::new()), &Seen::default()), &paths).unwrap();
    let finisher = Arc::new(Writes::default());
    let two = finish(&finisher, &paths, &Wanted::Best(2)).unwrap();
    assert_eq!((two.status, two.finished.len()), (Status::Completed, 2));
    // The next call finishes the next best network, and keeps the networks that are already finished.
    finish(&finisher, &paths, &Wanted::Best(1)).unwrap();
    let best: Vec<_> = front.iter().take(3).map(|entry| entry.trial).collect();
    assert_eq!(*finisher.finished.lock().unwrap(), best);
    finish(&finisher, &paths, &Wanted::Trials(best.clone())).unwrap();
    assert_eq!(*finisher.finished.lock().unwrap(), best, "nothing is finished twice");
    assert_eq!((facts(&paths), folders(&paths)), (facts(&whole), folders(&whole)));
    // A trial that is not on the front can also be finished.
    let other = (0..40).find(|id| front.iter().all(|entry| entry.trial != *id)).unwrap();
    finish(&finisher, &paths, &Wanted::Trials(vec![other])).unwrap();
    assert!(paths.model(other).join("network.txt").exists() && record(&paths).ended);
}

#[test]
fn trials_that_cannot_be_finished_are_refused() {
    let (_folder, paths) = folder();
    let finisher = Arc::new(Writes::default());
    let all = Wanted::Best(1);
    assert!(matches!(finish(&finisher, &paths, &all), Err(StudyError::NotEnded { .. })));
    let misfortune = |genotype: &kiln_space::Genotype| {
        let reason = "the loss is NaN".to_owned();
        let failed = kiln_search::Outcome::Failed { kind: kiln_search::FailureKind::Diverged, reason };
        (genotype.genes()[0] == 0).then_some(Ok(failed))
    };
    let unlucky = Arc::new(Analytic { misfortune, ..Analytic::new() });
    let summary = run(study(&unlucky, &Seen::default()), &paths).unwrap();
    let failed = summary.failed[0].trials[0];
    let said = |trial| finish(&finisher, &paths, &Wanted::Trials(vec![trial])).unwrap_err().to_string();
    assert_eq!(said(99), "trial 99 cannot be finished: the study has 40 trials, and it is none of them");
    assert!(said(failed).contains("it failed in the search (the loss is NaN)"), "{}", said(failed));
    let mut table = finishing(&finisher);
    table.finisher = None;
    let refused = table.finish(&RunFolder::open(&paths, "", &[]).unwrap(), &all);
    assert!(matches!(refused, Err(StudyError::NoFinisher)));
    assert!(finisher.finished.lock().unwrap().is_empty());
}

#[test]
fn interrupted_finish_command_resumes() {
    let (_folder, paths) = folder();
    run(study(&Arc::new(Analytic::new()), &Seen::default()), &paths).unwrap();
    let broken = Arc::new(Writes { fails_after: Some(1), ..Writes::default() });
    assert!(finish(&broken, &paths, &Wanted::Best(3)).is_err());
    assert!(!record(&paths).ended || record(&paths).finished.len() == 1);
    let rest = Arc::new(Writes::default());
    let ids: Vec<u64> = broken.finished.lock().unwrap().clone();
    let summary = finish(&rest, &paths, &Wanted::Best(2)).unwrap();
    assert_eq!(summary.finished.len(), 2);
    assert!(!rest.finished.lock().unwrap().contains(&ids[0]));
    assert!(record(&paths).ended);
}
