//! Studies whose networks a program of the user trains. The programs here are shell scripts that compute
//! their metrics from the description of the network.

use std::fs;
use std::path::PathBuf;

use kiln_search::{Event, FailureKind, Fidelity, Outcome, Trial};
use serde_json::Value;

use crate::sandbox::{Said, Sandbox};

/// A study without data. The fields are parts of its config.
struct Scripted<'a> {
    script: &'a str,
    /// Arguments after the script.
    arguments: &'a str,
    evaluator: &'a str,
    search: &'a str,
    more: &'a str,
}

impl Default for Scripted<'_> {
    fn default() -> Self {
        Self {
            script: SIZE,
            arguments: "'{architecture}'",
            evaluator: "",
            search: "strategy = 'random'\ntrials = 6",
            more: "",
        }
    }
}

/// The number of the description's bytes is the error. Descriptions of larger networks are longer.
const SIZE: &str = r#"echo training; echo "{\"error_percent\": $(wc -c < "$1")}""#;

impl Scripted<'_> {
    fn sandbox(&self) -> Sandbox {
        let Self { arguments, evaluator, search, more, .. } = self;
        let sandbox = Sandbox::new(&format!(
            "study = {{ name = 'scripted', seed = 1 }}\n\
             space = {{ kind = 'mlp', layers = [1, 2], width = [4, 8, 16, 32] }}\n\
             [evaluator]\nkind = 'command'\ncommand = ['sh', 'train.sh', {arguments}]\n\
             metrics = ['error_percent']\ninput = [3, 1, 1]\noutputs = 2\n{evaluator}\n\
             [search]\n{search}\n{more}"
        ));
        fs::write(sandbox.path("train.sh"), self.script).unwrap();
        sandbox
    }
}

fn trials(sandbox: &Sandbox) -> Vec<Trial> {
    let of = |event| match event {
        Event::Trial { trial, .. } => Some(trial),
        _ => None,
    };
    sandbox.events("scripted").into_iter().filter_map(of).collect()
}

fn error(trial: &Trial) -> f64 {
    trial.outcome.measurement().unwrap().get("error_percent").unwrap()
}

/// The reasons of all failed trials, which must be failures of the program.
fn reasons(sandbox: &Sandbox) -> Vec<String> {
    let reason = |trial: Trial| match trial.outcome {
        Outcome::Failed { kind, reason } => {
            assert_eq!(kind, FailureKind::Program);
            Some(reason)
        }
        Outcome::Measured(_) => None,
    };
    trials(sandbox).into_iter().filter_map(reason).collect()
}

fn failing(script: &str, arguments: &str, evaluator: &str) -> (Said, Vec<String>) {
    let study = Scripted { script, arguments, evaluator, ..Scripted::default() };
    let sandbox = study.sandbox();
    let said = sandbox.kiln(&["search", "study.toml", "--plain"]);
    (said, reasons(&sandbox))
}

#[test]
fn journal_is_the_same_for_any_number_of_workers() {
    let facts = |workers: &str| {
        let sandbox = Scripted::default().sandbox();
        let summary = sandbox.search(&["--workers", workers]);
        assert_eq!(summary["trials"], 6);
        assert!(trials(&sandbox).iter().all(|trial| error(trial) > 500.0));
        assert!(!sandbox.run("scripted").trainings().exists());
        sandbox.facts("scripted")
    };
    assert_eq!(facts("1"), facts("3"));
}

#[test]
fn result_file_counts_and_resumed_study_runs_nothing_again() {
    let script =
        r#"echo run >> runs.txt; echo "{\"error_percent\": NaN}"; printf '{"error_percent": 7}' > "$2""#;
    let study = Scripted { script, arguments: "'{architecture}', '{result}'", ..Scripted::default() };
    let sandbox = study.sandbox();
    sandbox.search(&[]);
    assert!(trials(&sandbox).iter().all(|trial| error(trial).total_cmp(&7.0).is_eq()));
    let runs = || fs::read_to_string(sandbox.path("runs.txt")).unwrap().lines().count();
    assert_eq!(runs(), 6);
    sandbox.search(&[]);
    assert_eq!(runs(), 6);
}

/// Trains from the epoch in its own folder, and reports 100 divided by the number of epochs. Writes down each
/// epoch that it trains.
const EPOCHS: &str = r#"
from=0; [ -f "$2/epoch" ] && from=$(cat "$2/epoch")
while [ "$from" -lt "$3" ]; do
    from=$((from + 1))
    echo "$5 $from" >> epochs.txt
    echo "$from" > "$2/epoch"
    echo "{\"epoch\": $from, \"error_percent\": $((100 / from))}"
