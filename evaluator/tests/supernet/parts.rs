//! A small supernet on a few embedded digits, and a progress callback that interrupts the training.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kiln_evaluator::data::{DataRegistry, DataSet, Opening, ReadingRules};
use kiln_evaluator::{Built, Context, EvaluatorRegistry};
use kiln_export::ExporterRegistry;
use kiln_search::{Fidelity, Outcome, Progress, Request};
use kiln_space::{Genotype, SearchSpace, Settings, SettingsError, SpaceRegistry};
use serde_json::{Value, json};

pub(crate) fn settings(path: &str, value: &Value) -> Settings {
    Settings::new(path, value.as_object().expect("a table").clone())
}

pub(crate) fn data() -> Arc<DataSet> {
    let table = settings("data", &json!({ "limit": 300, "augment": { "shift": 1 } }));
    // Uses the first reading rules, because the pinned results were computed with the examples that those
    // rules select.
    let opening = Opening { rules: ReadingRules::First, ..Opening::new(&table, None) };
    DataRegistry::builtin().open("digits", &opening).expect("embedded")
}

pub(crate) fn space(data: &DataSet) -> Arc<dyn SearchSpace> {
    let table = json!({
        "stem": { "width": [4, 8] },
        "stages": [
            { "blocks": ["conv", "mbconv"], "depth": [1, 2], "width": [8, 12], "kernel": [3, 5],
              "expansion": [2], "squeeze_excitation": [false, true], "stride": 2 },
        ],
    });
    SpaceRegistry::builtin().build("stages", &settings("space", &table), Some(data.task())).expect("a space")
}

pub(crate) fn context(folder: &Path, data: &Arc<DataSet>, space: &Arc<dyn SearchSpace>) -> Context {
    Context {
        study: "test".to_owned(),
        seed: 3,
        space: Arc::clone(space),
        space_settings: "fixed".to_owned(),
        data: Arc::clone(data),
        objectives: Vec::new(),
        cost_origins: BTreeMap::new(),
        costs: kiln_search::CostSet::default(),
        exporters: ExporterRegistry::builtin(),
        folder: folder.to_owned(),
    }
}

/// Builds the supernet evaluator with the settings `extra`.
pub(crate) fn try_build(context: Context, extra: &Value, finish: &Value) -> Result<Built, SettingsError> {
    let mut table = json!({
        "epochs": 3, "batch": 32, "subnets": 3, "calibration": 64, "checkpoint_steps": 4,
        "optimizer": { "kind": "sgd", "learning_rate": 0.1 },
    });
    for (key, value) in extra.as_object().expect("a table") {
        table[key] = value.clone();
    }
    let (evaluator, finish) = (settings("evaluator", &table), settings("finish", finish));
    EvaluatorRegistry::builtin().build("supernet", &evaluator, Some(&finish), context)
}

pub(crate) fn build(folder: &Path, extra: &Value) -> (Built, Arc<dyn SearchSpace>, Arc<DataSet>) {
    let data = data();
    let space = space(&data);
    let finish = json!({ "epochs": 12, "calibration": 64 });
    let built = try_build(context(folder, &data, &space), extra, &finish);
    (built.expect("valid settings"), space, data)
}

/// A progress callback that requests a stop after the stop flag was read this many times.
pub(crate) struct StopAfter(pub(crate) AtomicU64);

impl Progress for StopAfter {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

pub(crate) fn never() -> StopAfter {
    StopAfter(AtomicU64::new(u64::MAX))
}

pub(crate) fn evaluate(built: &Built, space: &dyn SearchSpace, genotype: &Genotype) -> Outcome {
    let architecture = space.decode(genotype).expect("a sample decodes");
    let request = Request { genotype, architecture: &architecture, fidelity: Fidelity::Full, seed: 1 };
    built.evaluator.evaluate(&request).expect("the environment is whole")
}
