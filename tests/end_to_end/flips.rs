//! Flips bits in every kind of file in a run folder. Kiln must report each flip, or the flip must change no
//! result.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_search::seed;
use rand::RngExt;
use serde_json::Value;

use crate::old_runs::copy;
use crate::sandbox::{Said, Sandbox, set, tiny_quickstart};

/// Default number of flipped bits. `KILN_FLIPS` overrides it.
const FLIPS: usize = 50;

fn config() -> String {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "data", "limit", 300.into());
    let anchors: toml::Table = "networks = 4\nbatch = 32".parse().unwrap();
    set(&mut config, "evaluator", "anchors", anchors.into());
    config.to_string()
}

/// The results of a study: its front, its networks, and their measurements.
#[derive(Debug, PartialEq)]
struct Results {
    front: Value,
    finished: Value,
    evaluated: Value,
    exported: Vec<u8>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

/// Runs each command that reads the run folder. The last command may repair the folder. Returns the results
/// (`None` if a command refused) and all printed text.
fn ask(sandbox: &Sandbox, trial: &str) -> (Option<Results>, String) {
    let mut said = String::new();
    let mut run = |arguments: &[&str]| -> Said {
        let answer = sandbox.kiln(arguments);
        assert!([0, 1, 2].contains(&answer.code), "{arguments:?}: {}", answer.err);
        said += &answer.err;
        answer
    };
    let model = format!("runs/tiny/models/{trial}/model.kiln");
    let front = run(&["front", "tiny", "--json"]);
    let evaluated = run(&["eval", &model, "--json"]);
    let exported = run(&["export", "tiny", trial, "--out", "out.onnx", "--force"]);
    let report = run(&["report", "tiny", "--force"]);
    let audit = run(&["supernet", "audit", "tiny", "--networks", "4", "--epochs", "1", "--json"]);
    let search = run(&["search", "study.toml", "--json", "--workers", "1"]);
    said += &fs::read_to_string(sandbox.path("runs/tiny/kiln.log")).unwrap_or_default();
    if [&front, &evaluated, &exported, &report, &audit, &search].iter().any(|answer| answer.code != 0) {
        return (None, said);
    }
    let json = search.json();
    let root = sandbox.run("tiny").root().to_owned();
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files);
    let results = Results {
        front: json["front"].clone(),
        finished: json["finished"].clone(),
        evaluated: evaluated.json()["metrics"].clone(),
        exported: fs::read(sandbox.path("out.onnx")).unwrap(),
        files,
    };
    (Some(results), said)
}

/// Collects files whose content is a result. Files with times or with facts about the process are left out.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            if name != Path::new("store") {
                collect(root, &path, files);
            }
        } else if !["journal.jsonl", "kiln.log", "lock", "audit.jsonl"]
            .iter()
            .any(|other| name == Path::new(other))
        {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Whether an error or a warning names this file of the run folder, in the output or in the log. Other log
/// lines do not count, because they mention every written file.
fn names(said: &str, file: &str) -> bool {
    let path = format!("tiny/{file}");
    let complains = |line: &str| {
        ["error: ", "warning: "].iter().any(|start| line.starts_with(start)) || line.contains("WARN")
    };
    said.lines().any(|line| complains(line) && line.contains(&path))
}

#[test]
fn flipped_bits_are_reported_or_harmless() {
    let whole = Sandbox::new(&config());
    let trial = whole.search(&["--workers", "2"])["finished"][0]["trial"].to_string();
    let audit = whole.kiln(&["supernet", "audit", "tiny", "--networks", "4", "--epochs", "1"]);
    assert_eq!(audit.code, 0, "{}", audit.err);
    let untouched = whole.path("untouched");
    copy(whole.run("tiny").root(), &untouched);
    let (expected, _) = ask(&whole, &trial);
    let expected = expected.expect("nothing is damaged yet");

    let checkpoint = fs::read_dir(untouched.join("supernet")).unwrap();
    let checkpoint = checkpoint.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let checkpoint = checkpoint.filter(|name| name.starts_with("step-")).max().unwrap();
    let kinds = [
        "anchors.json".to_owned(),
        "supernet/trained.json".to_owned(),
        format!("supernet/{checkpoint}"),
        format!("models/{trial}/model.kiln"),
        format!("models/{trial}/card.json"),
        format!("models/{trial}/model.onnx"),
        "audit.json".to_owned(),
        "audit.jsonl".to_owned(),
        "config.toml".to_owned(),
        "journal.jsonl".to_owned(),
    ];
    let flips = env::var("KILN_FLIPS").map_or(FLIPS, |flips| flips.parse().expect("KILN_FLIPS is a number"));
    let mut rng =
        seed::generator(env::var("KILN_FLIPS_SEED").map_or(1, |seed| seed.parse().unwrap()), "flips", &[]);
    let (mut named, mut harmless) = (0, 0);
    for flip in 0..flips {
        let name = &kinds[flip % kinds.len()];
        let sandbox = Sandbox::new(&config());
        copy(&untouched, sandbox.run("tiny").root());
        let _ = fs::remove_file(sandbox.path("runs/tiny/kiln.log"));
        let path = sandbox.run("tiny").root().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let bit = rng.random_range(0..8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).unwrap();

        let (found, said) = ask(&sandbox, &trial);
        let is_named = names(&said, name);
        *if is_named { &mut named } else { &mut harmless } += 1;
        // If a flip is reported, Kiln refuses the file, or repairs it so that the results stay the same.
        match found {
            Some(found) => assert!(found == expected, "{name}, bit {bit}: other results: {said}"),
            None => assert!(is_named, "{name}, bit {bit}: refused, but not named: {said}"),
        }
    }
    eprintln!("{flips} flips: {named} named, {harmless} without effect");
    assert!(named > flips / 2, "most are noticed: {named} of {flips}");
}