done
printf '{"error_percent": %s}' $((100 / from)) > "$4"
"#;

#[test]
fn longer_trainings_continue_shorter_ones() {
    let study = Scripted {
        script: EPOCHS,
        arguments: "'{architecture}', '{checkpoint}', '{epochs}', '{result}', '{seed}'",
        evaluator: "epochs = 9",
        search: "strategy = { kind = 'asha', epochs = [1, 3] }\ntrials = 24\nin_flight = 2",
        ..Scripted::default()
    };
    let sandbox = study.sandbox();
    sandbox.search(&["--workers", "2"]);
    let trials = trials(&sandbox);
    for trial in &trials {
        let expected = match trial.proposal.fidelity {
            Fidelity::Epochs(1) => 100.0,
            Fidelity::Epochs(_) => 33.0,
            _ => 11.0,
        };
        assert!(error(trial).total_cmp(&expected).is_eq(), "{trial:?}");
    }
    assert!(trials.iter().any(|trial| trial.proposal.fidelity == Fidelity::Full));
    let text = fs::read_to_string(sandbox.path("epochs.txt")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let trained = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), trained, "no network trained an epoch twice");
}

#[test]
fn patience_ends_a_program_and_takes_its_best_epoch() {
    // The error falls until epoch 3. Without patience, the program would run for ten minutes.
    let script = r#"
for epoch in 1 2 3 4 5; do
    case $epoch in 1) e=9;; 2) e=8;; 3) e=5;; *) e=6;; esac
    echo "{\"epoch\": $epoch, \"error_percent\": $e}"
done
exec sleep 600"#;
    let study = Scripted {
        script,
        evaluator: "epochs = 50\npatience = 2",
        search: "strategy = 'random'\ntrials = 2",
        ..Scripted::default()
    };
    let sandbox = study.sandbox();
    sandbox.search(&[]);
    assert!(trials(&sandbox).iter().all(|trial| error(trial).total_cmp(&5.0).is_eq()));
}

#[test]
fn failures_have_the_last_lines_and_several_in_a_row_end_the_study() {
    let script = r#"echo "network $5"; echo "cannot find data 7" >&2; exit 3"#;
    let (said, reasons) = failing(script, "'{architecture}'", "");
    assert_eq!(said.code, 1, "{}", said.err);
    // The last trial may run at the same time.
    assert!((5..=6).contains(&reasons.len()), "{reasons:?}");
    assert_eq!(reasons[0], "`sh` failed (exit status: 3) | cannot find data 7");
    let expected = "5 evaluations in a row failed, the last one was trial 4; they have in common: `sh` \
                    failed (exit status: 3) | cannot find data 7";
    assert!(said.err.contains(expected), "{}", said.err);
}

#[test]
fn wrong_results_are_failures_that_say_what_was_found() {
    let result = "'{architecture}', '{result}'";
    for (script, arguments, evaluator, expected) in [
        ("exec sleep 600", "'{architecture}'", "time_out = 1", "`sh` did not end within 1 s and was killed"),
        ("kill -9 $$", "'{architecture}'", "", "`sh` failed (signal: 9 (SIGKILL))"),
        (
            "echo done",
            "'{architecture}'",
            "",
            "`sh` ended without a result: it printed no object of JSON | done",
        ),
        ("true", result, "", "`sh` ended without a result: it wrote no file `{result}`"),
        ("echo '[3]' > \"$2\"", result, "", "`sh` wrote `[3]` as its result, expected an object of JSON"),
        (
            "echo '{\"loss\": 1}'",
            "'{architecture}'",
            "",
            "`sh` gave no usable result: the result has no `error_percent`, which `metrics` names | \
             {\"loss\": 1}",
        ),
        (
            "echo '{\"error_percent\": Infinity}' > \"$2\"",
            result,
            "",
            "`sh` gave no usable result: `error_percent` of the result is Infinity, expected a finite number",
        ),
        (
            "echo '{\"epoch\": 1, \"error_percent\": NaN}'; exec sleep 600",
            "'{architecture}'",
            "epochs = 3",
            "`sh` reported epoch 1 and gave no usable result: `error_percent` of the result is NaN, expected \
             a finite number | {\"epoch\": 1, \"error_percent\": NaN}",
        ),
        (
            "echo '{\"epoch\": 1, \"error_percent\": 2}'",
            "'{architecture}'",
            "epochs = 3\npatience = 1",
            "`sh` ended without a line for each of the 3 epochs, which `patience` needs | {\"epoch\": 1, \
             \"error_percent\": 2}",
        ),
    ] {
        let (said, reasons) = failing(script, arguments, evaluator);
        assert_eq!(said.code, 1, "{script}: {}", said.err);
        assert_eq!(reasons.first().map(String::as_str), Some(expected), "{script}");
    }
}

