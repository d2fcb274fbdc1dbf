//! Recipes of compression, on a network that was finished on a few embedded digits.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kiln_evaluator::data::{DataRegistry, DataSet, Opening, Split};
use kiln_evaluator::{
    Built, Compressed, CompressionError, Context, EvaluatorRegistry, RecipeRegistry, predict,
};
use kiln_export::{Exporter, ExporterRegistry, Onnx, TrainedModel, run_reference};
use kiln_search::{Costs, EvalError, Fidelity, Objectives, Origin, Outcome, Progress, Proposal, Trial};
use kiln_space::{Genotype, NumberFormat, Op, Settings, SpaceRegistry, Sparsity};
use serde_json::{Value, json};
use tempfile::TempDir;

fn settings(path: &str, value: &Value) -> Settings {
    Settings::new(path, value.as_object().unwrap().clone())
}

/// A study whose network is finished, and its compressor.
struct Study {
    folder: TempDir,
    built: Built,
    data: Arc<DataSet>,
}

/// Ends the work when it was asked `left` times whether it should stop.
struct Impatient {
    left: AtomicU64,
}

impl Impatient {
    fn never() -> Self {
        Self::after(u64::MAX)
    }

    fn after(questions: u64) -> Self {
        Self { left: AtomicU64::new(questions) }
    }
}

impl Progress for Impatient {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

impl Study {
    fn new(kind: &str, finish: &Value) -> Self {
        let table = settings("data", &json!({ "limit": 600 }));
        let data = DataRegistry::builtin().open("digits", &Opening::new(&table, None)).unwrap();
        let table = json!({
            "stem": { "width": 8 },
            "stages": [{ "blocks": "residual", "width": [16, 24], "stride": 2 }],
        });
        let space =
            SpaceRegistry::builtin().build("stages", &settings("space", &table), Some(data.task())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            study: "test".to_owned(),
            seed: 3,
            space: Arc::clone(&space),
            space_settings: "fixed".to_owned(),
            data: Arc::clone(&data),
            objectives: Vec::new(),
            cost_origins: BTreeMap::new(),
            costs: kiln_search::CostSet::default(),
            exporters: ExporterRegistry::builtin(),
            folder: folder.path().to_owned(),
        };
        let optimizer = json!({ "kind": "sgd", "learning_rate": 0.1 });
        let table = json!({ "epochs": 12, "batch": 32, "calibration": 128, "optimizer": optimizer });
        let built = EvaluatorRegistry::builtin().build(
            kind,
            &settings("evaluator", &table),
            Some(&settings("finish", finish)),
            context,
        );
        Self { folder, built: built.unwrap(), data }
    }

    fn scratch() -> Self {
        Self::new("scratch", &json!({ "calibration": 128, "checkpoint_steps": 7 }))
    }

    /// Finishes the smaller network of the space.
    fn finished(&self, into: &Path) -> (TrainedModel, BTreeMap<String, f64>, Vec<String>) {
        let outcome = Outcome::Failed { kind: kiln_search::FailureKind::Invalid, reason: String::new() };
        let genotype = Genotype::new([0]);
        let proposal = Proposal { genotype, fidelity: Fidelity::Full, origin: Origin::default() };
        let (costs, objectives) = (Costs::default(), Objectives::default());
        let trial = Trial { id: 1, proposal, outcome, costs, objectives, violation: 0.0 };
        std::fs::create_dir_all(into).unwrap();
        let finisher = self.built.finisher.as_ref().unwrap();
        let finished = finisher.finish(&trial, into, &Impatient::never()).unwrap();
        let files = finished.files.into_iter().map(|file| file.name).collect();
        (TrainedModel::load(&into.join("model.kiln")).unwrap(), finished.metrics, files)
    }

    fn compress(
        &self,
        model: &TrainedModel,
        recipe: &str,
        name: &str,
        progress: &Impatient,
    ) -> Result<(TrainedModel, Compressed), CompressionError> {
        let combination = RecipeRegistry::builtin().read(recipe)?;
        let place = self.folder.path().join(name);
        let training = self.folder.path().join(format!("{name}.training"));
        let compressor = self.built.compressor.as_ref().unwrap();
        let record = compressor.compress(model, &combination, (&place, &training), progress)?;
        assert!(!training.exists(), "checkpoints are removed");
        Ok((TrainedModel::load(&place.join("model.kiln")).unwrap(), record))
    }

    fn raw(&self) -> Vec<f32> {
        self.data.split(Split::Test).iter().flat_map(|example| self.data.example(*example)).copied().collect()
    }
}

fn accuracy(record: &Compressed) -> f64 {
    record.metrics["test_accuracy_percent"]
}

fn bytes_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    };
    std::fs::read_dir(folder).unwrap().map(file).collect()
}

