//! Run folders in which one path has another kind of file, or cannot be read or written. Also output files
//! that cannot be written.

#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::study;
use crate::sandbox::{Said, Sandbox};

/// A study that has ended, with one finished network.
fn ended() -> (Sandbox, String) {
    let sandbox = Sandbox::new(&(study() + "\n[finish]\nepochs = 1\n"));
    let report = sandbox.search(&[]);
    (sandbox, report["finished"][0]["trial"].to_string())
}

/// Checks that a command was refused: exit code 2, and one line that contains these parts.
fn is_refused(what: &str, said: &Said, expected: &[&str]) {
    assert_eq!(said.code, 2, "{what}: {}", said.err);
    let is_one = said.err.starts_with("error: ") && said.err.lines().count() == 1;
    assert!(is_one && expected.iter().all(|part| said.err.contains(part)), "{what}: {}", said.err);
}

/// A function that replaces the file at a path with something else.
type Put = fn(&Path);

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn wrong_kinds_of_file_in_run_folder_are_refused() {
    let (sandbox, trial) = ended();
    let export = ["export", "broken", &trial, "--out", "out.onnx"];
    let search: &[&str] = &["search", "study.toml"];
    let model = format!("models/{trial}/model.kiln");
    let folder: Put = |path| fs::create_dir(path).unwrap();
    let link: Put = |path| symlink("nowhere", path).unwrap();
    let looped: Put = |path| symlink(path, path).unwrap();
    let pipe: Put = make_pipe;
    let file: Put = |path| fs::write(path, "").unwrap();
    let cases: [(&str, Put, &[&str], &str); 20] = [
        ("lock", folder, search, "runs/broken/lock: is no file"),
        ("lock", link, search, "runs/broken/lock: is no file"),
        ("lock", pipe, search, "runs/broken/lock: is no file"),
        ("journal.jsonl", folder, search, "runs/broken/journal.jsonl: is no file"),
        ("journal.jsonl", looped, search, "runs/broken/journal.jsonl: is no file"),
        ("journal.jsonl", pipe, search, "runs/broken/journal.jsonl: is no file"),
        ("journal.jsonl", pipe, &["front", "broken"], "runs/broken/journal.jsonl: is no file"),
        ("journal.jsonl", pipe, &["watch", "broken"], "runs/broken/journal.jsonl: is no file"),
        ("journal.jsonl", folder, &["report", "broken"], "runs/broken/journal.jsonl: is no file"),
        ("config.toml", folder, search, "runs/broken/config.toml: is no file"),
        ("config.toml", pipe, search, "runs/broken/config.toml: is no file"),
        ("config.toml", pipe, &["compare", "broken", "broken"], "runs/broken/config.toml: is no file"),
        ("kiln.log", folder, search, "runs/broken/kiln.log: is no file"),
        ("kiln.log", pipe, search, "runs/broken/kiln.log: is no file"),
        ("store", file, search, "runs/broken/store: is no folder"),
        ("models", link, search, "runs/broken/models: is no folder"),
        ("training", file, search, "runs/broken/training: is no folder"),
        (
            "audit.json",
            pipe,
            &["report", "broken"],
            "runs/broken/audit.json: is a pipe, a socket or a device, expected a file",
        ),
        (&model, pipe, &export, "model.kiln: is missing or not a file"),
        (&model, folder, &export, "model.kiln: is missing or not a file"),
    ];
    let aside = sandbox.path("aside");
    for (name, put, arguments, expected) in cases {
        let place = sandbox.run("broken").root().join(name);
        let was_there = place.exists();
        if was_there {
            fs::rename(&place, &aside).unwrap();
        }
        put(&place);
        is_refused(&format!("{name}, {arguments:?}"), &sandbox.kiln(arguments), &[expected]);
        if place.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir(&place).unwrap();
        } else {
            fs::remove_file(&place).unwrap();
        }
        if was_there {
            fs::rename(&aside, &place).unwrap();
        }
    }
    assert!(!sandbox.path("out.onnx").exists());
    assert_eq!(sandbox.kiln(search).code, 0, "the study is still whole");
}