#[test]
fn failures_of_single_networks_do_not_end_the_study() {
    // Every other run fails.
    let script = r#"echo run >> runs.txt
[ $(($(wc -l < runs.txt) % 2)) = 0 ] || exit 1
echo '{"error_percent": 1}'"#;
    let sandbox = Scripted { script, ..Scripted::default() }.sandbox();
    let summary = sandbox.search(&["--workers", "1"]);
    assert_eq!((summary["trials"].as_u64(), reasons(&sandbox).len()), (Some(6), 3));
    fs::write(sandbox.path("train.sh"), "echo '{\"error_percent\": 2}'").unwrap();
    sandbox.search(&["--retry-failed"]);
    let events = sandbox.events("scripted");
    let retried = events.iter().position(|event| matches!(event, Event::Retried { .. })).unwrap();
    let is_failed =
        |event: &Event| matches!(event, Event::Trial { trial, .. } if trial.outcome.measurement().is_none());
    assert!(!events[retried..].iter().any(is_failed));
}

#[test]
fn mistakes_in_the_config_leave_no_run_folder() {
    let wrong = |arguments: &str, evaluator: &str| {
        let sandbox = Scripted { arguments, evaluator, ..Scripted::default() }.sandbox();
        let said = sandbox.kiln(&["search", "study.toml"]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(!sandbox.path("runs").exists());
        said.err
    };
    let place = wrong("'{architecture}', '--epochs={epoch}'", "");
    assert!(place.contains("study.toml:5") && place.contains("found `{epoch}`, expected one of"), "{place}");
    assert!(wrong("'train'", "").contains("the program must know the network"));
    assert!(wrong("'{onnx}'", "depends = ['other.py']").contains("`other.py`"));
    assert!(wrong("'{onnx}'", "folder = 'nowhere'").contains("an existing folder"));
    assert!(wrong("'{onnx}'", "epochs = 0").contains("at least 1"));
    let short = Scripted {
        search: "strategy = { kind = 'asha', epochs = [1] }\ntrials = 40",
        evaluator: "epochs = 3",
        ..Scripted::default()
    };
    let said = short.sandbox().kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 2, "without `{{epochs}}` no training is shorter: {}", said.err);
    let finish = Scripted { more: "[finish]", ..Scripted::default() };
    let said = finish.sandbox().kiln(&["search", "study.toml"]);
    assert!(said.code == 2 && said.err.contains("`{weights}` in `evaluator.command`"), "{}", said.err);
}

#[test]
fn changed_dependency_is_refused() {
    let study = Scripted { evaluator: "depends = ['train.sh']", ..Scripted::default() };
    let sandbox = study.sandbox();
    sandbox.search(&[]);
    let longer = fs::read_to_string(sandbox.path("study.toml")).unwrap().replace("trials = 6", "trials = 7");
    fs::write(sandbox.path("study.toml"), longer).unwrap();
    sandbox.search(&[]);
    fs::write(sandbox.path("train.sh"), format!("{SIZE} # changed")).unwrap();
    assert_ne!(sandbox.kiln(&["search", "study.toml", "--json"]).code, 0);
}

