//! A hostile run folder. Its names and texts contain escape sequences, line ends, marks that reverse the
//! direction of a line, and formulas. No command may output any of them unchanged.

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::sandbox::{Said, Sandbox, tiny_quickstart};

/// Text that sets a terminal's title, forges a message and reverses a line.
const HOSTILE: &str =
    "\u{1b}]0;owned\u{7}\u{9b}31m\nerror: forged\r\u{202e}txet\u{2066}\u{200b}\u{feff}\u{2028}x";
const FORMULA: &str = "=HYPERLINK(\"http://x\",\"y\")";

/// Whether a character must not appear in the output of a command.
fn acts(c: char) -> bool {
    let hidden = ['\u{200b}', '\u{feff}', '\u{2028}', '\u{202e}', '\u{2066}'];
    (c.is_control() && c != '\n') || hidden.contains(&c)
}

/// Puts hostile texts into every part of a journal that Kiln does not check.
fn poison(journal: &Path) -> (u64, u64) {
    let text = fs::read_to_string(journal).unwrap();
    let mut entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let front = entries.iter().rev().find(|entry| entry["kind"] == "searched").unwrap()["front"].clone();
    let front = front.as_array().unwrap().clone();
    let (mut measured, mut failed) = (None, None);
    for entry in &mut entries {
        // The lines have no checks, like those of old journals.
        entry.as_object_mut().unwrap().remove("check");
        entry["version"] = 1.into();
        match entry["kind"].as_str().unwrap() {
            "started" => entry["study"] = HOSTILE.into(),
            "progress" => entry["note"] = HOSTILE.into(),
            "trial" => {
                let trial = &mut entry["trial"];
                trial["proposal"]["origin"]["operator"] = HOSTILE.into();
                trial["costs"][HOSTILE] = 1.5.into();
                trial["costs"][FORMULA] = 2.5.into();
                let id = trial["id"].as_u64();
                if failed.is_none() && !front.contains(&trial["id"]) {
                    failed = id;
                    trial["outcome"] = json!({ "failed": { "kind": "diverged", "reason": HOSTILE } });
                    trial["objectives"] = json!([]);
                } else {
                    measured = measured.or(id);
                    trial["outcome"]["measured"][HOSTILE] = 3.5.into();
                    trial["outcome"]["measured"][FORMULA] = 4.5.into();
                }
            }
            "finished" => {
                entry["finished"]["metrics"][HOSTILE] = 5.5.into();
            }
            _ => {}
        }
    }
    let mut warning = entries[1].clone();
    for key in ["stage", "done", "total", "note"] {
        warning.as_object_mut().unwrap().remove(key);
    }
    warning["kind"] = "warning".into();
    warning["message"] = HOSTILE.into();
    entries.insert(1, warning);
    let lines: Vec<String> = entries.iter().map(Value::to_string).collect();
    fs::write(journal, lines.join("\n") + "\n").unwrap();
    (measured.unwrap(), failed.unwrap())
}

