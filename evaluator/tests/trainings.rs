//! Trains one network for different numbers of epochs. The trainings run at the same time, one after another,
//! or in separate run folders.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kiln_evaluator::data::{DataRegistry, DataSet, Opening};
use kiln_evaluator::{Built, Context, EvaluatorRegistry};
use kiln_export::ExporterRegistry;
use kiln_search::{EvalError, Fidelity, Outcome, Request, RunPaths};
use kiln_space::{Genotype, SearchSpace, Settings, SpaceRegistry};
use serde_json::{Value, json};

const EPOCHS: u32 = 6;

fn settings(path: &str, value: &Value) -> Settings {
    Settings::new(path, value.as_object().unwrap().clone())
}

/// A small space of dense and sparse networks on a few digits. The last batch of an epoch is not full.
struct Parts {
    data: Arc<DataSet>,
    space: Arc<dyn SearchSpace>,
}

impl Parts {
    fn new() -> Self {
        let data = settings("data", &json!({ "limit": 250, "augment": { "shift": 1 } }));
        let data = DataRegistry::builtin().open("digits", &Opening::new(&data, None)).unwrap();
        let space = json!({
            "stem": { "width": 4 },
            "stages": [{ "blocks": "conv", "width": [8, 12], "stride": 2, "sparsity": [0, 0.5] }],
        });
        let space =
            SpaceRegistry::builtin().build("stages", &settings("space", &space), Some(data.task())).unwrap();
        Self { data, space }
    }

    /// Builds the evaluator `scratch` with these settings in a run folder.
    fn build(&self, folder: &Path, more: &Value) -> Built {
        let context = Context {
            study: "test".to_owned(),
            seed: 3,
            space: Arc::clone(&self.space),
            space_settings: "fixed".to_owned(),
            data: Arc::clone(&self.data),
            objectives: Vec::new(),
            cost_origins: BTreeMap::new(),
            costs: kiln_search::CostSet::default(),
            exporters: ExporterRegistry::builtin(),
            folder: folder.to_owned(),
        };
        let mut table = json!({
            "epochs": EPOCHS, "batch": 32, "calibration": 64, "checkpoint_steps": 2,
            "optimizer": { "kind": "adamw", "learning_rate": 0.01 },
        });
        for (key, value) in more.as_object().unwrap() {
            table[key] = value.clone();
        }
        EvaluatorRegistry::builtin().build("scratch", &settings("evaluator", &table), None, context).unwrap()
    }

    fn try_evaluate(&self, built: &Built, genes: [u8; 2], fidelity: Fidelity) -> Result<Outcome, EvalError> {
        let genotype = Genotype::new(genes);
        let architecture = self.space.decode(&genotype).unwrap();
        let request = Request { genotype: &genotype, architecture: &architecture, fidelity, seed: 5 };
        built.evaluator.evaluate(&request)
    }

    /// Returns the outcome of an evaluation. Equal outcomes have equal bits.
    fn evaluate(&self, built: &Built, genes: [u8; 2], fidelity: Fidelity) -> Outcome {
        let outcome = self.try_evaluate(built, genes, fidelity).unwrap();
        assert!(outcome.measurement().is_some(), "{outcome:?}");
        outcome
    }

    /// Returns the outcome of an evaluation in an empty run folder.
    fn alone(&self, more: &Value, genes: [u8; 2], fidelity: Fidelity) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        self.evaluate(&self.build(folder.path(), more), genes, fidelity)
    }
}

/// Names of the entries in a folder of trainings.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn training_resumed_from_shorter_one_equals_training_from_start() {
    let parts = Parts::new();
    let all = [
        json!({}),
        json!({ "ema": 0.9, "warmup_epochs": 2, "clip_norm": 0.5 }),
        json!({ "patience": 1, "optimizer": { "kind": "adamw", "learning_rate": 0.2 } }),
        json!({ "patience": 3, "ema": 0.8, "label_smoothing": 0.1 }),
        json!({ "accumulate": 3, "optimizer": { "kind": "sgd", "learning_rate": 0.1, "momentum": 0.9 } }),
    ];
    let rungs = [Fidelity::Epochs(1), Fidelity::Epochs(3), Fidelity::Epochs(4), Fidelity::Full];
    for more in &all {
        for genes in [[1, 0], [0, 1]] {
            let folder = tempfile::tempdir().unwrap();
            let built = parts.build(folder.path(), more);
            let milestones = RunPaths::new(folder.path()).trainings().join("milestones");
            for (rung, fidelity) in rungs.into_iter().enumerate() {
                let climbed = parts.evaluate(&built, genes, fidelity);
                assert_eq!(climbed, parts.alone(more, genes, fidelity), "{more} {genes:?} {fidelity:?}");
                // Only the checkpoint from which a longer training may resume still exists.
                assert_eq!(names(&milestones).len(), usize::from(rung + 1 < rungs.len()), "{more}");
            }
            assert_eq!(names(&RunPaths::new(folder.path()).trainings()), ["milestones"]);
            // Repeating a short training yields the same outcome, although longer trainings have run since.
            assert_eq!(
                parts.evaluate(&built, genes, Fidelity::Epochs(1)),
                parts.alone(more, genes, Fidelity::Epochs(1))
            );
        }
    }
}

#[test]
fn fidelities_of_one_network_train_in_parallel() {
    let parts = Parts::new();
    let more = json!({ "checkpoint_steps": 1 });
    let rungs = [Fidelity::Full, Fidelity::Epochs(1), Fidelity::Epochs(3), Fidelity::Epochs(2)];
    let genes = [1, 1];
    let expected = rungs.map(|fidelity| parts.alone(&more, genes, fidelity));
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let built = parts.build(folder.path(), &more);
        let found = thread::scope(|scope| {
            let workers = rungs.map(|fidelity| {
                let (parts, built) = (&parts, &built);
                scope.spawn(move || parts.evaluate(built, genes, fidelity))
            });
            workers.map(|worker| worker.join().unwrap())
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn training_in_progress_refuses_second_caller() {
    let parts = Parts::new();
    let folder = tempfile::tempdir().unwrap();
    let built = parts.build(folder.path(), &json!({ "epochs": 60, "checkpoint_steps": 1 }));
    let trainings = RunPaths::new(folder.path()).trainings();
    let running = || -> Option<PathBuf> {
        let name = names(&trainings).into_iter().find(|name| name.starts_with("trial-"))?;
        Some(trainings.join(name))
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| parts.evaluate(&built, [0, 0], Fidelity::Full));
        let checkpoint =
            || running().filter(|folder| names(folder).iter().any(|name| name.ends_with("ckpt")));
        while checkpoint().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        match parts.try_evaluate(&built, [0, 0], Fidelity::Full) {
            Err(EvalError::Held { path }) => assert_eq!(Some(path), running()),
            other => panic!("a second writer of one folder: {other:?}"),
        }
        // A training with another schedule length has its own folder.
        parts.evaluate(&built, [0, 0], Fidelity::Epochs(1));
        first.join().unwrap();
    });
    assert_eq!(running(), None);
}
