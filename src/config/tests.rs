//! Broken configs and their exact messages.

use std::path::Path;

use super::*;

/// A valid config for tests to break.
const RIGHT: &str = r#"[study]
name = "a"
seed = 1

[data]
kind = "digits"

[space]
kind = "mlp"
width = [16, 32]

[[hardware]]
device = "cortex-a72"
latency_max_us = 300

[evaluator]
kind = "supernet"
epochs = 2

[search]
strategy = { kind = "random" }
trials = 10
objectives = ["error_percent", "latency_us"]

[finish]
networks = 2
"#;

fn read(text: &str) -> Result<RunConfig, ConfigError> {
    RunConfig::from_document(Document::parse(Path::new("a.toml"), text)?, None)
}

/// The message for [`RIGHT`] after `from` is replaced with `to`.
fn message(from: &str, to: &str) -> String {
    assert!(RIGHT.contains(from), "`{from}` is in the config");
    read(&RIGHT.replacen(from, to, 1)).map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
}

#[test]
fn valid_config_is_read_as_written() {
    let config = read(RIGHT).unwrap();
    assert_eq!(config.study, StudyTable { name: "a".to_owned(), seed: 1 });
    assert_eq!(config.search.strategy.kind, "random");
    assert_eq!(config.search.in_flight, 8);
    assert_eq!(config.hardware[0].limits, [("latency_us", 300.0)]);
    assert_eq!(config.finish.unwrap().networks, 2);
}

#[test]
fn given_seed_replaces_seed_of_config() {
    let document = Document::parse(Path::new("a.toml"), RIGHT).unwrap();
    let config = RunConfig::from_document(document, Some(7)).unwrap();
    assert_eq!(config.study.seed, 7);
    assert!(config.document.to_toml().contains("seed = 7"));
}

