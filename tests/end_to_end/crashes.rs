//! Kills studies with `kill -9` at random moments, then runs the same command again. The result must equal
//! that of an undisturbed run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use kiln_search::{Event, Seconds, TrialId, seed};
use rand::RngExt;

use crate::sandbox::{Sandbox, set, tiny_quickstart};

const TRIALS: usize = 40;

/// The moment of a kill: the delay `then` after the journal contains this many `trials`.
#[derive(Clone, Copy, Debug)]
struct Moment {
    trials: usize,
    then: Duration,
}

fn config() -> String {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "evaluator", "epochs", 3.into());
    set(&mut config, "search", "trials", (TRIALS as i64).into());
    set(&mut config, "finish", "networks", 2.into());
    config.to_string()
}

/// Starts the study and kills it at this moment, unless it has ended by then. Returns whether it was killed.
fn kill_at(sandbox: &Sandbox, moment: Moment) -> bool {
    let mut child = sandbox
        .command(&["search", "study.toml", "--workers", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ready: Option<Instant> = None;
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if ready.is_none() && finished_trials(&sandbox.events("tiny")).len() >= moment.trials {
            ready = Some(Instant::now());
        }
        if ready.is_some_and(|since| since.elapsed() >= moment.then) {
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

/// Draws ten random moments: three during the supernet's training, four during the search, and three during
/// finishing.
fn moments(seconds: &serde_json::Value) -> Vec<Moment> {
    let mut rng = seed::generator(2026, "moments to kill at", &[]);
    let mut within = |stage: &str| {
        Seconds::saturating(seconds[stage].as_f64().unwrap() * 0.7 * rng.random::<f64>()).duration()
    };
    let prepare = [within("prepare"), within("prepare"), within("prepare")];
    let finish = [within("finish"), within("finish"), within("finish")];
    let mut moments: Vec<Moment> = prepare.into_iter().map(|then| Moment { trials: 0, then }).collect();
    moments.extend((0..4).map(|_| Moment { trials: rng.random_range(1..TRIALS - 10), then: Duration::ZERO }));
    moments.extend(finish.into_iter().map(|then| Moment { trials: TRIALS, then }));
    moments
}

/// Ids of the trials in the journal.
fn finished_trials(events: &[Event]) -> Vec<TrialId> {
    let trial = |event: &Event| match event {
        Event::Trial { trial, .. } => Some(trial.id),
        _ => None,
    };
    events.iter().filter_map(trial).collect()
}

/// Returns the number of evaluations for each genotype. Outcomes from the store do not count.
fn evaluations(events: &[Event]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        if let Event::Trial { trial, known: false, .. } = event {
            *counts.entry(trial.proposal.genotype.to_string()).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn killed_study_resumes_to_same_result() {
    let whole = Sandbox::new(&config());
    let expected = whole.search(&["--workers", "2"]);
    let facts = whole.facts("tiny");

    let mut stages = BTreeSet::new();
    for (kill, moment) in moments(&expected["seconds"]).into_iter().enumerate() {
        let sandbox = Sandbox::new(&config());
        let killed = kill_at(&sandbox, moment);
        let events = sandbox.events("tiny");
        let before = finished_trials(&events);
        stages.insert(match (killed, before.len()) {
            (false, _) => "ended",
            (true, 0) => "prepare",
            (true, 1..TRIALS) => "search",
            (true, _) => "finish",
        });

        let report = sandbox.search(&["--workers", "1"]);
        let events = sandbox.events("tiny");
        let after = finished_trials(&events);
        assert_eq!(after[..before.len()], before, "kill {kill}: no finished trial is lost");
        let distinct: BTreeSet<&TrialId> = after.iter().collect();
        assert_eq!(distinct.len(), after.len(), "kill {kill}: no trial is journaled twice");
        let twice: Vec<_> = evaluations(&events).into_iter().filter(|(_, count)| *count > 1).collect();
        assert!(twice.is_empty(), "kill {kill}: evaluated twice: {twice:?}");
        assert_eq!(report["front"], expected["front"], "kill {kill}");
        assert_eq!(report["finished"], expected["finished"], "kill {kill}");
        assert_eq!(sandbox.facts("tiny"), facts, "kill {kill}");
    }
    for stage in ["prepare", "search", "finish"] {
        assert!(stages.contains(stage), "no kill hit {stage}: {stages:?}");
    }
}

#[test]
fn repeatedly_killed_study_reaches_same_result() {
    let whole = Sandbox::new(&config());
    let expected = whole.search(&["--workers", "2"]);
    let sandbox = Sandbox::new(&config());
    let mut moment = Duration::from_millis(300);
    while kill_at(&sandbox, Moment { trials: 0, then: moment }) {
        // Every run makes progress, because checkpoints and trials are kept.
        moment += Duration::from_millis(200);
    }
    let report = sandbox.search(&[]);
    assert_eq!(report["front"], expected["front"]);
    assert_eq!(sandbox.facts("tiny"), whole.facts("tiny"));
}

/// Whether a training in this folder has a checkpoint.
fn has_checkpoint(trainings: &Path, is_wanted: impl Fn(&str) -> bool) -> bool {
    let files = |folder: &Path| -> Vec<PathBuf> {
        // Folders appear and disappear while the study runs.
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let wanted = files(trainings).into_iter().filter(|path| name(path).is_some_and(|name| is_wanted(&name)));
    // The folder of a network in finishing contains one more folder.
    let mut all =
        wanted.flat_map(|folder| files(&folder)).flat_map(|path| [files(&path), vec![path]]).flatten();
    all.any(|file| file.extension().is_some_and(|end| end == "ckpt"))
}

#[test]
fn killed_training_resumes_from_checkpoint() {
    let mut config = tiny_quickstart("tiny");
    let evaluator = "kind = \"scratch\"\nepochs = 30\ncheckpoint_steps = 5\ncalibration = 64";
    config.insert("evaluator".to_owned(), evaluator.parse::<toml::Table>().unwrap().into());
    set(&mut config, "data", "limit", 300.into());
    set(&mut config, "search", "trials", 2.into());
    set(&mut config, "finish", "epochs", 30.into());
    let whole = Sandbox::new(&config.to_string());
    let expected = whole.search(&["--workers", "2"]);
    let trainings = whole.run("tiny").trainings();
    assert!(!trainings.exists(), "nothing is left of trainings that are over");

    let sandbox = Sandbox::new(&config.to_string());
    let trainings = sandbox.run("tiny").trainings();
    let log = || fs::read_to_string(sandbox.path("runs/tiny/kiln.log")).unwrap_or_default();
    let resumed = || log().matches("going on from step").count();
    for finishing in [false, true] {
        let command = &["search", "study.toml", "--workers", "1"];
        let mut child = sandbox.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !has_checkpoint(&trainings, |name| name.starts_with("network-") == finishing) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote a checkpoint");
            thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(trainings.exists());
        // The run that was killed during finishing had resumed the network that the previous run had not
        // completed.
        assert_eq!(resumed(), usize::from(finishing), "{}", log());
    }
    let report = sandbox.search(&["--workers", "2"]);
    assert_eq!(resumed(), 2, "{}", log());
    assert_eq!((&report["front"], &report["finished"]), (&expected["front"], &expected["finished"]));
    assert_eq!(sandbox.facts("tiny"), whole.facts("tiny"));
    assert!(!trainings.exists());
    let trial = report["finished"][0]["trial"].to_string();
    let model = |sandbox: &Sandbox| {
        fs::read(sandbox.run("tiny").model(trial.parse().unwrap()).join("model.kiln")).unwrap()
    };
    assert!(model(&sandbox) == model(&whole), "the same bits");
}
