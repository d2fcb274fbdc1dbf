//! Failed trials are results: they are recorded with their reason, and the search continues.

use std::path::Path;
use std::sync::Arc;

use kiln::assembly::{Folders, Registries};
use kiln::config::{Document, RunConfig};
use kiln_evaluator::{Built, Context, Workload};
use kiln_search::{
    EvalError, Evaluator, FailureKind, Measurement, Outcome, Progress, Request, RunFolder, Status, Trial,
};
use kiln_space::{Settings, SettingsError};
use toml::Value;

use crate::sandbox::{Sandbox, set, tiny_quickstart};

/// Evaluates networks by their number of parameters. Some networks diverge, and some cause a panic.
struct Brittle;

impl Evaluator for Brittle {
    fn prepare(&self, _progress: &dyn Progress) -> Result<(), EvalError> {
        Ok(())
    }

    fn fingerprint(&self) -> String {
        "brittle".to_owned()
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        let parameters = request.architecture.counts().parameters;
        match parameters % 5 {
            0 => panic!("{parameters} parameters are too many"),
            1 => Ok(Outcome::Failed { kind: FailureKind::Diverged, reason: "the loss is NaN".to_owned() }),
            _ => {
                let metrics = [("error_percent".to_owned(), 1e5 / parameters as f64)].into();
                Ok(Outcome::Measured(Measurement::new(metrics).unwrap()))
            }
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "builders may refuse their settings")]
fn brittle(_: &Settings, _: Option<&Settings>, _: Context) -> Result<Built, SettingsError> {
    let (metrics, optional) = (vec!["error_percent".to_owned()], Vec::new());
    let workload = Workload::default();
    Ok(Built { evaluator: Arc::new(Brittle), finisher: None, compressor: None, workload, metrics, optional })
}

#[test]
fn failed_trials_are_recorded_and_search_continues() {
    let mut config = tiny_quickstart("brittle");
    config.remove("finish");
    config.insert(
        "evaluator".to_owned(),
        Value::Table([("kind".to_owned(), "brittle".into())].into_iter().collect()),
    );
    set(&mut config, "search", "trials", 60.into());
    set(&mut config, "search", "panics_in_a_row", 60.into());
    let sandbox = Sandbox::new("");
    let document = Document::parse(Path::new("study.toml"), &config.to_string()).unwrap();
    let config = RunConfig::from_document(document, None).unwrap();
    let mut registries = Registries::builtin();
    registries.evaluators.register("brittle", "fails often", brittle);
    let runs = sandbox.path("runs");
    let assembly = registries.build(config, Folders { data: None, runs: &runs }).unwrap();
    let (paths, text) = (assembly.paths.clone(), assembly.config.document.to_toml());
    let mut study = assembly.into_study();
    study.settings.workers = 2;
    let folder = RunFolder::open(&paths, &text, &[]).unwrap();
    let summary = study.run(&folder).unwrap();
    drop(folder);

    assert_eq!((summary.status, summary.trials), (Status::Completed, 60));
    let trials: Vec<Trial> = sandbox
        .events("brittle")
        .into_iter()
        .filter_map(|event| match event {
            kiln_search::Event::Trial { trial, .. } => Some(trial),
            _ => None,
        })
        .collect();
    let failed = |wanted: FailureKind, part: &str| {
        let matching = trials.iter().filter(|trial| match &trial.outcome {
            Outcome::Failed { kind, reason } => *kind == wanted && reason.contains(part),
            Outcome::Measured(_) => false,
        });
        matching.count()
    };
    assert!(failed(FailureKind::Panicked, "parameters are too many") > 0);
    assert!(failed(FailureKind::Diverged, "the loss is NaN") > 0);
    assert!(!summary.front.is_empty());
}

#[test]
fn diverging_trainings_are_recorded() {
    let mut config = tiny_quickstart("diverging");
    config.remove("finish");
    let optimizer: Value = "kind = \"sgd\"\nlearning_rate = 100.0".parse::<toml::Table>().unwrap().into();
    let evaluator = [("kind", "scratch".into()), ("epochs", 1.into()), ("optimizer", optimizer)];
    let evaluator =
        evaluator.map(|(key, value): (&str, Value)| (key.to_owned(), value)).into_iter().collect();
    config.insert("evaluator".to_owned(), Value::Table(evaluator));
    set(&mut config, "search", "trials", 4.into());
    let sandbox = Sandbox::new(&config.to_string());
    let said = sandbox.kiln(&["search", "study.toml", "--json"]);
    let report = said.json();
    assert_eq!(report["trials"], 4);
    let failed: u64 =
        report["failed"].as_array().unwrap().iter().map(|group| group["count"].as_u64().unwrap()).sum();
    assert!(failed > 0, "{report}");
    assert_eq!(said.code, i32::from(failed == 4), "{}", said.err);
    let journal = std::fs::read_to_string(sandbox.run("diverging").journal()).unwrap();
    assert!(journal.contains("diverged"), "{journal}");
}
