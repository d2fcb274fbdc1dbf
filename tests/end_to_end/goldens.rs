//! Compares the journals and files of three short studies with golden ones, so that a refactoring cannot
//! change a bit.
//!
//! `tests/golden/studies.jsonl` has one line for each combination of study, results version and device class.
//! The device class names the instruction set, because bits depend on it. If the file has no lines for the
//! present class, the test compares nothing and prints the name of the class.
//!
//! `KILN_BLESS=1 cargo test --release --test end_to_end goldens` writes the goldens for this machine's device
//! class. A journal may change only in a commit that increments `RESULTS_VERSION`. Blessing never overwrites
//! the golden of a different journal of the same version.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_export::TrainedModel;
use kiln_files::Content;
use kiln_search::{RESULTS_VERSION, RunPaths};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use crate::sandbox::{Sandbox, set, tiny};

const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/studies.jsonl");
/// Number of trials whose lines are kept as text.
const SHOWN: usize = 2;
/// Placeholder for content that may differ between runs.
const ASIDE: &str = "*";

/// All files that a study wrote, as hashes and text.
#[derive(Debug, Serialize, Deserialize)]
struct Golden {
    results: u32,
    class: String,
    study: String,
    /// A hash of each line of the journal, in order.
    journal: Vec<String>,
    /// The lines of the first trials.
    trials: Vec<String>,
    /// A hash of every other file in the run folder, by the file's path.
    files: BTreeMap<String, String>,
}

/// Returns the studies, each from a config in this repository. The search continues after the initial random
/// design, so that the strategy learns.
fn studies() -> [(&'static str, Table); 3] {
    let study = |name: &'static str, trials: i64| {
        let mut config = tiny(&format!("{name}.toml"), name);
        set(&mut config, "search", "trials", trials.into());
        set(&mut config, "finish", "formats", vec!["onnx", "safetensors", "rust"].into());
        (name, config)
    };
    let mut table = study("tabular", 30);
    set(&mut table.1, "data", "missing", "mean".into());
    set(&mut table.1, "evaluator", "epochs", 4.into());
    [study("quickstart", 40), study("tiny-mcu", 24), table]
}

/// Returns the table for the third study. Two columns and a category depend on the class, and one column does
/// not. Some cells are empty.
fn plants() -> String {
    let line = |row: usize| {
        let kind = row % 3;
        let length = if row % 11 == 4 { String::new() } else { format!("{}.{}", 2 * kind + 1, row * 7 % 10) };
        let width =
            if row % 17 == 9 { "NA".to_owned() } else { (100 + 30 * kind + row * 13 % 40).to_string() };
        let weight = row * 31 % 23;
        let soil = ["sand", "clay", "loam"][(kind + row / 5 % 2) % 3];
        let species = ["setosa", "virginica", "versicolor"][kind];
        format!("{length},{width},{weight},{soil},{species}\n")
    };
    "length,width,weight,soil,species\n".to_owned() + &(0..300).map(line).collect::<String>()
}

fn hash(bytes: &[u8]) -> String {
    Content::of(bytes).blake3.to_string()[..16].to_owned()
}

/// Replaces `from` by `to` everywhere in the bytes.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

/// Returns a journal's lines without times, checks, workers and file hashes, because the files themselves are
/// compared. Progress lines are left out, because they depend on time. Trials are in the order of their
/// proposals, because workers end them in any order.
fn journal(text: &str) -> Vec<Value> {
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.retain(|line| line["kind"] != "progress");
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        for key in ["unix_s", "elapsed_s", "seconds", "worker", "check"] {
            line.remove(key);
        }
        let files = line.get_mut("finished").and_then(|finished| finished["files"].as_array_mut());
        for file in files.into_iter().flatten() {
            *file = file["name"].take();
        }
    }
    let is_trial = |line: &Value| line["kind"] == "trial";
    let mut trials: Vec<Value> = lines.iter().filter(|line| is_trial(line)).cloned().collect();
    trials.sort_by_key(|line| line["trial"]["id"].as_u64());
    lines.iter_mut().filter(|line| is_trial(line)).zip(trials).for_each(|(line, trial)| *line = trial);
    lines
}

/// Returns a file's content without the machine, the check and Kiln's version. The sandbox fixes the date.
fn content(path: &Path, name: &str) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let bytes = fs::read(path).unwrap();
    let without = |bytes: &[u8], from: &str| replaced(bytes, from.as_bytes(), ASIDE.as_bytes());
    match name.rsplit('/').next().unwrap() {
        "card.json" => {
            let text = String::from_utf8(bytes).unwrap();
            let aside =
                [r#""machine": "#.to_owned(), r#""check": "#.to_owned(), format!(r#""kiln": "{version}""#)];
            let keeps = |line: &&str| !aside.iter().any(|start| line.trim_start().starts_with(start));
            text.lines().filter(keeps).flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
        }
        "model.kiln" => {
            // The file has two parts, and each part is followed by its hash. The length of the first part
            // precedes it and depends on the machine's name.
            let machine = TrainedModel::load(path).unwrap().card.machine;
            let len = usize::try_from(u64::from_le_bytes(bytes[12..20].try_into().unwrap())).unwrap();
            let (description, rest) = bytes[20..].split_at(len);
            let description = without(description, &serde_json::to_string(&machine).unwrap());
            let description = without(&description, &format!(r#""kiln":"{version}""#));
            [&bytes[..12], &description, &rest[32..rest.len() - 32]].concat()
        }
        // The removed text is in fields 2 and 3 of the model: `producer_name` and `producer_version`.
        "model.onnx" => without(
            &bytes,
            &format!("\x12\x04kiln\x1a{}{version}", char::from(u8::try_from(version.len()).unwrap())),
        ),
        "lib.rs" => without(&bytes, &format!("Written by Kiln {version}.")),
        _ => bytes,
    }
}

/// Finds the files of a run folder by their path. The journal and files about the process are left out.
fn files(folder: &Path, root: &Path, found: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if name != "store" {
                files(&path, root, found);
            }
        } else if !["journal.jsonl", "kiln.log", "lock", "supernet/lock"].contains(&&*name) {
            found.insert(name, path);
        }
    }
}

