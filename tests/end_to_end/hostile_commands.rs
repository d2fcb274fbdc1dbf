//! Studies whose names, paths, labels, arguments and variables contain what a shell would run. Nothing of it
//! may run, and the program must receive each text byte for byte.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};
use toml::Table;

use crate::sandbox::{Said, Sandbox};

/// The file that hostile texts try to make.
const CANARY: &str = "canary";
const TOKEN: &str = "s3cret-t0ken";

/// Writes down what the program receives, and returns the initial weights as trained ones.
const SCRIPT: &str = r#"
printf '%s\0' "$@" > arguments
printf '%s' "$WORD" > word
cp "$1" description.json
cp "$2" "$3"
echo '{"error_percent": 1}'
"#;

/// Texts that a shell would interpret.
fn hostile(without: &'static [&'static str]) -> impl Strategy<Value = String> {
    let pieces = [
        " ",
        "'",
        "\"",
        ";",
        "\n",
        "\t",
        "\\",
        "*",
        "?",
        "~",
        "#",
        "%",
        "!",
        "{seed}",
        "$HOME",
        "${HOME}",
        "--help",
        "$(touch canary)",
        "`touch canary`",
        "; touch canary;",
        "| touch canary ",
        "&& touch canary ",
        "> canary ",
        "\ntouch canary\n",
        "'; touch canary; '",
        "\"; touch canary; \"",
        "é",
        "a",
        "0",
    ];
    let pieces: Vec<&str> =
        pieces.into_iter().filter(|piece| !without.iter().any(|part| piece.contains(part))).collect();
    prop::collection::vec(prop::sample::select(pieces), 1..6).prop_map(|pieces| pieces.concat())
}

/// Whether a folder contains the canary, at any depth.
fn has_canary(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().map(Result::unwrap).any(|entry| {
        entry.file_name() == CANARY || (entry.file_type().unwrap().is_dir() && has_canary(&entry.path()))
    })
}

/// A study of one trial. `folder` is the working folder of the program.
fn config(folder: &str, argument: &str, word: &str) -> String {
    let command = ["sh", "train.sh", "{architecture}", "{initial_weights}", "{weights}", argument];
    let config = json!({
        "study": { "name": "scripted" },
        "data": { "kind": "csv", "file": "table.csv", "target": "label", "test": 0.3 },
        "space": { "kind": "mlp", "layers": [1], "width": [4] },
        "evaluator": {
            "kind": "command",
            "command": command,
            "metrics": ["error_percent"],
            "folder": folder,
            "environment": { "WORD": word },
        },
        "search": { "strategy": "random", "trials": 1 },
        "finish": { "formats": ["onnx", "rust"] },
        "track": { "tensorboard": true },
    });
    Table::try_from(config).unwrap().to_string()
}

