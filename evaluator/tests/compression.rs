//! Networks with sparse layers and 8-bit layers, evaluated and finished on a few embedded digits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kiln_evaluator::data::{DataRegistry, DataSet, Opening, Split};
use kiln_evaluator::{
    Built, Context, ConversionError, EvaluatorRegistry, in_8_bits, in_single_precision, predict,
};
use kiln_export::{ExporterRegistry, TrainedModel, run_reference};
use kiln_search::{
    Costs, EvalError, Fidelity, Objectives, Origin, Outcome, Progress, Proposal, Request, Trial,
};
use kiln_space::{
    Architecture, Decision, Genotype, Layer, NumberFormat, Op, ParameterSpec, Precision, SearchSpace,
    Settings, SpaceError, SpaceRegistry,
};
use serde_json::{Value, json};

fn settings(path: &str, value: &Value) -> Settings {
    Settings::new(path, value.as_object().expect("a table").clone())
}

fn digits(limit: usize) -> Arc<DataSet> {
    let table = settings("data", &json!({ "limit": limit }));
    DataRegistry::builtin().open("digits", &Opening::new(&table, None)).expect("embedded")
}

/// A genotype chooses the number format and the sparsity of the only stage. Stem and head always have 8-bit
/// values and are never pruned.
fn space(data: &DataSet) -> Arc<dyn SearchSpace> {
    let table = json!({
        "stem": { "width": 8, "precision": "int8" },
        "head": { "precision": "int8" },
        "stages": [{ "blocks": "residual", "width": 16, "stride": 2,
            "precision": ["f32", "int8"], "sparsity": [0, 0.5, "2:4"] }],
    });
    SpaceRegistry::builtin().build("stages", &settings("space", &table), Some(data.task())).expect("a space")
}

fn build(kind: &str, folder: &Path, data: &Arc<DataSet>, epochs: u32) -> (Built, Arc<dyn SearchSpace>) {
    build_with(kind, folder, data, epochs, &json!({ "epochs": 6, "calibration": 128 }))
}

fn build_with(
    kind: &str,
    folder: &Path,
    data: &Arc<DataSet>,
    epochs: u32,
    finish: &Value,
) -> (Built, Arc<dyn SearchSpace>) {
    build_in(space(data), kind, folder, data, epochs, finish)
}

fn build_in(
    space: Arc<dyn SearchSpace>,
    kind: &str,
    folder: &Path,
    data: &Arc<DataSet>,
    epochs: u32,
    finish: &Value,
) -> (Built, Arc<dyn SearchSpace>) {
    let context = Context {
        study: "test".to_owned(),
        seed: 3,
        space: Arc::clone(&space),
        space_settings: "fixed".to_owned(),
        data: Arc::clone(data),
        objectives: Vec::new(),
        cost_origins: BTreeMap::new(),
        costs: kiln_search::CostSet::default(),
        exporters: ExporterRegistry::builtin(),
        folder: folder.to_owned(),
    };
    let optimizer = json!({ "kind": "sgd", "learning_rate": 0.1 });
    let mut table = json!({ "epochs": epochs, "batch": 32, "calibration": 128, "optimizer": optimizer });
    if kind == "supernet" {
        table["subnets"] = 2.into();
    }
    let finish = settings("finish", finish);
    let built =
        EvaluatorRegistry::builtin().build(kind, &settings("evaluator", &table), Some(&finish), context);
    (built.expect("valid settings"), space)
}

struct Quiet;

impl Progress for Quiet {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        false
    }
}

fn loss(built: &Built, space: &dyn SearchSpace, genes: [u8; 2]) -> f64 {
    let genotype = Genotype::new(genes);
    let architecture = space.decode(&genotype).expect("a genotype decodes");
    let request =
        Request { genotype: &genotype, architecture: &architecture, fidelity: Fidelity::Full, seed: 1 };
    match built.evaluator.evaluate(&request).expect("the environment is whole") {
        Outcome::Measured(measured) => measured.get("loss_nats").expect("it is measured"),
        failed @ Outcome::Failed { .. } => panic!("{failed:?}"),
    }
}

fn trial(genes: [u8; 2]) -> Trial {
    let outcome = Outcome::Failed { kind: kiln_search::FailureKind::Invalid, reason: String::new() };
    let proposal =
        Proposal { genotype: Genotype::new(genes), fidelity: Fidelity::Full, origin: Origin::default() };
    let (costs, objectives) = (Costs::default(), Objectives::default());
    Trial { id: 1, proposal, outcome, costs, objectives, violation: 0.0 }
}