#[test]
fn every_recipe_keeps_the_accuracy_and_runs_in_the_reference_interpreter() {
    let study = Study::scratch();
    let (model, metrics, _) = study.finished(&study.folder.path().join("finished"));
    let before = metrics["test_accuracy_percent"];
    let raw = study.raw();
    let examples = study.data.split(Split::Test).len();
    // Points of accuracy that each recipe may lose on 120 examples.
    let recipes = [
        ("ptq-int8", 2.0),
        ("qat-int8", 2.0),
        ("int4:calibration=mse", 12.0),
        ("qat-int4:epochs=6", 6.0),
        ("f16", 0.1),
        ("codebook-16", 5.0),
        ("unstructured-0.7:epochs=8", 6.0),
        ("2:4:epochs=8", 6.0),
        ("structured-0.5:epochs=16", 8.0),
    ];
    for (recipe, lost) in recipes {
        let name = recipe.replace([':', '='], "_");
        let (small, record) = study.compress(&model, recipe, &name, &Impatient::never()).unwrap();
        let found = accuracy(&record);
        assert!(found >= before - lost, "{recipe}: {found} % after {before} %");
        let own = predict(&small, &raw);
        let reference = run_reference(&small, &raw, examples).unwrap();
        let top = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        let agree = own.chunks(10).zip(reference.chunks(10)).filter(|(a, b)| top(a) == top(b)).count();
        assert!(agree + 1 >= examples, "{recipe}: {agree} of {examples} classes agree");
        let has_kernel = |op: &Op| matches!(op, Op::Conv2d { .. } | Op::Linear { .. });
        let layers = small.architecture.layers.iter().filter(|layer| has_kernel(&layer.op));
        for layer in layers {
            let weights = layer.precision.weights;
            match recipe.split(':').next().unwrap() {
                "ptq-int8" | "qat-int8" => assert_eq!(weights, NumberFormat::Int8, "{recipe}"),
                "int4" | "qat-int4" => assert_eq!(weights, NumberFormat::Int4, "{recipe}"),
                "f16" => assert_eq!(weights, NumberFormat::F16),
                "unstructured-0.7" => {
                    assert_eq!(layer.sparsity, Sparsity::Unstructured { permille: 700 });
                    let data = &small.arrays[&format!("{}.weight", layer.name)].data;
                    let zeros = data.iter().filter(|weight| **weight == 0.0).count();
                    assert_eq!(zeros, data.len() * 700 / 1000, "{}", layer.name);
                }
                _ => {}
            }
        }
        if recipe.starts_with("structured") {
            assert!(2 * record.macs <= model.architecture.counts().macs, "{}", record.macs);
        }
        assert!(record.weight_bytes <= model.weight_bytes(), "{recipe}");
    }
}

/// A training that makes the network worse is dropped: the result is the network as it was rounded before.
#[test]
fn training_that_harms_a_rounded_network_is_dropped() {
    let study = Study::scratch();
    let (model, metrics, _) = study.finished(&study.folder.path().join("finished"));
    let before = metrics["test_accuracy_percent"];
    let mut dropped = 0;
    for rate in ["0.3", "0.6", "1000"] {
        let recipe = format!("qat-int8:learning-rate={rate}");
        let name = format!("harmed-{rate}");
        let (small, record) = study.compress(&model, &recipe, &name, &Impatient::never()).unwrap();
        let found = accuracy(&record);
        assert!(found >= before - 3.0, "{recipe}: {found} % after {before} %");
        dropped += u32::from(small.card.training.ends_with("without training, which made it worse"));
    }
    assert!(dropped > 0, "no training was harmful");
}

#[test]
fn interrupted_recipes_continue_to_the_same_bytes_and_finished_ones_are_not_repeated() {
    let study = Study::scratch();
    let (model, ..) = study.finished(&study.folder.path().join("finished"));
    let recipe = "unstructured-0.5:epochs=2+qat-int8:epochs=2";
    let whole = study.compress(&model, recipe, "whole", &Impatient::never()).unwrap().1;
    let mut stops = 0;
    for questions in [1, 9, 25, 33, 50, 70] {
        match study.compress(&model, recipe, "cut", &Impatient::after(questions)) {
            Err(CompressionError::Eval(EvalError::Interrupted)) => stops += 1,
            Err(error) => panic!("{error}"),
            Ok(_) => break,
        }
    }
    assert!(stops >= 3, "the training was interrupted only {stops} times");
    let cut = study.compress(&model, recipe, "cut", &Impatient::never()).unwrap().1;
    assert_eq!(whole, cut);
    let [whole, cut] = ["whole", "cut"].map(|name| bytes_in(&study.folder.path().join(name)));
    assert_eq!(whole.keys().collect::<Vec<_>>(), cut.keys().collect::<Vec<_>>());
    assert!(whole == cut, "the files differ");
    // A finished recipe asks nothing and trains nothing.
    study.compress(&model, recipe, "cut", &Impatient::after(0)).unwrap();
    let changed = study.folder.path().join("cut").join("card.json");
    std::fs::write(&changed, "{}").unwrap();
    let again = study.compress(&model, recipe, "cut", &Impatient::after(0));
    assert!(
        matches!(again, Err(CompressionError::Eval(EvalError::Interrupted))),
        "a changed file is noticed"
    );
}