/// Runs a study. Returns what it wrote, and the normalized lines of its journal.
fn run(name: &str, config: &Table) -> (Golden, Vec<String>) {
    let sandbox = Sandbox::new(&config.to_string());
    fs::write(sandbox.path("plants.csv"), plants()).unwrap();
    sandbox.search(&["--data", "."]);
    let paths: RunPaths = sandbox.run(name);
    let journal = journal(&fs::read_to_string(paths.journal()).unwrap());
    let fingerprint = journal.iter().find_map(|line| line["fingerprint"].as_str()).unwrap();
    let class = fingerprint.split_once('/').unwrap().1.split("/results-").next().unwrap().to_owned();
    let trials =
        journal.iter().filter(|line| line["kind"] == "trial").take(SHOWN).map(Value::to_string).collect();
    let lines: Vec<String> = journal.iter().map(Value::to_string).collect();
    let mut found = BTreeMap::new();
    files(paths.root(), paths.root(), &mut found);
    let files = found.into_iter().map(|(name, path)| {
        let hash = hash(&content(&path, &name));
        (name, hash)
    });
    let golden = Golden {
        results: RESULTS_VERSION,
        class,
        study: name.to_owned(),
        journal: lines.iter().map(|line| hash(line.as_bytes())).collect(),
        trials,
        files: files.collect(),
    };
    (golden, lines)
}

/// Lists the differences between a study and its golden: the first different journal line, and every
/// different file.
fn differences(golden: &Golden, now: &Golden, lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(at) =
        (0..golden.journal.len().max(lines.len())).find(|at| golden.journal.get(*at) != now.journal.get(*at))
    {
        let line = lines.get(at).map_or("the end", String::as_str);
        found.push(format!("journal, from line {} without progress: {line}", at + 1));
        for (was, is) in golden.trials.iter().zip(&now.trials).filter(|(was, is)| was != is) {
            found.push(format!("trial was {was}\n      now {is}"));
        }
    }
    for name in golden.files.keys().chain(now.files.keys().filter(|name| !golden.files.contains_key(*name))) {
        match (golden.files.get(name), now.files.get(name)) {
            (Some(was), Some(is)) if was == is => {}
            (Some(_), Some(_)) => found.push(format!("{name}: another content")),
            (Some(_), None) => found.push(format!("{name}: missing")),
            _ => found.push(format!("{name}: new")),
        }
    }
    found
}

/// Writes the goldens for this device class. Refuses to do so if a journal changed under the same results
/// version.
fn bless(mut goldens: Vec<Golden>, now: Vec<Golden>) {
    for new in now {
        let is_same =
            |old: &Golden| (old.results, &old.class, &old.study) == (new.results, &new.class, &new.study);
        if let Some(old) = goldens.iter().find(|old| is_same(old)) {
            assert_eq!(
                old.journal, new.journal,
                "the journal of `{}` has changed: raise `RESULTS_VERSION` (search/src/trials/results.rs) first",
                new.study
            );
        }
        goldens.retain(|old| !is_same(old));
        goldens.push(new);
    }
    let lines = goldens.iter().map(|golden| serde_json::to_string(golden).unwrap() + "\n");
    fs::write(GOLDENS, lines.collect::<String>()).unwrap();
}

#[test]
fn goldens_of_three_studies_match_journals_and_files() {
    let text = fs::read_to_string(GOLDENS).unwrap_or_default();
    let goldens: Vec<Golden> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut now, mut wrong) = (Vec::new(), Vec::new());
    for (name, config) in studies() {
        let (study, lines) = run(name, &config);
        let is_its = |golden: &&Golden| {
            (golden.results, &golden.class, &golden.study) == (study.results, &study.class, &study.study)
        };
        match goldens.iter().find(is_its) {
            Some(golden) => {
                wrong
                    .extend(differences(golden, &study, &lines).iter().map(|what| format!("{name}: {what}")));
            }
            None => eprintln!(
                "skipped: `{name}` has no golden of results version {RESULTS_VERSION} for `{}`; KILN_BLESS=1 \
                 writes it",
                study.class
            ),
        }
        now.push(study);
    }
    if env::var_os("KILN_BLESS").is_some() {
        return bless(goldens, now);
    }
    assert!(
        wrong.is_empty(),
        "studies give other bits; where that is meant, raise `RESULTS_VERSION` (search/src/trials/results.rs), then \
         run this test with KILN_BLESS=1:\n{}",
        wrong.join("\n")
    );
}
