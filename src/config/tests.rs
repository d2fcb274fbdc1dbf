//! Tests the exact messages for broken configs.

use std::path::Path;

use super::*;

/// A valid config. Each test breaks one value of it.
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

/// Returns the message for [`RIGHT`] after `from` is replaced with `to`.
fn message(from: &str, to: &str) -> String {
    assert!(RIGHT.contains(from), "`{from}` is in the config");
    read(&RIGHT.replacen(from, to, 1)).map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
}

/// Applies these changes to [`RIGHT`] and compares the resulting messages with a snapshot.
fn check(name: &str, changes: &[(&str, &str)]) {
    let told = |(from, to): &(&str, &str)| format!("{from:?} -> {to:?}\n  {}\n", message(from, to));
    let messages: String = changes.iter().map(told).collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, messages));
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
fn confidence_of_limits_is_that_of_the_intervals() {
    let with = |confidence: &str| {
        read(&RIGHT.replacen("[[hardware]]", &format!("[[hardware]]\nconfidence = {confidence}"), 1))
    };
    assert!(!read(RIGHT).unwrap().hardware[0].is_confident);
    assert!(with("0.9").unwrap().hardware[0].is_confident);
    let refused = with("0.95").unwrap_err().to_string();
    assert!(refused.contains("`hardware.0.confidence`: found `0.95`, expected 0.9"), "{refused}");
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
    check(
        "unknown-keys",
        &[
            ("[study]", "[studi]"),
            ("[study]", "colour = 1\n[study]"),
            ("seed = 1", "sead = 1"),
            ("trials = 10", "trails = 10"),
        ],
    );
}

#[test]
fn missing_key_is_refused_with_expected_value() {
    check(
        "missing-keys",
        &[("name = \"a\"\n", ""), ("kind = \"digits\"", ""), ("{ kind = \"random\" }", "{}")],
    );
    assert_eq!(read("").unwrap_err().to_string(), "a.toml: `study`: missing; expected a table `[study]`");
    let without_search = &RIGHT[..RIGHT.find("[search]").unwrap()];
    assert_eq!(
        read(without_search).unwrap_err().to_string(),
        "a.toml: `search`: missing; expected a table `[search]`"
    );
}

#[test]
fn wrong_type_is_refused_with_found_and_expected() {
    check(
        "wrong-types",
        &[
            ("seed = 1", "seed = \"1\""),
            ("seed = 1", "seed = -1"),
            ("seed = 1", "seed = 1.5"),
            ("name = \"a\"", "name = 3"),
            ("kind = \"mlp\"", "kind = [\"mlp\"]"),
            ("{ kind = \"random\" }", "3"),
            ("[\"error_percent\", \"latency_us\"]", "\"error_percent\""),
            ("[[hardware]]", "[hardware]"),
            ("[data]\nkind = \"digits\"", ""),
            ("latency_max_us = 300", "latency_max_us = \"fast\""),
        ],
    );
    assert_eq!(
        read(&format!("data = 3\n{}", RIGHT.replace("[data]\nkind = \"digits\"", "")))
            .unwrap_err()
            .to_string(),
        "a.toml:1: `data`: found `3`, expected a table"
    );
}

#[test]
fn impossible_value_is_refused_with_found_and_expected() {
    check(
        "impossible-values",
        &[
            ("trials = 10", "trials = 0"),
            ("trials = 10", "trials = 10\nin_flight = 0"),
            ("trials = 10", "trials = 10\nin_flight = 9999"),
            ("trials = 10", "trials = 10\nhours = 0.0"),
            ("trials = 10", "trials = 10\nmacs_max = -5"),
            ("latency_max_us = 300", "latency_max_us = 0"),
            ("networks = 2", "networks = 0"),
            ("[\"error_percent\", \"latency_us\"]", "[]"),
            ("\"latency_us\"]", "\"error_percent\"]"),
            ("name = \"a\"", "name = \"../a\""),
            ("latency_max_us = 300", "latency_max_us = nan"),
        ],
    );
}

#[test]
fn invalid_toml_is_refused_with_line_and_column() {
    check(
        "invalid-toml",
        &[
            ("seed = 1", "seed = 1\nseed = 2"),
            ("seed = 1", "seed = "),
            ("[data]", "[study]"),
            ("[data]", "[data"),
        ],
    );
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
