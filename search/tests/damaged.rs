//! Reading damaged tables of results and damaged journals must return an error or the intact part, and must
//! never panic.

use std::fs;
use std::path::Path;

use kiln_damage::check_damaged;
use kiln_search::{
    Event, Journal, JournalEntry, JournalReader, RunPaths, StudyRecord, TableEvaluator, study_front,
};
use kiln_space::Settings;
use serde_json::json;

#[test]
fn damaged_tables_give_an_error_or_results() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.csv");
    let genes = json!({ "file": "t.csv", "key": "genes", "key_format": "genotype", "signal": "acc" });
    let cells = json!({
        "file": "t.csv", "key": "arch", "key_format": "nasbench201", "signal": "acc", "direction": "maximize",
    });
    let check = |settings: &serde_json::Value, table: &str| {
        let settings = Settings::new("evaluator", settings.as_object().expect("a table").clone());
        check_damaged(&[table.as_bytes().to_vec()], |bytes| {
            fs::write(&path, bytes).expect("a file");
            if let Ok(table) = TableEvaluator::open(&settings, Some(folder.path())) {
                assert!(!table.is_empty());
            }
        });
    };
    check(&genes, "genes,acc,test\n0-1,90.5,80\n1-1,,70\n2-0,1e1,\n10-200,3,4\n");
    let cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|";
    check(&cells, &format!("arch,acc\n{cell},94.2\n{},93\n", cell.replace("3x3~0", "1x1~0")));
}

/// Writes a journal like the journal of a study. Returns its bytes.
fn journal(path: &Path) -> Vec<u8> {
    let event = |text: &str| serde_json::from_str::<Event>(text).expect("an event");
    let trial = |id: u64, outcome: &str| {
        let objectives = if outcome.contains("failed") { "[]".to_owned() } else { format!("[0.5,{id}.25]") };
        event(&format!(
            r#"{{"kind":"trial","known":false,"seconds":0.25,"worker":1,"trial":{{"id":{id},"proposal":
            {{"genotype":[1,{id}],"fidelity":{{"epochs":3}}}},"outcome":{outcome},
            "costs":{{"macs":{id}.25}},"objectives":{objectives},"violation":0.0}}}}"#
        ))
    };
    let mut journal = Journal::open(path).expect("a journal").journal;
    let mut put = |event: &Event| journal.append(event).expect("written");
    put(&Event::Started { study: "a".to_owned(), resumed: 0, trials: Some(9) });
    for id in 0..4 {
        put(&trial(id, r#"{"measured":{"error_percent":0.5}}"#));
    }
    put(&trial(4, r#"{"failed":{"kind":"diverged","reason":"loss NaN"}}"#));
    put(&Event::Searched { trials: 5, front: vec![0, 1] });
    put(&Event::Ended);
    journal.sync().expect("synced");
    fs::read(path).expect("the journal")
}

/// Returns the lines of a journal without checks, as an earlier version wrote them.
fn unchecked(journal: &[u8]) -> Vec<u8> {
    let line = |line: &str| {
        let mut entry: JournalEntry = serde_json::from_str(line).expect("a line");
        entry.version = 1;
        serde_json::to_string(&entry).expect("a line") + "\n"
    };
    std::str::from_utf8(journal).expect("text").lines().map(line).collect::<String>().into_bytes()
}

/// Reads a journal with every reading function. Returns the entries if the journal can be read.
fn read(paths: &RunPaths, bytes: &[u8]) -> Option<Vec<JournalEntry>> {
    fs::write(paths.journal(), bytes).expect("a file");
    let entries = JournalReader::open(&paths.journal()).expect("it is there").entries().ok();
    let record = StudyRecord::read(paths);
    assert_eq!(record.is_ok(), entries.is_some());
    if let Ok(record) = record {
        let trials: Vec<_> = record.trials.into_values().map(|journaled| journaled.trial).collect();
        drop(study_front(&trials));
    }
    // Opening the journal for writing repairs only an incomplete last line.
    let repaired = Journal::open(&paths.journal()).is_ok();
    assert!(!repaired || StudyRecord::read(paths).is_ok(), "what was repaired is whole");
    entries
}

#[test]
fn damaged_journals_with_checks_give_what_was_written_or_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = RunPaths::new(folder.path());
    let whole = journal(&paths.journal());
    let written = read(&paths, &whole).expect("it is whole");
    check_damaged(&[whole], |bytes| {
        if let Some(entries) = read(&paths, bytes) {
            assert_eq!(entries[..], written[..entries.len().min(written.len())]);
        }
    });
}

#[test]
fn damaged_journals_without_checks_give_entries_or_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = RunPaths::new(folder.path());
    let whole = unchecked(&journal(&paths.journal()));
    assert!(read(&paths, &whole).is_some());
    check_damaged(&[whole], |bytes| drop(read(&paths, bytes)));
}
