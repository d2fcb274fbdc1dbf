use std::fs;

use super::*;
use crate::contracts::{Finished, FinishedFile};
use crate::persistence::journal::entry::{LONGEST_LINE, UNCHECKED_VERSION};

fn events() -> Vec<Event> {
    let trial = r#"{"kind":"trial","known":false,"seconds":0.25,"worker":1,"trial":{"id":3,"proposal":
        {"genotype":[1,0],"fidelity":{"epochs":3}},"outcome":{"measured":{"error_percent":0.1}},
        "costs":{"macs":18446744073709551616.0},"objectives":[0.1,18446744073709551616.0],"violation":0.0}}"#;
    vec![
        Event::Started { study: "a\n\u{2028}".to_owned(), resumed: 0, trials: Some(9) },
        serde_json::from_str(trial).unwrap(),
        Event::Ended,
    ]
}

/// Writes a journal of [`events`]. Returns the journal and its lines.
fn written() -> (tempfile::TempDir, PathBuf, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut journal = Journal::open(&path).unwrap().journal;
    for event in events() {
        journal.append(&event).unwrap();
    }
    journal.sync().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    (folder, path, text.split_inclusive('\n').map(str::to_owned).collect())
}

fn read(path: &Path) -> Result<Vec<Event>, StudyError> {
    let entries = JournalReader::open(path)?.entries()?;
    Ok(entries.into_iter().map(|entry| entry.event).collect())
}

#[test]
fn written_events_are_read_back() {
    let (_folder, path, lines) = written();
    assert_eq!(lines.len(), 3);
    assert_eq!(read(&path).unwrap(), events());
}

#[test]
fn reader_follows_a_growing_journal() {
    let (_folder, path, lines) = written();
    fs::write(&path, &lines[0][..10]).unwrap();
    let mut reader = JournalReader::open(&path).unwrap();
    assert_eq!(reader.next_entry().unwrap(), None);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&lines[0].as_bytes()[10..]).unwrap();
    file.write_all(lines[1].as_bytes()).unwrap();
    assert_eq!(reader.entries().unwrap().len(), 2);
    assert_eq!(reader.next_entry().unwrap(), None);
}

#[test]
fn incomplete_last_line_is_cut_off_and_one_without_line_end_kept() {
    let (_folder, path, lines) = written();
    let whole = lines[..2].concat();
    for cut in 1..lines[2].len() {
        fs::write(&path, format!("{whole}{}", &lines[2][..cut])).unwrap();
        assert_eq!(read(&path).unwrap(), events()[..2], "readers leave it alone");
        let mut opened = Journal::open(&path).unwrap();
        let kept = if cut == lines[2].len() - 1 { 3 } else { 2 };
        assert_eq!(opened.record.ended, kept == 3);
        assert_eq!(opened.cut, (kept == 2).then_some(cut));
        opened.journal.append(&Event::Ended).unwrap();
        assert_eq!(read(&path).unwrap().len(), kept + 1);
    }
}

#[test]
fn elapsed_time_continues_from_the_last_process() {
    let (_folder, path, lines) = written();
    let mut entry: JournalEntry = serde_json::from_str(&lines[0]).unwrap();
    entry.elapsed_s = Seconds::saturating(50.0);
    fs::write(&path, CheckChain::default().line(&entry)).unwrap();
    assert!(Journal::open(&path).unwrap().journal.elapsed() >= entry.elapsed_s);
}

#[test]
fn damage_before_the_last_line_is_named_by_file_and_line() {
    let (_folder, path, lines) = written();
    let [first, second, third] = [&lines[0], &lines[1], &lines[2]];
    for (text, line) in [
        (format!("{first}{}\n{third}", &second[..40]), 2),
        (format!("{first}\n{third}"), 2),
        (format!("{}{second}", first.replace("started", "began")), 1),
        (format!("{first}{second}{}", third.replace("version", "v")), 3),
        (format!("{first}{}", second.replace("0.1", "null")), 2),
    ] {
        fs::write(&path, text).unwrap();
        for error in [Journal::open(&path).unwrap_err(), read(&path).unwrap_err()] {
            assert!(
                error.to_string().starts_with(&format!("{}:{line}: damaged (", path.display())),
                "{error}"
            );
        }
    }
}

#[test]
fn line_of_a_newer_build_is_refused() {
    let (_folder, path, lines) = written();
    let mut entry: JournalEntry = serde_json::from_str(&lines[0]).unwrap();
    entry.version = JOURNAL_VERSION + 1;
    fs::write(&path, CheckChain::default().line(&entry)).unwrap();
    assert!(matches!(Journal::open(&path), Err(StudyError::Newer { version: 3, .. })));
}

#[test]
fn endless_line_is_not_read_into_memory() {
    let (_folder, path, _) = written();
    fs::write(&path, vec![b' '; (LONGEST_LINE + 10) as usize]).unwrap();
    assert!(matches!(read(&path), Err(StudyError::JournalLine { line: 1, .. })));
}

/// Returns the events as lines of an earlier version, without checks.
fn unchecked() -> Vec<String> {
    unchecked_lines(events())
}

