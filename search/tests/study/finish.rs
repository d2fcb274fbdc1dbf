//! The finish stage: each network once, whole or not at all.

use std::fs;
use std::sync::Arc;

use kiln_search::{RunPaths, Study, StudyError};

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
fn the_lowest_in_the_first_objective_are_finished_once() {
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
fn a_finish_stage_that_broke_off_goes_on() {
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
fn a_network_whose_files_are_gone_is_finished_again() {
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
fn network_whose_file_was_changed_is_finished_again_with_a_warning() {
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
fn a_file_that_was_promised_must_be_there() {
    let (_folder, paths) = folder();
    let finisher = Arc::new(Writes { lies: true, ..Writes::default() });
    let error = run(finishing(&finisher), &paths).unwrap_err();
    assert!(matches!(error, StudyError::MissingFile { file, .. } if file == "card.json"));
    assert!(record(&paths).finished.is_empty());
}