#[test]
fn hostile_texts_never_reach_output() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let report = sandbox.search(&[]);
    let finished = report["finished"][0]["trial"].to_string();
    let folder = format!("runs/{}", HOSTILE.replace(['\0', '/'], ""));
    fs::rename(sandbox.path("runs/tiny"), sandbox.path(&folder)).unwrap();
    let (measured, failed) = poison(&sandbox.path(&folder).join("journal.jsonl"));
    let (measured, failed) = (measured.to_string(), failed.to_string());

    let run = folder.as_str();
    let other = format!("{folder}2");
    copy(&sandbox.path(run), &sandbox.path(&other));
    let reads: [&[&str]; 12] = [
        &["front", run],
        &["front", run, "--csv"],
        &["front", run, "--json"],
        &["show", run, &measured],
        &["show", run, &failed],
        &["show", run, &failed, "--json"],
        &["compare", run, &other],
        &["compare", run, &other, "--json"],
        &["watch", run, "--plain"],
        &["watch", run, "--json"],
        &["report", run, "--out", "page.html"],
        &["export", run, &finished, "--out", "model.onnx"],
    ];
    let mut hostile = 0;
    for arguments in reads {
        let said = sandbox.kiln(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        for text in [&said.out, &said.err] {
            assert!(!text.contains(acts), "{arguments:?}: {text:?}");
            assert!(text.lines().all(|line| !line.starts_with("error: forged")), "{arguments:?}: {text}");
            hostile += usize::from(text.contains("forged"));
        }
        if arguments.contains(&"--json") {
            assert!(
                said.out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
                "{arguments:?}"
            );
        }
    }
    assert!(hostile >= 9, "the names are shown: {hostile}");
    let exact = sandbox.kiln(&["front", run, "--json"]).json();
    assert_eq!(exact["run"], run, "programs read the name as it is");
    let csv = sandbox.kiln(&["front", run, "--csv"]).out;
    assert!(csv.contains("\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""), "{csv}");
    let page = fs::read_to_string(sandbox.path("page.html")).unwrap();
    assert!(page.contains("forged") && !page.contains(|c: char| acts(c) && c != '\t'), "the page");

    // Error messages quote names too.
    let missing = format!("{HOSTILE}3");
    for arguments in [&["show", run, "999999"][..], &["front", &missing], &["export", run, &failed]] {
        let said = sandbox.kiln(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        // The warning about the journal without checks is on its own line.
        let others: Vec<&str> = said.err.lines().filter(|line| !line.starts_with("warning: runs/")).collect();
        assert!(others.len() == 1 && others[0].starts_with("error: "), "{}", said.err);
        assert!(!said.err.contains(acts), "{arguments:?}: {:?}", said.err);
    }
}

#[test]
fn hostile_texts_are_logged_on_one_line() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    sandbox.search(&[]);
    poison(&sandbox.run("tiny").journal());
    let runs = sandbox.path("runs");
    let hostile = sandbox.path(&HOSTILE.replace(['\0', '/'], ""));
    fs::rename(runs, &hostile).unwrap();
    let said = sandbox.kiln(&["search", "study.toml", "--runs", hostile.to_str().unwrap()]);
    for text in [&said.out, &said.err] {
        assert!(!text.contains(acts), "{text:?}");
        assert!(text.lines().all(|line| !line.starts_with("error: forged")), "{text}");
    }
    let log = fs::read_to_string(hostile.join("tiny/kiln.log")).unwrap();
    assert!(!log.contains(acts), "{log:?}");
    assert!(log.lines().all(|line| !line.starts_with("error: forged")), "{log}");
}

#[test]
fn folders_with_non_utf8_names_work() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let runs = Path::new(OsStr::from_bytes(b"r\xff\xfe"));
    let kiln = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.arg("--runs").arg(runs).stdin(Stdio::null());
        Said::new(command.output().unwrap())
    };
    let searched = kiln(&["search", "study.toml", "--json"]);
    assert_eq!(searched.code, 0, "{}", searched.err);
    let report = searched.json();
    assert_eq!(report["run"], "r\u{fffd}\u{fffd}/tiny");
    let finished = report["finished"][0]["trial"].to_string();
    for json in [false, true] {
        let reads: [&[&str]; 5] = [
            &["front", "tiny"],
            &["show", "tiny", &finished],
            &["compare", "tiny", "tiny"],
            &["report", "tiny"],
            &["export", "tiny", &finished],
        ];
        for arguments in reads {
            let more: &[&str] = if json { &["--json"] } else { &[] };
            let said = kiln(&[arguments, more].concat());
            assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        }
    }
    let out = Path::new(OsStr::from_bytes(b"\xff.onnx"));
    let mut command = sandbox.command(&["export", "tiny", &finished, "--json"]);
    let said = Said::new(command.arg("--runs").arg(runs).arg("--out").arg(out).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.json()["file"], "\u{fffd}.onnx");
    assert!(sandbox.path("").join(out).is_file());
    let model = sandbox.path("").join(runs).join(format!("tiny/models/{finished}"));
    let said = Said::new(sandbox.command(&["eval", "--json"]).arg(model).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}