fn unchecked_lines(events: Vec<Event>) -> Vec<String> {
    let line = |event: Event| {
        let (unix_s, elapsed_s) = (Seconds::ZERO, Seconds::ZERO);
        let entry = JournalEntry { version: UNCHECKED_VERSION, unix_s, elapsed_s, event };
        serde_json::to_string(&entry).unwrap() + "\n"
    };
    events.into_iter().map(line).collect()
}

fn damaged_line(text: &str) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    fs::write(&path, text).unwrap();
    let errors = [Journal::open(&path).map(drop), read(&path).map(drop)];
    let lines = errors.map(|result| match result {
        Err(StudyError::JournalLine { line, .. }) => line,
        other => panic!("{other:?}"),
    });
    assert_eq!(lines[0], lines[1]);
    lines[0]
}

#[test]
fn journal_of_an_earlier_version_is_read_with_a_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    fs::write(&path, unchecked().concat()).unwrap();
    let mut reader = JournalReader::open(&path).unwrap();
    assert_eq!(reader.entries().unwrap().len(), 3);
    assert_eq!(reader.doubts().unchecked_lines, 3);
    let opened = Journal::open(&path).unwrap();
    assert_eq!(opened.record.doubts.unchecked_lines, 3);
    assert!(!opened.record.trials[&3].checked);
    assert!(opened.record.doubts.sentences()[0].starts_with("lines 1 to 3 have no checks"));
}

#[test]
fn first_checked_line_covers_the_unchecked_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    fs::write(&path, unchecked().concat()).unwrap();
    let mut journal = Journal::open(&path).unwrap().journal;
    journal.append(&Event::Ended).unwrap();
    journal.append(&Event::Ended).unwrap();
    drop(journal);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(read(&path).unwrap().len(), 5);
    assert_eq!(Journal::open(&path).unwrap().record.doubts.unchecked_lines, 3);
    assert_eq!(damaged_line(&text.replacen("\"known\":false", "\"known\":true", 1)), 4);
}

#[test]
fn removed_repeated_and_moved_lines_are_damage() {
    let (_folder, _path, lines) = written();
    let [first, second, third] = [&lines[0], &lines[1], &lines[2]];
    for (text, line) in [
        (format!("{second}{third}"), 1),
        (format!("{first}{third}"), 2),
        (format!("{first}{first}{second}{third}"), 2),
        (format!("{first}{second}{second}{third}"), 3),
        (format!("{first}{third}{second}"), 2),
        // A line of an earlier version follows a line with a check.
        (format!("{first}{}", unchecked()[1]), 2),
        (format!("{first}{second}{}", unchecked()[2]), 3),
        // A line lost its check, for example in an editor.
        (format!("{}{second}", first.split(",\"check\"").next().unwrap().to_owned() + "}\n"), 1),
    ] {
        assert_eq!(damaged_line(&text), line, "{text}");
    }
}

/// Writes a journal with every kind of line.
fn of_all_kinds() -> (tempfile::TempDir, PathBuf, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let [started, trial, ended] = events().try_into().unwrap();
    let finished = Finished {
        trial: 3,
        metrics: [("test_accuracy_percent".to_owned(), 90.5)].into(),
        files: vec![FinishedFile { name: "model.onnx".to_owned(), content: None }],
    };
    let failed = r#"{"kind":"trial","known":true,"seconds":0.0,"worker":0,"trial":{"id":4,"proposal":
        {"genotype":[1,1],"fidelity":"full","origin":{"operator":"mutation","parents":[3],"cluster":2}},
        "outcome":{"failed":{"kind":"panicked","reason":"no"}},"costs":{},"objectives":[],"violation":0.0}}"#;
    let events = [
        started,
        Event::Progress { stage: "data".to_owned(), done: 1, total: 2, note: "loss 0.5".to_owned() },
        Event::Prepared { fingerprint: "digits/1".to_owned(), full_epochs: 3 },
        trial.clone(),
        serde_json::from_str(failed).unwrap(),
        Event::Warning { message: "\"quoted\"".to_owned() },
        Event::Retried { trials: vec![4] },
        trial,
        Event::Rejections { candidates: 10, rejected: 3 },
        Event::Searched { trials: 1, front: vec![3] },
        Event::Finished { finished, seconds: Seconds::saturating(1.5) },
        ended,
    ];
    let mut journal = Journal::open(&path).unwrap().journal;
    for event in &events {
        journal.append(event).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    (folder, path, text.split_inclusive('\n').map(str::to_owned).collect())
}