#[test]
fn outputs_are_written_or_refused_by_kind_of_target() {
    let (sandbox, trial) = ended();
    let export = |out| sandbox.kiln(&["export", "broken", &trial, "--out", out]);
    let report = |out| sandbox.kiln(&["report", "broken", "--out", out]);
    is_refused("a folder", &export("runs"), &["runs: is a folder, expected a file"]);
    is_refused("no folder", &export("no/where.onnx"), &["no/where.onnx: cannot write"]);
    is_refused("a folder", &report("runs"), &["runs: is a folder, expected a file"]);
    is_refused("no folder", &report("no/where.html"), &["no/where.html: cannot write"]);
    is_refused("below a file", &report("study.toml/a.html"), &["study.toml/a.html: cannot write"]);
    // A command must write to a device without replacing it. The test uses a link to a device, so that a
    // faulty program would only replace the link.
    symlink("/dev/null", sandbox.path("null")).unwrap();
    for said in [export("null"), report("null")] {
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(sandbox.path("null").metadata().unwrap().file_type().is_char_device());
    }
    symlink("/dev/full", sandbox.path("full")).unwrap();
    for said in [export("full"), report("full")] {
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains("the disk is full"), "{}", said.err);
    }
    assert!(!sandbox.path("null.partial").exists() && !sandbox.path("full.partial").exists());
}

#[test]
fn wrong_run_folder_is_refused() {
    let sandbox = Sandbox::new(&study());
    fs::create_dir(sandbox.path("empty")).unwrap();
    is_refused("a file", &sandbox.kiln(&["front", "study.toml"]), &["study.toml: is no folder"]);
    is_refused("a folder", &sandbox.kiln(&["front", "empty"]), &["error: empty: not a run folder"]);
    is_refused("nothing", &sandbox.kiln(&["front", "none"]), &["error: runs/none: not a run folder"]);
}

/// Id of a user who owns no files, for tests that run as root.
const NOBODY: &str = "65534";

#[test]
fn missing_permissions_are_refused() {
    let (sandbox, trial) = ended();
    let binary = sandbox.path("kiln");
    fs::copy(env!("CARGO_BIN_EXE_kiln"), &binary).unwrap();
    let id = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap();
    let is_root = id.trim() == "0";
    if is_root {
        let owner = format!("{NOBODY}:{NOBODY}");
        let chowned = Command::new("chown").args(["-R", &owner]).arg(sandbox.path("")).status().unwrap();
        let user = Command::new("setpriv").arg("--version").output();
        if !chowned.success() || user.is_err() {
            eprintln!("skipped: there is no other user for root to run as");
            return;
        }
    }
    let kiln = |arguments: &[&str]| {
        let mut command = if is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&binary);
            command
        } else {
            Command::new(&binary)
        };
        Said::new(command.args(arguments).current_dir(sandbox.path("")).output().unwrap())
    };
    let search: &[&str] = &["search", "study.toml"];
    let model = format!("runs/broken/models/{trial}/model.kiln");
    let cases: [(&str, u32, &[&str], &str); 12] = [
        ("study.toml", 0, search, "study.toml: cannot be read"),
        ("runs/broken/config.toml", 0, search, "config.toml: cannot read"),
        ("runs/broken/config.toml", 0, &["front", "broken"], "config.toml: cannot read"),
        ("runs/broken", 0, search, "runs/broken/"),
        ("runs/broken", 0, &["watch", "broken"], "runs/broken/config.toml: cannot read"),
        ("runs/broken/lock", 0, search, "lock: cannot open the lock file"),
        ("runs/broken/journal.jsonl", 0o444, search, "journal.jsonl: cannot open the journal for writing"),
        ("runs/broken/journal.jsonl", 0, &["front", "broken"], "journal.jsonl: cannot open the journal"),
        ("runs/broken/kiln.log", 0o444, search, "kiln.log: cannot open the log"),
        (&model, 0, &["export", "broken", &trial], "model.kiln: cannot read"),
        ("", 0o555, &["report", "broken"], "broken.html: cannot write"),
        ("", 0o555, &["export", "broken", &trial], ".onnx: cannot write"),
    ];
    for (name, mode, arguments, expected) in cases {
        let path = sandbox.path(name);
        let before = path.metadata().unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let said = kiln(arguments);
        fs::set_permissions(&path, before).unwrap();
        is_refused(&format!("{name}, {arguments:?}"), &said, &[expected, "Permission denied"]);
    }
    assert_eq!(kiln(search).code, 0, "the study is still whole");
}
