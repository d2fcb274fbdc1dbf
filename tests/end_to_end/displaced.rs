//! Tests in which the run folder of a running study is removed, renamed or replaced, its lock is removed, or
//! two studies start at the same time. Only one process may write, and only into the folder with which it
//! started.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kiln_search::Event;

use crate::sandbox::{Said, Sandbox, SmallStudy};

/// A config of a study that does not end by itself. It has occasional trials, and a checkpoint at every step.
fn config() -> String {
    SmallStudy {
        name: "gone",
        data: "kind = \"digits\"\nlimit = 400",
        layers: "[1, 2, 3]",
        width: "[8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32]",
        evaluator: "kind = \"scratch\"\nepochs = 4\ncheckpoint_steps = 2",
        search: "strategy = \"random\"\ntrials = 1000000\nin_flight = 2",
        ..SmallStudy::default()
    }
    .text()
}

/// A function that changes a run folder. The first argument is the run folder. The second argument is an
/// unused path, to which the function may move files.
type Displace<'a> = &'a dyn Fn(&Path, &Path);

/// Number of pairs of studies that start at the same time. `KILN_PAIRS` overrides it.
const PAIRS: usize = 10;

fn start(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["search", "study.toml", "--workers", "2"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Trials in the journal of the study.
fn trials(sandbox: &Sandbox) -> Vec<u64> {
    let trial = |event: &Event| match event {
        Event::Trial { trial, .. } => Some(trial.id),
        _ => None,
    };
    sandbox.events("gone").iter().filter_map(trial).collect()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(2), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a study that should end by itself.
fn ended(mut child: Child) -> Said {
    wait_until("the study goes on", || child.try_wait().unwrap().is_some());
    Said::new(child.wait_with_output().unwrap())
}

/// Every file below a folder with its size.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.push((path.display().to_string(), 0));
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), path.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

#[test]
fn displaced_run_folder_stops_study() {
    let replaced = |run: &Path, away: &Path| {
        fs::rename(run, away).unwrap();
        fs::create_dir(run).unwrap();
        for name in ["config.toml", "journal.jsonl", "lock"] {
            fs::write(run.join(name), "of somebody else").unwrap();
        }
        fs::create_dir(run.join("training")).unwrap();
    };
    let removed = |run: &Path, _: &Path| {
        wait_until("it is not removed", || fs::remove_dir_all(run).is_ok() || !run.exists());
    };
    let renamed = |run: &Path, away: &Path| fs::rename(run, away).unwrap();
    let cases: [(&str, Displace<'_>); 3] =
        [("removed", &removed), ("renamed", &renamed), ("replaced", &replaced)];
    for (what, displace) in cases {
        let sandbox = Sandbox::new(&config());
        let study = start(&sandbox);
        wait_until("the search does not begin", || trials(&sandbox).len() > 3);
        let (run, away) = (sandbox.path("runs/gone"), sandbox.path("away"));
        displace(&run, &away);
        let there = run.exists().then(|| files(&run));
        let said = ended(study);
        assert_eq!(said.code, 1, "{what}: {}", said.err);
        assert!(
            said.err.contains("was removed, moved or replaced while the study ran"),
            "{what}: {}",
            said.err
        );
        assert_eq!(run.exists().then(|| files(&run)), there, "{what}: something was written there");
        if what == "renamed" {
            // When the folder is put back, the study continues.
            fs::rename(&away, &run).unwrap();
            let before = trials(&sandbox).len();
            let mut study = start(&sandbox);
            wait_until("it does not go on", || trials(&sandbox).len() > before + 2);
            study.kill().unwrap();
            study.wait().unwrap();
        }
    }
}

#[test]
fn removed_lock_stops_study_and_admits_no_second_one() {
    let sandbox = Sandbox::new(&config());
    let first = start(&sandbox);
    wait_until("the search does not begin", || trials(&sandbox).len() > 3);
    fs::remove_file(sandbox.path("runs/gone/lock")).unwrap();
    let second = start(&sandbox);
    let said = ended(first);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("lock` is not what it was"), "{}", said.err);
    // The second study was refused, or it started after the first one had ended.
    let mut second = second;
    thread::sleep(Duration::from_secs(2));
    if second.try_wait().unwrap().is_none() {
        second.kill().unwrap();
    } else {
        let said = Said::new(second.wait_with_output().unwrap());
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains("in use by"), "{}", said.err);
    }
    let trials = trials(&sandbox);
    let distinct: BTreeSet<&u64> = trials.iter().collect();
    assert_eq!(distinct.len(), trials.len(), "no trial is journaled twice");
}

#[test]
fn simultaneous_start_runs_one_study_and_refuses_other() {
    let pairs = env::var("KILN_PAIRS").ok().and_then(|pairs| pairs.parse().ok()).unwrap_or(PAIRS);
    let mut sandbox = Sandbox::new(&config());
    for pair in 0..pairs {
        // Every other pair finds an existing run folder with a config that must be written again.
        if pair % 2 == 0 {
            sandbox = Sandbox::new(&config());
        } else {
            let text = config().replace("1000000", &(1_000_000 + pair).to_string());
            fs::write(sandbox.path("study.toml"), text).unwrap();
        }
        let mut both = [start(&sandbox), start(&sandbox)];
        let mut refused = None;
        wait_until("both run", || {
            refused = both.iter_mut().position(|child| child.try_wait().unwrap().is_some());
            refused.is_some()
        });
        let [first, second] = both;
        let (refused, mut runs) = if refused == Some(0) { (first, second) } else { (second, first) };
        let said = Said::new(refused.wait_with_output().unwrap());
        assert_eq!(said.code, 2, "pair {pair}: {}", said.err);
        assert!(said.err.contains(&format!("in use by process {}", runs.id())), "pair {pair}: {}", said.err);
        wait_until("the other does not run", || trials(&sandbox).len() > pair % 2);
        assert!(runs.try_wait().unwrap().is_none(), "pair {pair}: both ended");
        runs.kill().unwrap();
        runs.wait().unwrap();
        let kept = fs::read_to_string(sandbox.path("runs/gone/config.toml")).unwrap();
        let expected = if pair % 2 == 0 { 1_000_000 } else { 1_000_000 + pair };
        assert!(kept.contains(&format!("trials = {expected}")), "{kept}");
    }
}