#[test]
fn flipped_bit_is_damage_or_cuts_the_last_line() {
    let (_folder, path, lines) = of_all_kinds();
    let whole = lines.concat().into_bytes();
    let (kept, last) = (lines.len() - 1, lines[lines.len() - 1].len());
    let ends: Vec<usize> = lines
        .iter()
        .scan(0, |end, line| {
            *end += line.len();
            Some(*end)
        })
        .collect();
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        if bit / 8 == whole.len() - 1 {
            let mut reader = JournalReader::open(&path).unwrap();
            assert_eq!(reader.entries().unwrap().len(), kept, "bit {bit}");
            assert_eq!(reader.doubts().torn_bytes, last, "readers say so: bit {bit}");
            assert_eq!(Journal::open(&path).unwrap().cut, Some(last), "bit {bit}");
            assert_eq!(fs::read(&path).unwrap(), whole[..whole.len() - last], "bit {bit}");
            continue;
        }
        let damaged = 1 + ends.iter().filter(|end| **end <= bit / 8).count() as u64;
        for error in [read(&path).unwrap_err(), Journal::open(&path).unwrap_err()] {
            assert!(
                matches!(error, StudyError::JournalLine { line, .. } if line == damaged),
                "bit {bit}: {error}"
            );
        }
    }
}

#[test]
fn impossible_times_are_damage() {
    let old = unchecked();
    for (key, value) in
        [("elapsed_s", "1e300"), ("elapsed_s", "-1"), ("unix_s", "-1e19"), ("unix_s", "1e999")]
    {
        let line = old[1].replace(&format!("\"{key}\":0.0"), &format!("\"{key}\":{value}"));
        assert_ne!(line, old[1]);
        assert_eq!(damaged_line(&format!("{}{line}{}", old[0], old[2])), 2, "{key} {value}");
    }
    let line = old[1].replace("\"seconds\":0.25", "\"seconds\":1e12");
    assert_eq!(damaged_line(&format!("{}{line}", old[0])), 2);
}

#[test]
fn implausible_lines_are_damage() {
    let old = unchecked();
    let trial = &old[1];
    let line = |event: &str| format!("{{\"version\":1,\"unix_s\":0.0,\"elapsed_s\":0.0,\"kind\":{event}}}\n");
    let finished = |id: u64| {
        line(&format!(
            "\"finished\",\"finished\":{{\"trial\":{id},\"metrics\":{{}},\"files\":[]}},\"seconds\":1.0"
        ))
    };
    let retried = line("\"retried\",\"trials\":[3]");
    for (text, damaged) in [
        (format!("{trial}{trial}"), Some(2)),
        (format!("{trial}{retried}{trial}"), None),
        (format!("{retried}{trial}"), Some(1)),
        (trial.replace("\"id\":3", "\"id\":4096"), Some(1)),
        (trial.replace("\"id\":3", "\"id\":18446744073709551615"), Some(1)),
        (trial.replace("\"violation\":0.0", "\"violation\":-0.5"), Some(1)),
        (trial.replace("\"objectives\":[0.1", "\"objectives\":[0.2"), Some(1)),
        (trial.replace("\"error_percent\":0.1", "\"error_percent\":0.2"), Some(1)),
        (
            trial.replace(
                "{\"measured\":{\"error_percent\":0.1}}",
                "{\"failed\":{\"kind\":\"diverged\",\"reason\":\"\"}}",
            ),
            Some(1),
        ),
        (format!("{trial}{}", line("\"searched\",\"trials\":1,\"front\":[3]")), None),
        (format!("{trial}{}", line("\"searched\",\"trials\":1,\"front\":[2]")), Some(2)),
        (format!("{trial}{}", line("\"searched\",\"trials\":1,\"front\":[3,3]")), Some(2)),
        (format!("{trial}{}", line("\"searched\",\"trials\":2,\"front\":[3]")), Some(2)),
        (format!("{trial}{}", finished(3)), None),
        (format!("{trial}{}", finished(4)), Some(2)),
    ] {
        if let Some(line) = damaged {
            assert_eq!(damaged_line(&text), line, "{text}");
        } else {
            let (_folder, path, _) = written();
            fs::write(&path, &text).unwrap();
            read(&path).unwrap();
        }
    }
}

#[test]
fn objectives_must_follow_from_the_names_of_the_study() {
    let (_folder, path, _) = written();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let read = |objectives: &[&str], constraint: f64| {
        let reader = JournalReader::open(&path).unwrap().with_objectives(&names(objectives));
        reader.with_constraints(&[crate::domain::Constraint::new("macs", constraint)]).entries()
    };
    assert!(read(&["error_percent", "macs"], 1e30).is_ok());
    for (objectives, limit) in [
        (&["macs", "error_percent"][..], 1e30),
        (&["error_percent"], 1e30),
        (&["error_percent", "macs"], 1e3),
    ] {
        assert!(
            matches!(read(objectives, limit), Err(StudyError::JournalLine { line: 2, .. })),
            "{objectives:?}"
        );
    }
}

#[test]
fn finished_files_outside_their_folder_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let read_with = |name: &str| {
        let mut events = events();
        let files = vec![FinishedFile { name: name.to_owned(), content: None }];
        let finished = Finished { trial: 3, metrics: [].into(), files };
        events.insert(2, Event::Finished { finished, seconds: Seconds::ZERO });
        fs::write(&path, unchecked_lines(events).concat()).unwrap();
        read(&path)
    };
    assert_eq!(read_with("package/model.onnx").unwrap().len(), 4);
    for name in ["../kept", "/etc/hosts", "", ".", "a/../../b"] {
        let said = read_with(name).unwrap_err().to_string();
        assert!(said.contains("is not inside the network's folder"), "{name}: {said}");
    }
}