#[test]
fn check_runs_nothing_and_try_runs_one_trial() {
    let script = format!("echo run >> runs.txt\n{EPOCHS}\ncp \"$6\" \"$7\"");
    let study = Scripted {
        script: &script,
        arguments: "'{architecture}', '{checkpoint}', '{epochs}', '{result}', '{seed}', '{initial_weights}', \
                    '{weights}'",
        evaluator: "epochs = 9",
        ..Scripted::default()
    };
    let sandbox = study.sandbox();
    let said = sandbox.kiln(&["check", "study.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("not known") && !sandbox.path("runs.txt").exists(), "{}", said.out);
    let said = sandbox.kiln(&["check", "study.toml", "--try"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for expected in ["after 1 of 9 epochs", "epoch 1: error_percent 100", "which fit the network"] {
        assert!(said.out.contains(expected), "{expected}: {}", said.out);
    }
    assert_eq!(fs::read_to_string(sandbox.path("runs.txt")).unwrap(), "run\n");
    assert!(!sandbox.path("runs").exists());
    fs::write(sandbox.path("train.sh"), "echo no >&2; exit 1").unwrap();
    let said = sandbox.kiln(&["check", "study.toml", "--try", "--json"]);
    assert_eq!(said.code, 1);
    let reason = &said.json()["outcome"]["failed"]["reason"];
    assert_eq!(reason, "`sh` failed (exit status: 1) | no");
}

/// The path of the only finished network.
fn finished(sandbox: &Sandbox) -> PathBuf {
    let mut models = fs::read_dir(sandbox.run("scripted").models()).unwrap();
    models.next().unwrap().unwrap().path()
}

/// Reports an error and returns the initial weights as trained ones.
const RETURNING: &str = r#"echo run >> runs.txt; cp "$2" "$3"; echo "{\"error_percent\": $(wc -c < "$1")}""#;

#[test]
fn returned_weights_are_exported_as_they_are() {
    let study = Scripted {
        script: RETURNING,
        arguments: "'{architecture}', '{initial_weights}', '{weights}'",
        more: "[finish]\nformats = ['onnx', 'safetensors']",
        ..Scripted::default()
    };
    let sandbox = study.sandbox();
    sandbox.search(&[]);
    let runs = fs::read_to_string(sandbox.path("runs.txt")).unwrap().lines().count();
    assert_eq!(runs, 6, "the weights of the trial are used");
    let folder = finished(&sandbox);
    let card: Value = serde_json::from_slice(&fs::read(folder.join("card.json")).unwrap()).unwrap();
    let reported = &card["metrics"][0];
    assert_eq!(
        (&reported["name"], &reported["how"]),
        (&"error_percent".into(), &"reported by the command".into())
    );
    assert!(card["training"].as_str().unwrap().contains("by the command `sh train.sh"), "{card}");
    assert!(card.get("test").is_none() && folder.join("model.onnx").is_file());
    let said = sandbox.kiln(&["eval", folder.to_str().unwrap()]);
    assert_eq!(said.code, 2, "without data nothing can be evaluated: {}", said.out);
}

#[test]
fn returned_network_is_measured_and_compressed_with_data() {
    let study = Scripted {
        script: RETURNING,
        arguments: "'{architecture}', '{initial_weights}', '{weights}'",
        more: "[finish]\nrecipes = ['ptq-int8']",
        ..Scripted::default()
    };
    let sandbox = study.sandbox();
    let text = fs::read_to_string(sandbox.path("study.toml")).unwrap();
    let text = text
        .replace("input = [3, 1, 1]\noutputs = 2\n", "")
        .replace("[evaluator]", "[data]\nkind = 'digits'\n[evaluator]");
    fs::write(sandbox.path("study.toml"), text).unwrap();
    let summary = sandbox.search(&[]);
    let metrics = &summary["finished"][0];
    let [plain, int8] = ["test_accuracy_percent", "test_accuracy_percent@ptq-int8"]
        .map(|name| metrics[name].as_f64().unwrap());
    // The network is not trained, so both guess. They are the same network.
    assert!((plain - int8).abs() < 5.0, "{metrics}");
    let folder = finished(&sandbox);
    let said = sandbox.kiln(&["eval", folder.to_str().unwrap(), "--json"]);
    let found = said.json()["metrics"]["test_accuracy_percent"].as_f64().unwrap();
    assert!((found - plain).abs() < 1e-9, "{found}");
}

#[test]
fn weights_that_do_not_fit_fail_the_trial() {
    let study = |script| Scripted {
        script,
        arguments: "'{architecture}', '{weights}'",
        more: "[finish]",
        ..Scripted::default()
    };
    let missing = study("echo '{\"error_percent\": 1}'").sandbox();
    assert_eq!(missing.kiln(&["search", "study.toml"]).code, 1);
    assert_eq!(reasons(&missing)[0], "`sh` wrote no file `{weights}`");
    let other = study("echo rubbish > \"$2\"; echo '{\"error_percent\": 1}'").sandbox();
    assert_eq!(other.kiln(&["search", "study.toml"]).code, 1);
    assert!(
        reasons(&other)[0]
            .starts_with("`sh` wrote `{weights}`, which do not fit: the file is no safetensors")
    );
}