fn finished(built: &Built, genes: [u8; 2]) -> (TrainedModel, f64) {
    let into = tempfile::tempdir().expect("a folder");
    let finisher = built.finisher.as_ref().expect("there is a finish table");
    let finished = finisher.finish(&trial(genes), into.path(), &Quiet).expect("it is finished");
    assert!(into.path().join("model.onnx").exists());
    let model = TrainedModel::load(&into.path().join("model.kiln")).expect("it was just written");
    (model, finished.metrics["test_accuracy_percent"])
}

/// Accuracy on the test split, in percent.
fn accuracy(data: &DataSet, logits: &[f32]) -> f64 {
    let test = data.split(Split::Test);
    let right = logits.chunks_exact(10).zip(test).filter(|(row, example)| {
        let top = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("ten classes");
        top == data.label(**example) as usize
    });
    100.0 * right.count() as f64 / test.len() as f64
}

fn raw(data: &DataSet) -> Vec<f32> {
    data.split(Split::Test).iter().flat_map(|example| data.example(*example)).copied().collect()
}

fn zeros(model: &TrainedModel, array: &str) -> f64 {
    let data = &model.arrays[array].data;
    data.iter().filter(|value| **value == 0.0).count() as f64 / data.len() as f64
}

#[test]
fn subnet_estimate_depends_on_sparsity_and_precision() {
    let folder = tempfile::tempdir().unwrap();
    let data = digits(400);
    let (built, space) = build("supernet", folder.path(), &data, 12);
    built.evaluator.prepare(&Quiet).unwrap();
    let losses = [[0, 0], [1, 0], [0, 1], [0, 2]].map(|genes| loss(&built, space.as_ref(), genes));
    let [float, int8, half, pattern] = losses;
    for (index, loss) in losses.iter().enumerate() {
        assert!(losses[..index].iter().all(|earlier| (earlier - loss).abs() > 1e-9), "{losses:?}");
    }
    assert!((int8 - float).abs() < 0.1, "8 bits change little: {losses:?}");
    assert!(half > float && pattern > float, "taking half of the weights away at once costs: {losses:?}");
    let again = loss(&built, space.as_ref(), [1, 2]);
    assert!((again - loss(&built, space.as_ref(), [1, 2])).abs() < 1e-15, "judging is pure");
}

#[test]
fn finished_network_keeps_zeros_and_runs_in_8_bits() {
    let folder = tempfile::tempdir().unwrap();
    let data = digits(400);
    let (built, _) = build("scratch", folder.path(), &data, 6);
    let (model, measured) = finished(&built, [1, 2]);
    // Quantization grids exist for the stem, the block's two convolutions and shortcut, the sum, and the
    // pooling. The head has no grid, because it produces the network's output.
    let grids: Vec<&str> = model.quantization.keys().map(String::as_str).collect();
    let block = "stage0.block0.residual";
    let expected = ["a.act", "act", "b.bn", "shortcut.bn"].map(|part| format!("{block}.{part}"));
    let others =
        ["head.pool", "input"].into_iter().chain(expected.iter().map(String::as_str)).chain(["stem.act"]);
    assert_eq!(grids, others.collect::<Vec<_>>());
    assert!((zeros(&model, &format!("{block}.b.conv.weight")) - 0.5).abs() < 1e-9, "two of four are kept");
    assert!(zeros(&model, "stem.conv.weight") < 0.1, "the stem is dense");

    let raw = raw(&data);
    let logits = predict(&model, &raw);
    assert!((accuracy(&data, &logits) - measured).abs() < 1e-9, "what is predicted is what was measured");
    assert!(measured > 60.0, "it has learned something: {measured} %");
    assert!(model.card.training.ends_with("rounded to 8 bits at the end"), "{}", model.card.training);
    let reference = run_reference(&model, &raw, data.split(Split::Test).len()).unwrap();
    let agree = accuracy(&data, &reference) - measured;
    assert!(agree.abs() < 2.0, "integers give {agree} points more");
}

#[test]
fn conversion_to_8_bits_and_back_restores_network() {
    let folder = tempfile::tempdir().unwrap();
    let data = digits(400);
    let (built, _) = build("scratch", folder.path(), &data, 6);
    let (mixed, measured) = finished(&built, [0, 0]);
    assert!(!mixed.quantization.is_empty(), "stem and head are of 8 bits");
    let raw = raw(&data);
    let float = in_single_precision(&mixed);
    float.check().unwrap();
    assert!(float.quantization.is_empty());
    assert!((accuracy(&data, &predict(&float, &raw)) - measured).abs() < 5.0);
    let int8 = in_8_bits(&float, &data).unwrap();
    int8.check().unwrap();
    assert!(int8.card.training.ends_with("rounded to 8 bits afterwards"), "{}", int8.card.training);
    assert!(int8.quantization.len() > mixed.quantization.len());
    assert!((accuracy(&data, &predict(&int8, &raw)) - measured).abs() < 5.0);
    // Equal images produce equal quantization grids.
    assert_eq!(int8.quantization["input"], mixed.quantization["input"]);
    let refused = in_8_bits(&float, &digits(300)).unwrap_err();
    assert_eq!(refused, ConversionError::OtherData { what: "mean or deviation" });
}

