//! Output files of commands appear whole. Commands never write through links, and never overwrite files of
//! other programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::old_runs::old;
use crate::sandbox::{Said, Sandbox};

/// Number of the finished trial in the run folder `supernet`.
const TRIAL: &str = "4";

fn names(sandbox: &Sandbox, part: &str) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(part)).collect()
}

#[track_caller]
fn is_refused(said: &Said, words: &str) {
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains(words) && said.err.contains("--force"), "{}", said.err);
}

#[cfg(unix)]
#[test]
fn interrupted_package_export_leaves_nothing() {
    let sandbox = old("supernet");
    let export = ["export", "supernet", TRIAL, "--format", "rust", "--out", "package"];
    // A limit of 4 KiB for file sizes ends the process during the write of the weights, or makes that write
    // fail.
    let line = format!("ulimit -f 8; exec {} {}", env!("CARGO_BIN_EXE_kiln"), export.join(" "));
    let ended = Command::new("sh").args(["-c", &line]).current_dir(sandbox.path("")).output().unwrap();
    assert!(!ended.status.success());
    assert!(!sandbox.path("package").exists());
    let said = sandbox.kiln(&export);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(names(&sandbox, "package"), ["package"], "nothing is left beside it");
    assert!(sandbox.path("package/Cargo.toml").is_file());
}

#[test]
fn report_overwrites_only_its_own_page() {
    let sandbox = old("supernet");
    let report = |more: &[&str]| sandbox.kiln(&[&["report", "supernet"], more].concat());
    for _ in 0..2 {
        assert_eq!(report(&[]).code, 0);
    }
    let page = sandbox.path("supernet.html");
    let own = fs::read_to_string(&page).unwrap();
    fs::write(&page, own.replace("Kiln", "kiln")).unwrap();
    is_refused(&report(&[]), "supernet.html: already exists, and Kiln did not write it");
    // The page of another study also counts as a foreign file.
    fs::write(&page, own.replace("<title>supernet<", "<title>other<")).unwrap();
    is_refused(&report(&[]), "supernet.html: already exists");
    assert_eq!(report(&["--force"]).code, 0);
    assert_eq!(fs::read_to_string(&page).unwrap(), own);
}

#[cfg(unix)]
#[test]
fn outputs_never_follow_links() {
    use std::os::unix::fs::symlink;
    let sandbox = old("supernet");
    let target = sandbox.path("precious");
    fs::write(&target, "mine").unwrap();
    let commands: [(&[&str], &str); 2] =
        [(&["report", "supernet"], "supernet.html"), (&["export", "supernet", TRIAL], "supernet-4.onnx")];
    for (command, name) in commands {
        let place = sandbox.path(name);
        // One link has the name that a predictable temporary file would have. The other link is at the
        // output's path.
        symlink(&target, sandbox.path(&format!("{name}.partial"))).unwrap();
        symlink(&target, &place).unwrap();
        is_refused(&sandbox.kiln(command), "already exists, and is a link");
        let said = sandbox.kiln(&[command, &["--force"]].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(place.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    }
}

#[test]
fn export_overwrites_only_equal_files_or_with_force() {
    let sandbox = old("supernet");
    for (format, name) in [("onnx", "supernet-4.onnx"), ("rust", "supernet-4")] {
        let export = |more: &[&str]| {
            sandbox.kiln(&[&["export", "supernet", TRIAL, "--format", format], more].concat())
        };
        for _ in 0..2 {
            assert_eq!(export(&[]).code, 0);
        }
        let place = sandbox.path(name);
        let file = if place.is_dir() { place.join("Cargo.toml") } else { place.clone() };
        let written = fs::read(&file).unwrap();
        fs::write(&file, "mine").unwrap();
        is_refused(&export(&[]), "already exists with different content");
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        if place.is_dir() {
            fs::write(place.join("notes.txt"), "mine").unwrap();
        }
        assert_eq!(export(&["--force"]).code, 0);
        assert!(fs::read(&file).unwrap() == written);
        assert!(!place.is_dir() || place.join("notes.txt").exists(), "other files stay");
    }
    // Kiln must not mistake a user's folder for a package, and must not empty it.
    fs::create_dir(sandbox.path("own")).unwrap();
    fs::write(sandbox.path("own/a"), "mine").unwrap();
    let out = ["export", "supernet", TRIAL, "--format", "rust", "--out", "own"];
    is_refused(&sandbox.kiln(&out), "own: already exists");
    assert_eq!(fs::read_dir(sandbox.path("own")).unwrap().count(), 1);
}

#[test]
fn changed_network_files_are_reported_by_every_command() {
    let sandbox = old("supernet");
    let root = sandbox.run("supernet").root().to_owned();
    hashed(&root);
    let model = format!("runs/supernet/models/{TRIAL}/model.kiln");
    let commands: [&[&str]; 5] = [
        &["front", "supernet"],
        &["show", "supernet", TRIAL],
        &["report", "supernet", "--force"],
        &["export", "supernet", TRIAL, "--force"],
        &["eval", &model],
    ];
    for command in commands {
        let said = sandbox.kiln(command);
        let is_wrong = |line: &str| line.contains("model.") && !line.contains("an earlier build");
        assert!(said.code == 0 && !said.err.lines().any(is_wrong), "{command:?}: {}", said.err);
    }
    fs::write(root.join("models/4/model.onnx"), "").unwrap();
    for command in commands {
        let said = sandbox.kiln(command);
        assert_eq!(said.code, 0, "{command:?}: {}", said.err);
        assert!(said.err.contains("model.onnx: is 0 bytes long, but 16403 were written"), "{}", said.err);
    }
    let page = fs::read_to_string(sandbox.path("supernet.html")).unwrap();
    assert!(page.contains("is 0 bytes long, but 16403 were written"));
    let front = sandbox.kiln(&["front", "supernet", "--json"]).json();
    assert!(front["warnings"][0].as_str().unwrap().contains("model.onnx"), "{front}");
    // The other network is undamaged.
    fs::copy(old("scratch").path("runs/scratch/models/1/model.kiln"), root.join("models/4/model.kiln"))
        .unwrap();
    let said = sandbox.kiln(commands[3]);
    assert!(said.code == 2 && said.err.contains("model.kiln: is 7558 bytes long"), "{}", said.err);
    assert!(sandbox.kiln(commands[4]).err.contains("model.kiln: is 7558 bytes long"));
}

/// Adds lengths and hashes to a run folder's journal, in the way that the present build writes them.
fn hashed(root: &Path) {
    let journal = root.join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let line = |line: &str| {
        let mut entry: serde_json::Value = serde_json::from_str(line).unwrap();
        if entry["kind"] == "finished" {
            let folder = root.join("models").join(entry["finished"]["trial"].to_string());
            for file in entry["finished"]["files"].as_array_mut().unwrap() {
                let name = file.as_str().unwrap().to_owned();
                let content = kiln_files::Content::of_file(&folder.join(&name)).unwrap();
                *file = serde_json::to_value(content).unwrap();
                file["name"] = name.into();
            }
            return entry.to_string() + "\n";
        }
        line.to_owned() + "\n"
    };
    fs::write(&journal, text.lines().map(line).collect::<String>()).unwrap();
}
