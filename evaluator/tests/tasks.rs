//! Tests regression, and which splits a search may read. Each test builds its own study, from data to
//! finished network.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kiln_evaluator::data::{Augmentation, DataSet, Given, RawData, Sizes, Split, Targets};
use kiln_evaluator::{Built, Context, EvaluatorRegistry, predict};
use kiln_export::{ExporterRegistry, InputRecord, Prediction, TrainedModel};
use kiln_search::{
    Costs, EvalError, Fidelities, Fidelity, Finished, Objectives, Origin, Outcome, Progress, Proposal,
    Request, Trial,
};
use kiln_space::{Genotype, SearchSpace, Settings, Shape, SpaceRegistry, variation};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::{Value, json};

struct Silent;

impl Progress for Silent {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        false
    }
}

fn settings(path: &str, value: &Value) -> Settings {
    Settings::new(path, value.as_object().unwrap().clone())
}

/// A study of fully connected networks on `data`.
struct Parts {
    built: Built,
    space: Arc<dyn SearchSpace>,
}

impl Parts {
    fn new(kind: &str, table: &Value, data: &Arc<DataSet>, folder: &Path) -> Self {
        let space = json!({ "layers": [1, 2], "width": [8, 16], "batch_norm": true });
        let space =
            SpaceRegistry::builtin().build("mlp", &settings("space", &space), Some(data.task())).unwrap();
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
        let finish = settings("finish", &json!({ "epochs": 20, "batch": 16, "calibration": 64 }));
        let table = settings("evaluator", table);
        let build = |finish| EvaluatorRegistry::builtin().build(kind, &table, finish, context.clone());
        let built = build(Some(&finish)).or_else(|error| {
            // An evaluator may refuse to finish networks, such as a command that returns no weights.
            if error.key == "finish" { build(None) } else { Err(error) }
        });
        let parts = Self { built: built.unwrap(), space };
        parts.built.evaluator.prepare(&Silent).unwrap();
        parts
    }

    fn genotype(&self, seed: u64) -> Genotype {
        variation::sample(self.space.as_ref(), &mut Pcg64::seed_from_u64(seed))
    }

    fn evaluate(&self, genotype: &Genotype) -> Outcome {
        self.evaluate_at(genotype, Fidelity::Full).unwrap()
    }

