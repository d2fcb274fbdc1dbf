//! Tests every command that reads journals with journals that were changed, that an earlier version wrote, or
//! that contain impossible numbers.

use std::fs;

use kiln_search::JournalEntry;

use crate::sandbox::{Sandbox, set, tiny_quickstart};

/// Returns a study that ended without a finished network, and the study's journal.
fn ended() -> (Sandbox, String) {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "data", "limit", 300.into());
    config.remove("finish");
    let sandbox = Sandbox::new(&config.to_string());
    sandbox.search(&[]);
    let journal = fs::read_to_string(sandbox.run("tiny").journal()).unwrap();
    (sandbox, journal)
}

/// Every command that reads a journal.
const READERS: [&[&str]; 6] = [
    &["front", "tiny"],
    &["show", "tiny", "0"],
    &["report", "tiny", "--out", "page.html"],
    &["compare", "tiny", "tiny"],
    &["watch", "tiny", "--plain"],
    &["search", "study.toml"],
];

/// Returns the line without a check, as an earlier version wrote it.
fn unchecked(line: &str) -> String {
    let mut entry: JournalEntry = serde_json::from_str(line).unwrap();
    entry.version = 1;
    serde_json::to_string(&entry).unwrap()
}

#[test]
fn changed_digit_is_reported_with_line_by_every_command() {
    let (sandbox, journal) = ended();
    let (number, line) =
        journal.lines().enumerate().find(|(_, line)| line.contains("\"error_percent\":")).unwrap();
    // The first digit of an error changes, so that the network looks better.
    let at = line.find("\"error_percent\":").unwrap() + "\"error_percent\":".len();
    let digit = if line.as_bytes()[at] == b'1' { "2" } else { "1" };
    let changed = format!("{}{digit}{}", &line[..at], &line[at + 1..]);
    fs::write(sandbox.run("tiny").journal(), journal.replace(line, &changed)).unwrap();
    for reader in READERS {
        let said = sandbox.kiln(reader);
        assert_eq!(said.code, 2, "{reader:?}: {}", said.err);
        let place = format!("journal.jsonl:{}: damaged (its check", number + 1);
        assert!(said.err.contains(&place), "{reader:?}: {}", said.err);
    }
    // Without checks, Kiln still detects the change, because the objectives no longer match.
    let lines: Vec<String> = journal.replace(line, &changed).lines().map(unchecked).collect();
    fs::write(sandbox.run("tiny").journal(), lines.join("\n") + "\n").unwrap();
    for reader in READERS {
        let said = sandbox.kiln(reader);
        assert_eq!(said.code, 2, "{reader:?}: {}", said.err);
        assert!(said.err.contains("do not follow from its metrics"), "{reader:?}: {}", said.err);
    }
}

#[test]
fn journal_without_checks_is_read_with_warning() {
    let (sandbox, journal) = ended();
    let front = sandbox.kiln(&["front", "tiny"]);
    assert_eq!((front.code, front.err.as_str()), (0, ""));
    let lines: Vec<String> = journal.lines().map(unchecked).collect();
    fs::write(sandbox.run("tiny").journal(), lines.join("\n") + "\n").unwrap();
    for reader in READERS {
        let said = sandbox.kiln(reader);
        assert_eq!(said.code, 0, "{reader:?}: {}", said.err);
        let sentence = format!("lines 1 to {} have no checks", lines.len());
        assert!(said.err.contains(&sentence), "{reader:?}: {}", said.err);
    }
    assert!(fs::read_to_string(sandbox.path("page.html")).unwrap().contains("have no checks"));
    assert_eq!(sandbox.kiln(&["front", "tiny"]).out, front.out);
}

#[test]
fn impossible_times_are_reported_as_damage() {
    let (sandbox, journal) = ended();
    let lines: Vec<String> = journal.lines().map(unchecked).collect();
    for (key, value) in
        [("elapsed_s", "1e300"), ("elapsed_s", "-1"), ("unix_s", "-1e19"), ("seconds", "1e300")]
    {
        let of = |line: &str| -> Option<String> {
            let from = line.find(&format!("\"{key}\":"))? + key.len() + 3;
            let to = from + line[from..].find([',', '}'])?;
            Some(format!("{}{value}{}", &line[..from], &line[to..]))
        };
        let number = lines.iter().rposition(|line| of(line).is_some()).unwrap();
        let mut changed = lines.clone();
        changed[number] = of(&lines[number]).unwrap();
        fs::write(sandbox.run("tiny").journal(), changed.join("\n") + "\n").unwrap();
        for reader in READERS {
            let said = sandbox.kiln(reader);
            assert_eq!(said.code, 2, "{reader:?}: {}", said.err);
            let place = format!("journal.jsonl:{}: damaged ({value}", number + 1);
            assert!(said.err.contains(&place), "{reader:?}, {key}: {}", said.err);
        }
    }
}

#[test]
fn largest_configurable_counts_start() {
    let mut config = tiny_quickstart("tiny");
    let target = toml::Value::Table([("parameters".to_owned(), 1e9.into())].into_iter().collect());
    set(&mut config, "search", "trials", i64::MAX.into());
    set(&mut config, "search", "target", target);
    set(&mut config, "evaluator", "calibration", i64::MAX.into());
    set(&mut config, "evaluator", "checkpoint_steps", i64::MAX.into());
    config.remove("finish");
    let sandbox = Sandbox::new(&config.to_string());
    let said = sandbox.kiln(&["check", "study.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("search more than 100 years"), "{}", said.out);
    let report = sandbox.search(&[]);
    // The trials that were pending when the first trial reached the target.
    assert!((1..=8).contains(&report["trials"].as_u64().unwrap()), "{report}");
}
