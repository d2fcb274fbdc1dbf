//! Tests with several processes. The test program starts itself as the other process.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kiln_search::{Event, JournalReader, RunPaths, StudyError, seed};

use crate::parts::{Analytic, Climb, Seen, Writes, facts, folder, record, run, study};

/// Environment variable with the run folder of the other process.
const FOLDER: &str = "KILN_TEST_RUN_FOLDER";

fn slow_study(jitter_us: u64) -> (Arc<Analytic>, kiln_search::Study) {
    let evaluator = Arc::new(Analytic { jitter_us, ..Analytic::new() });
    let mut study = study(&evaluator, &Seen::default());
    study.strategy = Box::new(Climb { fidelities: true, ..Climb::default() });
    study.settings.workers = 3;
    study.finisher = Some(Arc::new(Writes::default()));
    (evaluator, study)
}

/// The main function of the other process. In a normal test run it does nothing.
#[test]
fn as_the_other_process() {
    let Some(root) = std::env::var_os(FOLDER) else {
        eprintln!("skipped: it is another test's other process");
        return;
    };
    run(slow_study(20_000).1, &RunPaths::new(root)).unwrap();
}

/// Starts the other process and waits until it is evaluating.
fn start(paths: &RunPaths) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::as_the_other_process"]).env(FOLDER, paths.root());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_for_lock(paths: &RunPaths, child: &mut Child) {
    for _ in 0..1_000 {
        if std::fs::read_to_string(paths.lock()).is_ok_and(|pid| pid.ends_with('\n'))
            && paths.journal().exists()
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    panic!("the other process did not begin: {}", lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn second_process_is_refused_with_the_process_id_of_the_first() {
    let (_folder, paths) = folder();
    let mut child = start(&paths);
    wait_for_lock(&paths, &mut child);
    let refused = run(slow_study(0).1, &paths);
    child.kill().unwrap();
    child.wait().unwrap();
    match refused.unwrap_err() {
        StudyError::Held { pid, .. } => assert_eq!(pid, Some(child.id())),
        error => panic!("{error}"),
    }
    run(slow_study(0).1, &paths).unwrap();
}

#[test]
fn killed_study_loses_no_trial_and_evaluates_none_twice() {
    let (_folder, whole) = folder();
    run(slow_study(0).1, &whole).unwrap();
    let (_folder, paths) = folder();
    for kill in 0..6 {
        let mut child = start(&paths);
        wait_for_lock(&paths, &mut child);
        let before = record(&paths).trials;
        let millis = seed::derive(11, "kill", &[&[kill]]) % 120;
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        let after = record(&paths).trials;
        assert!(before.iter().all(|(id, trial)| after.get(id) == Some(trial)));
    }
    let kept = record(&paths).trials.len();
    let (evaluator, study) = slow_study(0);
    run(study, &paths).unwrap();
    assert!(evaluator.count() <= 40 - kept, "{} of {kept}", evaluator.count());
    assert_eq!(facts(&paths), facts(&whole));
    let mut evaluated = BTreeSet::new();
    let mut journaled = BTreeSet::new();
    for entry in JournalReader::open(&paths.journal()).unwrap().entries().unwrap() {
        if let Event::Trial { trial, known, .. } = entry.event {
            assert!(journaled.insert(trial.id), "trial {} is in the journal twice", trial.id);
            let key = (trial.proposal.genotype, trial.proposal.fidelity);
            assert!(known || evaluated.insert(key), "trial {} was evaluated twice", trial.id);
        }
    }
}