/// A table whose classes have these labels.
fn table(labels: &[String]) -> String {
    let quoted: Vec<String> =
        labels.iter().map(|label| format!("\"{}\"", label.replace('"', "\"\""))).collect();
    let row = |row: usize| format!("{row},{}\n", quoted[row % quoted.len()]);
    "number,label\n".to_owned() + &(0..40).map(row).collect::<String>()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn hostile_texts_run_nothing_and_arrive_unchanged(
        [folder, runs, data] in [hostile(&[]), hostile(&[]), hostile(&[])],
        [first, second] in [hostile(&[]), hostile(&[])],
        argument in hostile(&["{seed}"]),
        word in hostile(&[]),
    ) {
        // Prefixes keep names apart, and keep paths from looking like options.
        let [folder, runs, data] = [("f", folder), ("r", runs), ("d", data)].map(|(a, b)| format!("{a}{b}"));
        let sandbox = Sandbox::new(&config(&folder, &argument, &word));
        fs::create_dir(sandbox.path(&folder)).unwrap();
        fs::write(sandbox.path(&folder).join("train.sh"), SCRIPT).unwrap();
        let labels = [format!("a{first}"), format!("b{second}")];
        fs::create_dir(sandbox.path(&data)).unwrap();
        fs::write(sandbox.path(&data).join("table.csv"), table(&labels)).unwrap();
        let config = format!("{folder}/study.toml");
        fs::rename(sandbox.path("study.toml"), sandbox.path(&config)).unwrap();
        let said = sandbox.kiln(&["search", &config, "--runs", &runs, "--data", &data, "--json"]);
        prop_assert_eq!(said.code, 0, "{}", said.err);
        for command in [&["report", "scripted", "--out", "page.html"][..], &["trials", "scripted", "--csv"]] {
            let said = sandbox.kiln(&[command, &["--runs", &runs]].concat());
            prop_assert_eq!(said.code, 0, "{}", said.err);
        }
        prop_assert!(!has_canary(&sandbox.path(".")));
        let read = |name: &str| fs::read_to_string(sandbox.path(&folder).join(name)).unwrap();
        let arguments = read("arguments");
        let arguments: Vec<&str> = arguments.trim_end_matches('\0').split('\0').collect();
        prop_assert_eq!(arguments.len(), 4);
        prop_assert!(Path::new(arguments[0]).starts_with(sandbox.path(&runs)), "{:?}", arguments);
        prop_assert_eq!(arguments[3], argument);
        prop_assert_eq!(read("word"), word);
        let description: Value = serde_json::from_str(&read("description.json")).unwrap();
        let classes: BTreeSet<&str> =
            description["classes"].as_array().unwrap().iter().map(|class| class.as_str().unwrap()).collect();
        // The reader of tables removes spaces around a value.
        prop_assert_eq!(classes, labels.iter().map(|label| label.trim()).collect());
    }

    #[test]
    fn hostile_names_of_studies_are_refused(name in hostile(&[])) {
        prop_assume!(!name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        let sandbox = Sandbox::new(&config(".", "a", "b").replace("scripted", "NAME"));
        fs::write(sandbox.path("train.sh"), SCRIPT).unwrap();
        fs::write(sandbox.path("table.csv"), table(&["a".to_owned(), "b".to_owned()])).unwrap();
        let text = fs::read_to_string(sandbox.path("study.toml")).unwrap();
        let name = toml::Value::String(name).to_string();
        fs::write(sandbox.path("study.toml"), text.replace("\"NAME\"", &name)).unwrap();
        let said = sandbox.kiln(&["search", "study.toml", "--data", "."]);
        prop_assert_eq!(said.code, 2, "{}", said.err);
        prop_assert!(said.err.contains("1 to 100 letters"), "{}", said.err);
        prop_assert!(!sandbox.path("runs").exists() && !has_canary(&sandbox.path(".")));
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn tokens_that_a_failing_program_prints_are_in_no_journal_log_or_error() {
    // Each attempt quotes the token in another message.
    for script in [
        "echo \"cannot log in with $MLFLOW_TRACKING_TOKEN\" >&2; exit 1",
        "echo \"$MLFLOW_TRACKING_TOKEN\"",
        "echo \"{\\\"error_percent\\\": \\\"$MLFLOW_TRACKING_TOKEN\\\"}\"",
    ] {
        let sandbox = Sandbox::new(&config(".", "a", "b"));
        fs::write(sandbox.path("train.sh"), script).unwrap();
        fs::write(sandbox.path("table.csv"), table(&["a".to_owned(), "b".to_owned()])).unwrap();
        let mut command = sandbox.command(&["search", "study.toml", "--data", ".", "--plain"]);
        let said = Said::new(command.env("MLFLOW_TRACKING_TOKEN", TOKEN).output().unwrap());
        assert!(!said.err.contains(TOKEN) && !said.out.contains(TOKEN), "{}", said.err);
        let reasons = sandbox.kiln(&["trials", "scripted", "--csv"]).out;
        assert!(reasons.contains("[MLFLOW_TRACKING_TOKEN]"), "{reasons}");
        for file in files(&sandbox.path("runs")) {
            let bytes = fs::read(&file).unwrap();
            let has = bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
            assert!(!has, "{}", file.display());
        }
    }
}