    fn evaluate_at(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Outcome, EvalError> {
        let architecture = self.space.decode(genotype).unwrap();
        let request = Request { genotype, architecture: &architecture, fidelity, seed: 1 };
        self.built.evaluator.evaluate(&request)
    }

    fn finish(&self, genotype: Genotype, into: &Path) -> Result<Finished, EvalError> {
        self.finish_judged_at(Fidelity::Full, genotype, into)
    }

    fn finish_judged_at(
        &self,
        fidelity: Fidelity,
        genotype: Genotype,
        into: &Path,
    ) -> Result<Finished, EvalError> {
        let outcome = self.evaluate_at(&genotype, fidelity)?;
        let proposal = Proposal { genotype, fidelity, origin: Origin::default() };
        let (costs, objectives) = (Costs::default(), Objectives::default());
        let trial = Trial { id: 1, proposal, outcome, costs, objectives, violation: 0.0 };
        self.built.finisher.as_ref().unwrap().finish(&trial, into, &Silent)
    }
}

const EXAMPLES: usize = 300;
const TESTED: usize = 60;

/// Two inputs, and targets computed from them. `test` produces the inputs of the test split.
fn raw(targets: impl Fn(f32, f32) -> Vec<f32>, test: impl Fn(f32) -> f32) -> (Vec<f32>, Vec<f32>) {
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for index in 0..EXAMPLES {
        let (a, b) = ((index * 37 % 101) as f32 / 10.0, (index * 53 % 89) as f32);
        outputs.extend(targets(a, b));
        let change = |value| if index < EXAMPLES - TESTED { value } else { test(value) };
        inputs.extend([change(a), change(b)]);
    }
    (inputs, outputs)
}

fn data_set(examples: Vec<f32>, targets: Targets) -> Arc<DataSet> {
    let raw = RawData {
        name: "made".to_owned(),
        input: "a, b".to_owned(),
        shape: Shape::vector(2),
        examples,
        targets,
        inputs: ["a", "b"].map(InputRecord::channel).to_vec(),
        given: Given::test_at_end(EXAMPLES, TESTED),
        notes: Vec::new(),
    };
    let sizes = Sizes { test: 0.0, validation: 0.2, seed: 1, limit: None };
    Arc::new(DataSet::new(raw, &sizes, Augmentation::default()).unwrap())
}

/// Each example has a target near 5000 and a target near 0.01. Without standardized targets, a network learns
/// neither of them.
fn values() -> Arc<DataSet> {
    let (examples, values) = raw(|a, b| vec![5000.0 + 40.0 * a - 3.0 * b, 0.01 + 0.001 * b], |value| value);
    data_set(
        examples,
        Targets::Values { names: vec!["speed".to_owned(), "share".to_owned()], values, offsets: Vec::new() },
    )
}

fn classes(test: impl Fn(f32) -> f32) -> Arc<DataSet> {
    let (examples, labels) = raw(|a, b| vec![f32::from(u8::from(8.0 * a > b))], test);
    let names = vec!["below".to_owned(), "above".to_owned()];
    data_set(
        examples,
        Targets::Classes { names, labels: labels.into_iter().map(|label| label as u32).collect() },
    )
}

fn supernet() -> Value {
    json!({
        "epochs": 30, "batch": 16, "calibration": 64,
        "optimizer": { "kind": "sgd", "learning_rate": 0.05, "weight_decay": 0.0 },
    })
}

#[test]
fn regression_metrics_use_target_units() {
    let data = values();
    let (folder, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let parts = Parts::new("supernet", &supernet(), &data, folder.path());
    assert_eq!(parts.built.metrics, ["mean_squared_error", "rmse_deviations"]);
    let genotype = parts.genotype(1);
    let Outcome::Measured(measured) = parts.evaluate(&genotype) else { panic!("it is measured") };
    let relative = measured.get("rmse_deviations").unwrap();
    assert!(relative < 0.5, "half a deviation of the training split: {relative}");

    let finished = parts.finish(genotype, into.path()).unwrap();
    assert!(finished.metrics["test_rmse_deviations"] < 0.3, "{:?}", finished.metrics);
    let model = TrainedModel::load(&into.path().join("model.kiln")).unwrap();
    model.check().unwrap();
    assert_eq!(model.card.predicts, Prediction::Values);
    assert_eq!(model.card.classes, ["speed", "share"]);
    // For raw inputs, the exported file returns values in the targets' own units.
    let test = data.split(Split::Test);
    let raw: Vec<f32> = test.iter().flat_map(|example| data.example(*example)).copied().collect();
    let wanted: Vec<f32> = test.iter().flat_map(|example| data.values(*example)).copied().collect();
    let squares = predict(&model, &raw).into_iter().zip(&wanted);
    let mean =
        squares.map(|(found, wanted)| f64::from(found - wanted).powi(2)).sum::<f64>() / wanted.len() as f64;
    let stated = finished.metrics["test_mean_squared_error"];
    assert!((mean / stated - 1.0).abs() < 1e-3, "{mean} {stated}");
    check_errors(&model, &predict(&model, &raw), &wanted, data.target_normalization());
}

/// Checks that the model card states the absolute error, R² and the error of the training mean that follow
/// from these outputs.
fn check_errors(model: &TrainedModel, found: &[f32], wanted: &[f32], (mean, deviation): (&[f32], &[f32])) {
    let column = |values: &[f32], of: usize| -> Vec<f64> {
        values.iter().skip(of).step_by(2).map(|value| f64::from(*value)).collect()
    };
    let (mut absolute, mut r2, mut guessing) = (0.0, 0.0, 0.0);
    for (of, result) in model.card.test.as_ref().unwrap().values.iter().enumerate() {
        let (found, wanted) = (column(found, of), column(wanted, of));
        let average = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let distances = || found.iter().zip(&wanted).map(|(found, wanted)| (found - wanted).abs());
        let about = |center: f64| average(wanted.iter().map(|wanted| (wanted - center).powi(2)).collect());
        let own = average(wanted.clone());
        let squared = average(distances().map(|distance| distance * distance).collect());
        let near = |stated: f64, expected: f64| {
            assert!((stated / expected - 1.0).abs() < 1e-2, "{}: {stated} is not {expected}", result.name);
        };
        near(result.mean_absolute_error, average(distances().collect()));
        near(result.mean_squared_error, squared);
        near(result.r2, 1.0 - squared / about(own));
        let by_training_mean = about(f64::from(mean[of]));
        near(result.mean_squared_error_of_training_mean, by_training_mean);
        absolute += result.mean_absolute_error / 2.0;
        r2 += result.r2 / 2.0;
        guessing += by_training_mean / f64::from(deviation[of]).powi(2) / 2.0;
    }
    let expected = [
        ("test_mean_absolute_error", absolute),
        ("test_r2", r2),
        ("test_rmse_deviations_of_training_mean", guessing.sqrt()),
    ];
    for (name, expected) in expected {
        let stated = model.card.metrics.iter().find(|metric| metric.name == name).unwrap().value;
        assert!((stated / expected - 1.0).abs() < 1e-3, "{name}: {stated} is not {expected}");
    }
}

#[test]
fn scratch_evaluator_trains_regression() {
    let folder = tempfile::tempdir().unwrap();
    let table = json!({ "epochs": 15, "batch": 16, "optimizer": { "kind": "sgd", "learning_rate": 0.05 } });
    let parts = Parts::new("scratch", &table, &values(), folder.path());
    let Outcome::Measured(measured) = parts.evaluate(&parts.genotype(1)) else { panic!("it is measured") };
    assert!(measured.get("rmse_deviations").unwrap() < 0.7, "{measured:?}");
}

/// Targets with a long tail: most are small, and a few are far larger.
fn far_targets() -> Arc<DataSet> {
    let (examples, values) = raw(|a, b| vec![(1.2 * a - 0.05 * b).exp()], |value| value);
    data_set(examples, Targets::Values { names: vec!["price".to_owned()], values, offsets: Vec::new() })
}

#[test]
fn regression_converges_with_default_clipping() {
    let folder = tempfile::tempdir().unwrap();
    let outcomes = |clip_norm: Option<Value>| {
        let mut table =
            json!({ "epochs": 10, "batch": 16, "optimizer": { "kind": "sgd", "learning_rate": 0.3 } });
        if let Some(clip_norm) = clip_norm {
            table["clip_norm"] = clip_norm;
        }
        let parts = Parts::new("scratch", &table, &far_targets(), folder.path());
        let outcomes: Vec<Outcome> = (0..6).map(|seed| parts.evaluate(&parts.genotype(seed))).collect();
        (parts.built.evaluator.fingerprint(), outcomes)
    };
    let measured = |outcomes: &[Outcome]| {
        outcomes
            .iter()
            .filter_map(Outcome::measurement)
            .filter_map(|found| found.get("rmse_deviations"))
            .collect()
    };
    let (default, clipped) = outcomes(None);
    let errors: Vec<f64> = measured(&clipped);
    assert!(errors.len() == 6 && errors.iter().all(|error| *error < 1.0), "{clipped:?}");
    let (off, plain) = outcomes(Some(json!(false)));
    assert!(measured(&plain).len() < 6, "none of them diverges: {plain:?}");
    assert_ne!(default, off, "the fingerprint says whether gradients are clipped");
    assert_eq!(outcomes(Some(json!(1.0))).0, default);
    assert_eq!(outcomes(Some(json!(0))), (off, plain));
}

#[test]
fn no_evaluator_reads_test_split() {
    // The test inputs of the second data set are NaN. If an evaluator read them, its results would change.
    let (whole, poisoned) = (classes(|value| value), classes(|_| f32::NAN));
    assert_ne!(whole.hash(), poisoned.hash());
    let registry = EvaluatorRegistry::builtin();
    for (kind, settings) in registry.samples("evaluator") {
        let table = Value::Object(settings.table().clone());
        let [one, other] = [&whole, &poisoned].map(|data| {
            let folder = tempfile::tempdir().unwrap();
            let parts = Parts::new(kind, &table, data, folder.path());
            let outcomes: Vec<Outcome> = (0..4).map(|seed| parts.evaluate(&parts.genotype(seed))).collect();
            assert!(
                outcomes.iter().all(|outcome| matches!(outcome, Outcome::Measured(_))),
                "{kind}: {outcomes:?}"
            );
            let finished = parts
                .built
                .finisher
                .is_some()
                .then(|| parts.finish(parts.genotype(0), folder.path()).map(|finished| finished.metrics));
            (outcomes, finished)
        });
        assert_eq!(one.0, other.0, "{kind}");
        let (Some(one), Some(other)) = (one.1, other.1) else {
            assert_eq!(kind, "command", "every other evaluator finishes networks");
            continue;
        };
        // Finishing reads the test split, so the NaNs change its result.
        assert!(one.unwrap()["test_accuracy_percent"] > 60.0);
        assert!(matches!(other, Err(EvalError::Diverged { .. })), "{kind}");
    }
}

#[test]
fn evaluators_answer_stated_fidelities_and_refuse_others() {
    let data = classes(|value| value);
    let scratch = json!({ "epochs": 3, "batch": 16, "calibration": 64 });
    let short = json!({ "epochs": 2, "batch": 16, "calibration": 64 });
    let cases = [
        ("scratch", scratch, Fidelities::of_schedule(3).with_proxy()),
        ("supernet", short, Fidelities::full_only().with_proxy()),
        ("naswot", json!({}), Fidelities::full_only()),
        ("synflow", json!({}), Fidelities::full_only()),
    ];
    for (kind, table, stated) in cases {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(kind, &table, &data, folder.path());
        assert_eq!(parts.built.evaluator.fidelities(), stated, "{kind}");
        let genotype = parts.genotype(1);
        let mut answers = Vec::new();
        let asked =
            [0, 1, 2, 3, 4].map(Fidelity::Epochs).into_iter().chain([Fidelity::Proxy, Fidelity::Full]);
        for fidelity in asked {
            match parts.evaluate_at(&genotype, fidelity) {
                Ok(outcome) => {
                    assert!(stated.answers(fidelity), "{kind} answers `{fidelity}`");
                    answers.push(outcome);
                }
                Err(EvalError::Fidelity { fidelity: refused, answered }) => {
                    assert!(!stated.answers(fidelity), "{kind} refuses `{fidelity}`");
                    assert_eq!((refused, answered), (fidelity, stated));
                }
                Err(error) => panic!("{kind}: {error}"),
            }
        }
        let distinct = answers.iter().enumerate().all(|(at, one)| !answers[..at].contains(one));
        assert!(distinct, "{kind} answers two fidelities alike: {answers:?}");
    }
}

#[test]
fn card_states_fidelity_of_search() {
    let folder = tempfile::tempdir().unwrap();
    let table = json!({ "epochs": 3, "batch": 16, "calibration": 64 });
    let parts = Parts::new("scratch", &table, &classes(|value| value), folder.path());
    let training = |fidelity| {
        let into = tempfile::tempdir().unwrap();
        parts.finish_judged_at(fidelity, parts.genotype(1), into.path()).unwrap();
        TrainedModel::load(&into.path().join("model.kiln")).unwrap().card.training
    };
    let short = training(Fidelity::Epochs(1));
    assert!(short.ends_with("; the search judged the architecture after 1 of 3 epochs"), "{short}");
    let full = training(Fidelity::Full);
    assert!(!full.contains("judged"), "{full}");
}