#[test]
fn a_limit_on_the_loss_leaves_layers_in_single_precision_or_says_what_is_reached() {
    let study = Study::scratch();
    let (model, ..) = study.finished(&study.folder.path().join("finished"));
    let (_, record) = study.compress(&model, "ptq-int8:max-loss=5", "loose", &Impatient::never()).unwrap();
    assert!(record.weight_bytes < model.weight_bytes());
    let layers = study.built.compressor.as_ref().unwrap().sensitivity(&model, &Impatient::never()).unwrap();
    assert!(layers.len() >= 4, "{layers:?}");
    for layer in &layers {
        assert!(layer.bytes_saved > 0 && layer.signal_to_noise_db.unwrap() > 10.0, "{layer:?}");
        let int8 = layer.architecture.layers.iter().filter(|found| {
            found.precision.weights == NumberFormat::Int8
                && matches!(found.op, Op::Conv2d { .. } | Op::Linear { .. })
        });
        assert_eq!(int8.count(), 1, "{}", layer.layer);
    }
}

#[test]
fn teachers_with_other_classes_and_unfit_recipes_are_refused_and_nothing_is_written() {
    let study = Study::scratch();
    let (model, ..) = study.finished(&study.folder.path().join("finished"));
    let teacher = study.folder.path().join("teacher.kiln");
    let mut other = model.clone();
    other.card.classes[0] = "zero".to_owned();
    other.card.test = None;
    other.save(&teacher).unwrap();
    let never = Impatient::never();
    let refused = |recipe: &str, name: &str| {
        let error = study.compress(&model, recipe, name, &never).map(|_| ()).unwrap_err();
        assert!(error.is_callers(), "{recipe}: {error}");
        assert!(!study.folder.path().join(name).exists(), "{recipe}");
        error.to_string()
    };
    let taught = format!("distill:epochs=2;teacher={}", teacher.display());
    assert!(refused(&taught, "a").contains("cannot teach this network"), "{}", refused(&taught, "a"));
    assert!(refused("distill:teacher=supernet", "b").contains("no supernet"));
    assert!(refused("distill:teacher=x.pt", "c").contains("a teacher is a model file"));
    assert!(refused("ptq-int8+unstructured-0.5", "d").contains("not in single precision any more"));
    assert!(refused("ptq-int8:examples=0", "e").contains("calibration gives no values"));
    assert!(refused("structured-0.999", "f").contains("the best reached is"));
    assert!(refused("structured:latency=0.5", "g").contains("no `[[hardware]]`"));
    other.card.classes[0].clone_from(&model.card.classes[0]);
    other.save(&teacher).unwrap();
    let (_, record) = study.compress(&model, "structured-0.7:epochs=4+distill", "own", &never).unwrap();
    assert!(accuracy(&record) > 70.0, "{record:?}");
    let features = format!("{taught};features=1;temperature=2;share=0.7");
    let (_, record) = study.compress(&model, &features, "h", &never).unwrap();
    assert!(accuracy(&record) > 70.0, "{record:?}");
    let onnx = study.folder.path().join("teacher.onnx");
    let mut bytes = Vec::new();
    Onnx.export(&other, &mut bytes).unwrap();
    std::fs::write(&onnx, bytes).unwrap();
    let taught = format!("distill:epochs=2;teacher={}", onnx.display());
    let (_, record) = study.compress(&model, &taught, "i", &never).unwrap();
    assert!(accuracy(&record) > 70.0, "{record:?}");
}

#[test]
fn finishing_applies_recipes_and_records_their_results_and_files() {
    let finish =
        json!({ "epochs": 6, "calibration": 128, "recipes": ["ptq-int8", "distill+qat-int8:epochs=2"] });
    let study = Study::new("supernet", &finish);
    study.built.evaluator.prepare(&Impatient::never()).unwrap();
    let into = study.folder.path().join("finished");
    let (model, metrics, files) = study.finished(&into);
    for recipe in ["ptq-int8", "distill+qat-int8:epochs=2"] {
        let name = format!("test_accuracy_percent@{recipe}");
        assert!(metrics.contains_key(&name), "{metrics:?}");
        let entry = model.card.compressed.iter().find(|entry| entry.recipe == recipe).unwrap();
        assert_eq!(entry.metrics["test_accuracy_percent"].to_bits(), metrics[&name].to_bits());
        let file = into.join(entry.file.as_ref().unwrap());
        assert_eq!(std::fs::metadata(file).unwrap().len(), entry.file_bytes.unwrap());
    }
    for file in ["ptq-int8/model.onnx", "distill+qat-int8_epochs=2/result.json", "model.onnx"] {
        assert!(files.iter().any(|found| found == file) && into.join(file).is_file(), "{file}: {files:?}");
    }
}
