//! Run folders of a build that wrote no hashes (`tests/fixtures/v0`). Every command that reads them works,
//! and reports what it cannot check. `search` resumes, or refuses and states the reason.

use std::fs;
use std::path::Path;

use kiln_export::{CardVersion, ModelCard};
use serde_json::Value;

use crate::sandbox::Sandbox;

const UNCHECKED: &str = "recorded the finished networks without hashes";

/// A sandbox with the run folder of a study and its files.
pub(crate) fn old(study: &str) -> Sandbox {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v0").join(study);
    let sandbox = Sandbox::new("");
    copy(&fixture, &sandbox.path(""));
    sandbox
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Returns what `front --json` of the old build printed.
fn expected(sandbox: &Sandbox) -> Value {
    serde_json::from_slice(&fs::read(sandbox.path("front.json")).unwrap()).unwrap()
}

/// Whether `found` contains everything in `expected`. It may contain more.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| holds(a, b))
        }
        _ => found == expected,
    }
}

#[test]
fn every_command_reads_old_runs() {
    for study in ["supernet", "scratch", "table"] {
        let sandbox = old(study);
        let said = sandbox.kiln(&["front", study, "--json"]);
        assert_eq!(said.code, 0, "{study}: {}", said.err);
        let (found, expected) = (said.json(), expected(&sandbox));
        assert!(holds(&found, &expected), "{study}: {found}\n{expected}");
        let has_network = study != "table";
        assert_eq!(said.err.contains(UNCHECKED), has_network, "{study}: {}", said.err);

        let trial = expected["front"][0]["trial"].to_string();
        let said = sandbox.kiln(&["show", study, &trial, "--json"]);
        assert_eq!(said.code, 0, "{study}: {}", said.err);
        assert_eq!(Value::from(said.json()["genotype"].as_str()), expected["front"][0]["genotype"]);
        let said = sandbox.kiln(&["report", study]);
        assert_eq!(said.code, 0, "{study}: {}", said.err);
        let said = sandbox.kiln(&["watch", study, "--plain"]);
        // `watch` waits for the end of a study that has not ended.
        assert_eq!(said.code, 0, "{study}: {}", said.err);
    }
}

#[test]
fn old_networks_export_and_reproduce_their_metrics() {
    for study in ["supernet", "scratch"] {
        let sandbox = old(study);
        let finished = &expected(&sandbox)["finished"][0];
        let trial = finished["trial"].to_string();
        for format in ["onnx", "safetensors", "rust"] {
            let said = sandbox.kiln(&["export", study, &trial, "--format", format]);
            assert_eq!(said.code, 0, "{study}: {}", said.err);
            assert!(said.err.contains(UNCHECKED), "{study}: {}", said.err);
        }
        let said = sandbox.kiln(&["eval", &format!("runs/{study}/models/{trial}"), "--json"]);
        assert_eq!(said.code, 0, "{study}: {}", said.err);
        let (found, expected) =
            (&said.json()["metrics"], finished["test_accuracy_percent"].as_f64().unwrap());
        // The last bits depend on the instruction set.
        assert!(
            (found["test_accuracy_percent"].as_f64().unwrap() - expected).abs() < 0.5,
            "{study}: {found}"
        );
    }
    let said = old("supernet").kiln(&["report", "supernet"]);
    assert!(said.err.contains("audit.json: an older build wrote it without a hash"), "{}", said.err);
}

#[test]
fn old_cards_are_read_without_invented_facts() {
    for (study, trial) in [("supernet", 4), ("scratch", 1)] {
        let sandbox = old(study);
        let bytes = fs::read(sandbox.run(study).model(trial).join("card.json")).unwrap();
        let card = ModelCard::read(&mut bytes.as_slice()).unwrap().content;
        assert_eq!((card.version, card.test, card.split), (CardVersion::FIRST, None, None));
        assert!(card.metrics.iter().all(|metric| metric.predicted_by.is_none()));
        // `eval` recomputes the results by class. The report does not have them.
        let said = sandbox.kiln(&["eval", &format!("runs/{study}/models/{trial}"), "--json"]).json();
        assert_eq!(said["results"]["classes"].as_array().unwrap().len(), card.classes.len());
        assert_eq!(sandbox.kiln(&["report", study]).code, 0);
        let page = fs::read_to_string(sandbox.path(&format!("{study}.html"))).unwrap();
        assert!(!page.contains("Test results of finished networks"));
    }
}

#[test]
fn old_table_study_resumes() {
    let sandbox = old("table");
    let before = expected(&sandbox)["trials"].as_u64().unwrap();
    let journal = sandbox.run("table").journal();
    let lines = fs::read_to_string(&journal).unwrap();
    let said = sandbox.kiln(&["search", "study.toml", "--data", ".", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!((before, said.json()["trials"].as_u64()), (6, Some(12)));
    assert!(fs::read_to_string(&journal).unwrap().starts_with(&lines), "what was journaled stays");
}

#[test]
fn old_training_study_is_refused_with_reason_and_unchanged() {
    for study in ["supernet", "scratch"] {
        let sandbox = old(study);
        let config = fs::read_to_string(sandbox.path("study.toml")).unwrap();
        let more = config.replace("trials = 10", "trials = 20").replace("trials = 6", "trials = 20");
        fs::write(sandbox.path("study.toml"), more).unwrap();
        let root = sandbox.run(study).root().to_owned();
        let kept = |root: &Path| {
            ["journal.jsonl", "anchors.json", "supernet/trained.json"]
                .map(|name| fs::read(root.join(name)).ok())
        };
        let before = kept(&root);
        let said = sandbox.kiln(&["search", "study.toml", "--plain"]);
        assert_eq!(said.code, 2, "{study}: {}", said.err);
        // With its `limit`, this build's reading rules select other examples.
        let reason = "another build started this study and read its data by rules 1; this build reads the \
                      same files by rules 2";
        assert!(said.err.contains(reason), "{study}: {}", said.err);
        assert!(kept(&root) == before, "{study}: nothing is trained or written");
    }
}

#[test]
fn old_supernet_with_other_reading_rules_is_refused() {
    let sandbox = old("supernet");
    let config = fs::read_to_string(sandbox.path("study.toml")).unwrap();
    let config = config
        .replace("name = \"supernet\"", "name = \"taken\"")
        .replace("anchors = { networks = 4, batch = 32 }", "supernet = \"runs/supernet\"");
    fs::write(sandbox.path("study.toml"), config).unwrap();
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("trained.json: it was trained on other data"), "{}", said.err);
    assert!(said.err.contains("or by a build that read them differently"), "{}", said.err);
}