/// A progress callback that requests a stop after a number of steps. It also counts steps and warnings.
#[derive(Default)]
struct Steps {
    most: u64,
    done: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

impl Progress for Steps {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.most || {
            self.done.fetch_add(1, Ordering::Relaxed);
            false
        }
    }

    fn warn(&self, message: &str) {
        self.warnings.lock().expect("no holder panics").push(message.to_owned());
    }
}

#[test]
fn interrupted_finishing_resumes_to_same_network() {
    let finish = json!({
        "epochs": 6, "calibration": 128, "ema": 0.9, "patience": 6, "train_on_validation": false,
        "checkpoint_steps": 4,
    });
    let data = digits(300);
    let run = |folder: &Path, into: &Path, most: u64| {
        let (built, _) = build_with("scratch", folder, &data, 6, &finish);
        let steps = Steps { most, ..Steps::default() };
        // Training sets half of the weights to zero.
        let result = built.finisher.unwrap().finish(&trial([0, 1]), into, &steps);
        (result, steps.done.into_inner())
    };
    let [whole, pieces, one, other] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let (finished, all) = run(whole.path(), one.path(), u64::MAX);
    let finished = finished.unwrap();
    let mut done = 0;
    // The training stops between two checkpoints, on a checkpoint, in the second half (in which the masks do
    // not change), and at the start.
    for most in [5, 3, all / 2, 0] {
        let (result, steps) = run(pieces.path(), other.path(), most);
        assert!(matches!(result, Err(EvalError::Interrupted)), "{result:?}");
        done += steps;
    }
    let (resumed, rest) = run(pieces.path(), other.path(), u64::MAX);
    assert_eq!(done + rest, all, "no step is taken twice");
    assert_eq!(resumed.unwrap().metrics, finished.metrics);
    let model = |folder: &Path| std::fs::read(folder.join("model.kiln")).unwrap();
    assert!(model(one.path()) == model(other.path()), "the same bits");
    // A training does not resume from the checkpoints of another network.
    let (result, steps) = run(tempfile::tempdir().unwrap().path(), other.path(), 1);
    assert!(matches!(result, Err(EvalError::Interrupted)) && steps == 1);
}

/// A space whose last convolution has 8-bit weights, but activations in single precision.
struct WeightsAlone(Arc<dyn SearchSpace>);

impl SearchSpace for WeightsAlone {
    fn decisions(&self) -> &[Decision] {
        self.0.decisions()
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        let mut architecture = self.0.decode(genotype)?;
        let convolution = |layer: &&mut Layer| matches!(layer.op, Op::Conv2d { .. });
        let layer = architecture.layers.iter_mut().rfind(convolution).expect("the space has convolutions");
        layer.precision = Precision { weights: NumberFormat::Int8, activations: NumberFormat::F32 };
        Ok(architecture)
    }

    fn canonical(&self, genotype: &Genotype) -> Genotype {
        self.0.canonical(genotype)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        self.0.parameters()
    }
}

/// Finishes an 8-bit network, and returns the files that finishing writes and the warnings.
fn written(space: impl Fn(&DataSet) -> Arc<dyn SearchSpace>, formats: &[&str]) -> (Vec<String>, Vec<String>) {
    let (folder, into) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let data = digits(200);
    let finish = json!({ "epochs": 1, "calibration": 64, "formats": formats });
    let (built, _) = build_in(space(&data), "scratch", folder.path(), &data, 1, &finish);
    let steps = Steps { most: u64::MAX, ..Steps::default() };
    let finished =
        built.finisher.expect("a finisher").finish(&trial([1, 0]), into.path(), &steps).expect("it finishes");
    let files = finished.files.into_iter().map(|file| file.name).collect();
    (files, steps.warnings.into_inner().expect("no holder panics"))
}

#[test]
fn every_format_exports_8_bit_network() {
    let (files, warnings) = written(space, &["onnx", "rust", "safetensors"]);
    for file in ["model.onnx", "model.safetensors", "rust/src/integers.rs", "rust/weights.safetensors"] {
        assert!(files.iter().any(|found| found == file), "{file} is not among {files:?}");
    }
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn unsupported_format_is_skipped_with_warning() {
    let (files, warnings) = written(|data| Arc::new(WeightsAlone(space(data))), &["rust", "safetensors"]);
    assert_eq!(files, ["model.safetensors", "model.kiln", "card.json"]);
    assert!(
        warnings.len() == 1 && warnings[0].contains("as `rust`") && warnings[0].contains("int8 weights"),
        "{warnings:?}"
    );
}
