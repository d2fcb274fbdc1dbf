//! A disk that becomes full at various moments. The study stops with a message and loses nothing. When there
//! is free space again, the study continues and gives the same result.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use kiln_search::{Event, JournalReader, RunPaths, facts};

use crate::sandbox::{DATE, Sandbox, set, tiny_quickstart};

/// Runs a study on a disk with `$2` bytes, and again after the disk was enlarged. It runs in a namespace in
/// which any user may mount disks. The exit code, the output and the disk's content of both runs are kept in
/// `full` and `after`.
const SCRIPT: &str = r#"
mkdir disk full after
mount -t tmpfs -o size="$2" kiln disk
code=0; "$1" search study.toml --runs disk --workers 2 --plain > full.out 2> full.err || code=$?
echo $code > full.code
cp -a disk/. full
mount -o remount,size=64m disk
code=0; "$1" search study.toml --runs disk --workers 1 --plain > after.out 2> after.err || code=$?
echo $code > after.code
cp -a disk/. after
"#;

fn in_namespace(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-eu", "-c", script, "sh"]).args(arguments).env(DATE.0, DATE.1);
    command
}

/// Returns the reason why nothing can be mounted on this machine. `None` if mounting works.
fn refused() -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let probe =
        in_namespace("mount -t tmpfs -o size=64k kiln \"$1\"", &[folder.path().to_str().unwrap()]).output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

fn config() -> String {
    let mut config = tiny_quickstart("tiny");
    // The supernet has one checkpoint, at its end. More space is free before the checkpoint than after it.
    set(&mut config, "evaluator", "checkpoint_steps", 1_000_000.into());
    set(&mut config, "finish", "checkpoint_steps", 10.into());
    set(&mut config, "search", "trials", 16.into());
    config.to_string()
}

#[test]
fn full_disk_stops_study_and_room_resumes_it() {
    if let Some(why) = refused() {
        eprintln!("a_study_on_a_full_disk: skipped, no disk can be mounted here: {why}");
        return;
    }
    let whole = Sandbox::new(&config());
    whole.search(&[]);
    let facts_of_whole = whole.facts("tiny");
    let kib = |path: &str| {
        let path = whole.path("runs/tiny").join(path);
        let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        files.map(|bytes| bytes.div_ceil(4096) * 4).sum::<u64>()
    };
    let supernet = kib("supernet");
    let mut stages = BTreeSet::new();
    for size in [8, supernet / 2, supernet + 16, supernet + 24, supernet + 60, supernet + 130] {
        let sandbox = Sandbox::new(&config());
        let size_text = format!("{size}k");
        let done = in_namespace(SCRIPT, &[env!("CARGO_BIN_EXE_kiln"), &size_text])
            .current_dir(sandbox.path(""))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let said = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap();
        let events = |name: &str| {
            let journal = RunPaths::new(sandbox.path(name).join("tiny")).journal();
            if !journal.exists() {
                return Vec::new();
            }
            JournalReader::open(&journal).unwrap().entries().unwrap()
        };
        assert_eq!(said("full.code").trim(), "1", "{size} KiB: {}", said("full.err"));
        let last = said("full.err").lines().last().unwrap_or_default().to_owned();
        for part in ["error: ", "the disk is full: make room, then run the same command again"] {
            assert!(last.contains(part), "{size} KiB: {last}");
        }
        assert!(!said("full.err").contains("panicked"), "{size} KiB: {}", said("full.err"));
        let trials = |entries: &[kiln_search::JournalEntry]| -> Vec<kiln_search::Trial> {
            let trial = |entry: &kiln_search::JournalEntry| match &entry.event {
                Event::Trial { trial, .. } => Some(trial.clone()),
                _ => None,
            };
            entries.iter().filter_map(trial).collect()
        };
        let (before, after) = (events("full"), events("after"));
        let has = |wanted: fn(&Event) -> bool| before.iter().any(|entry| wanted(&entry.event));
        stages.insert(match () {
            () if has(|event| matches!(event, Event::Searched { .. })) => "finish",
            () if has(|event| matches!(event, Event::Trial { .. })) => "search",
            () if has(|event| matches!(event, Event::Started { .. })) => "prepare",
            () => "begin",
        });
        assert_eq!(said("after.code").trim(), "0", "{size} KiB: {}", said("after.err"));
        let kept = trials(&before);
        assert_eq!(trials(&after)[..kept.len()], kept, "{size} KiB: no trial is lost");
        assert_eq!(facts(after), facts_of_whole, "{size} KiB");
        for line in said("after.err").lines() {
            assert!(!line.contains("rebuilt"), "{size} KiB: {line}");
        }
    }
    assert_eq!(stages, BTreeSet::from(["begin", "prepare", "search", "finish"]));
}