#[test]
fn unknown_key_is_refused_with_accepted_keys() {
    let cases = [
        (
            "[study]",
            "[studi]",
            "a.toml:1: `studi`: unknown key; accepted: `study`, `data`, `space`, `hardware`, `evaluator`, \
             `search`, `finish`, `resolved`; did you mean `study`?",
        ),
        (
            "[study]",
            "colour = 1\n[study]",
            "a.toml:1: `colour`: unknown key; accepted: `study`, `data`, `space`, `hardware`, `evaluator`, \
             `search`, `finish`, `resolved`",
        ),
        (
            "seed = 1",
            "sead = 1",
            "a.toml:3: `study.sead`: unknown key; accepted: `name`, `seed`; did you mean `seed`?",
        ),
        (
            "trials = 10",
            "trails = 10",
            "a.toml:22: `search.trails`: unknown key; accepted: `strategy`, `trials`, `epochs`, \
             `in_flight`, `objectives`, `parameters_max`, `macs_max`, `hours`, `target`, `panics_in_a_row`; \
             did you mean `trials`?",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(message(from, to), expected);
    }
}

#[test]
fn missing_key_is_refused_with_expected_value() {
    let cases = [
        ("name = \"a\"\n", "", "a.toml:1: `study.name`: missing; expected a value"),
        ("kind = \"digits\"", "", "a.toml:5: `data.kind`: missing; expected a name in quotes"),
        (
            "{ kind = \"random\" }",
            "{}",
            "a.toml:21: `search.strategy.kind`: missing; expected a name in quotes",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(message(from, to), expected);
    }
    assert_eq!(read("").unwrap_err().to_string(), "a.toml: `study`: missing; expected a table `[study]`");
    let without_search = &RIGHT[..RIGHT.find("[search]").unwrap()];
    assert_eq!(
        read(without_search).unwrap_err().to_string(),
        "a.toml: `search`: missing; expected a table `[search]`"
    );
}

#[test]
fn wrong_type_is_refused_with_found_and_expected() {
    let cases = [
        (
            "seed = 1",
            "seed = \"1\"",
            "a.toml:3: `study.seed`: found string \"1\", expected a whole number, at least 0",
        ),
        (
            "seed = 1",
            "seed = -1",
            "a.toml:3: `study.seed`: found integer `-1`, expected a whole number, at least 0",
        ),
        (
            "seed = 1",
            "seed = 1.5",
            "a.toml:3: `study.seed`: found floating point `1.5`, expected a whole number, at least 0",
        ),
        ("name = \"a\"", "name = 3", "a.toml:2: `study.name`: found integer `3`, expected a string"),
        (
            "kind = \"mlp\"",
            "kind = [\"mlp\"]",
            "a.toml:9: `space.kind`: found a list, expected a name in quotes",
        ),
        (
            "{ kind = \"random\" }",
            "3",
            "a.toml:21: `search.strategy`: found `3`, expected the name of a strategy, or a table with its \
             `kind`",
        ),
        (
            "[\"error_percent\", \"latency_us\"]",
            "\"error_percent\"",
            "a.toml:23: `search.objectives`: found string \"error_percent\", expected a list",
        ),
        (
            "[[hardware]]",
            "[hardware]",
            "a.toml:12: `hardware`: found a table, expected tables headed `[[hardware]]`",
        ),
        ("[data]\nkind = \"digits\"", "", "accepted"),
        (
            "latency_max_us = 300",
            "latency_max_us = \"fast\"",
            "a.toml:14: `hardware.0.latency_max_us`: found `\"fast\"`, expected a number above 0",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(message(from, to), expected);
    }
    assert_eq!(
        read(&format!("data = 3\n{}", RIGHT.replace("[data]\nkind = \"digits\"", "")))
            .unwrap_err()
            .to_string(),
        "a.toml:1: `data`: found `3`, expected a table"
    );
}

#[test]
fn impossible_value_is_refused_with_found_and_expected() {
    let cases = [
        ("trials = 10", "trials = 0", "a.toml:22: `search.trials`: found 0, expected at least 1"),
        (
            "trials = 10",
            "trials = 10\nin_flight = 0",
            "a.toml:23: `search.in_flight`: found 0, expected at least 1",
        ),
        (
            "trials = 10",
            "trials = 10\nin_flight = 9999",
            "a.toml:23: `search.in_flight`: found 9999, expected at most 4096",
        ),
        (
            "trials = 10",
            "trials = 10\nhours = 0.0",
            "a.toml:23: `search.hours`: found 0.0, expected a number above 0, at most 876600",
        ),
        (
            "trials = 10",
            "trials = 10\nmacs_max = -5",
            "a.toml:23: `search.macs_max`: found `-5.0`, expected a number above 0",
        ),
        (
            "latency_max_us = 300",
            "latency_max_us = 0",
            "a.toml:14: `hardware.0.latency_max_us`: found `0`, expected a number above 0",
        ),
        (
            "networks = 2",
            "networks = 0",
            "a.toml:26: `finish.networks`: found `0`, expected a whole number from 1 to 1000",
        ),
        (
            "[\"error_percent\", \"latency_us\"]",
            "[]",
            "a.toml:23: `search.objectives`: found 0 objectives, expected 1 to 4 names",
        ),
        (
            "\"latency_us\"]",
            "\"error_percent\"]",
            "a.toml:23: `search.objectives.1`: found `error_percent` again, expected each objective once",
        ),
        (
            "name = \"a\"",
            "name = \"../a\"",
            "a.toml:2: `study.name`: found `../a`, expected 1 to 100 letters, digits, `-`, `_` or `.`, not \
             starting with `.` (it names the run folder)",
        ),
        (
            "latency_max_us = 300",
            "latency_max_us = nan",
            "a.toml:14: `hardware.0.latency_max_us`: found `nan`, expected a finite number",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(message(from, to), expected);
    }
}

#[test]
fn invalid_toml_is_refused_with_line_and_column() {
    let cases = [
        ("seed = 1", "seed = 1\nseed = 2", "a.toml:4:1: not valid TOML: duplicate key"),
        (
            "seed = 1",
            "seed = ",
            "a.toml:3:8: not valid TOML: string values must be quoted, expected literal string",
        ),
        ("[data]", "[study]", "a.toml:5:2: not valid TOML: duplicate key"),
        ("[data]", "[data", "a.toml:5:6: not valid TOML: unclosed table, expected `]`"),
    ];
    for (from, to, expected) in cases {
        assert_eq!(message(from, to), expected);
    }
}

#[test]
fn unreadable_config_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let message = RunConfig::read(&path, None).unwrap_err().to_string();
        message.replace(&path.display().to_string(), "a.toml")
    };
    assert_eq!(
        message(b"[study]\nname = \"\xff\""),
        "a.toml:2: byte 16 of the file is not UTF-8; save the file as UTF-8"
    );
    assert_eq!(
        message(&vec![b'#'; (1 << 20) + 1]),
        "a.toml: larger than 1048576 bytes; is this a config file?"
    );
    let missing = folder.path().join("b.toml");
    assert!(matches!(RunConfig::read(&missing, None), Err(ConfigError::Read { .. })));
    assert!(matches!(RunConfig::read(folder.path(), None), Err(ConfigError::Read { .. })));
}
