//! Tests training options: gradient accumulation, clipping, averaged weights, early stopping.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kiln_evaluator::EvaluatorRegistry;
use kiln_evaluator::data::{DataRegistry, Opening};
use kiln_search::{EvalError, Fidelity, Outcome, Request};
use kiln_space::{SpaceRegistry, variation};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::parts::{StopAfter, build, context, data, evaluate, never, settings, space, try_build};

#[test]
fn interrupted_training_with_all_options_resumes_to_same_weights() {
    let options = json!({
        "epochs": 6, "accumulate": 2, "clip_norm": 0.5, "ema": 0.9, "patience": 2, "batch": 16,
        "affine": false,
    });
    let (whole, pieces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (built, space, _) = build(whole.path(), &options);
    built.evaluator.prepare(&never()).unwrap();
    // The training stops within an epoch, at the end of an epoch, and at the start.
    for steps in [4, 2, 0, 7] {
        let (built, _, _) = build(pieces.path(), &options);
        let result = built.evaluator.prepare(&StopAfter(AtomicU64::new(steps)));
        assert!(matches!(result, Err(EvalError::Interrupted)), "{result:?}");
    }
    let (resumed, _, _) = build(pieces.path(), &options);
    resumed.evaluator.prepare(&never()).unwrap();
    assert_eq!(built.evaluator.fingerprint(), resumed.evaluator.fingerprint());
    let genotype = variation::sample(space.as_ref(), &mut Pcg64::seed_from_u64(1));
    assert_eq!(evaluate(&built, space.as_ref(), &genotype), evaluate(&resumed, space.as_ref(), &genotype));
}

fn trained_steps(folder: &Path) -> u64 {
    let text = fs::read_to_string(folder.join("supernet/trained.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["step"].as_u64().unwrap()
}

#[test]
fn patience_ends_training_without_improvement() {
    // At this learning rate, the loss rises and falls from epoch to epoch.
    let optimizer = json!({ "kind": "sgd", "learning_rate": 0.6 });
    let folder = tempfile::tempdir().unwrap();
    let (built, ..) = build(folder.path(), &json!({ "epochs": 40, "patience": 1, "optimizer": optimizer }));
    built.evaluator.prepare(&never()).unwrap();
    let (patient, whole) = (trained_steps(folder.path()), 40 * 6);
    assert!(patient < whole && patient.is_multiple_of(6), "{patient} of {whole}, whole epochs");
    // A second run detects that the training is already over.
    let (again, ..) = build(folder.path(), &json!({ "epochs": 40, "patience": 1, "optimizer": optimizer }));
    again.evaluator.prepare(&StopAfter(AtomicU64::new(0))).unwrap();
    assert_eq!(built.evaluator.fingerprint(), again.evaluator.fingerprint());
}

/// Returns the validation loss of a network without batch normalization, trained on its own with the settings
/// `extra`.
fn scratch_loss(extra: &Value) -> f64 {
    let table = settings("data", &json!({ "limit": 300 }));
    let data = DataRegistry::builtin().open("digits", &Opening::new(&table, None)).unwrap();
    let table = json!({ "layers": [1], "width": [16] });
    let space = SpaceRegistry::builtin().build("mlp", &settings("space", &table), Some(data.task())).unwrap();
    let mut table = json!({ "epochs": 8, "batch": 64, "calibration": 64 });
    for (key, value) in extra.as_object().unwrap() {
        table[key] = value.clone();
    }
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &data, &space);
    let built = EvaluatorRegistry::builtin().build("scratch", &settings("evaluator", &table), None, context);
    let built = built.unwrap();
    let genotype = variation::sample(space.as_ref(), &mut Pcg64::seed_from_u64(1));
    let architecture = space.decode(&genotype).unwrap();
    let request =
        Request { genotype: &genotype, architecture: &architecture, fidelity: Fidelity::Full, seed: 1 };
    match built.evaluator.evaluate(&request).unwrap() {
        Outcome::Measured(measured) => measured.get("loss_nats").unwrap(),
        failed @ Outcome::Failed { .. } => panic!("{failed:?}"),
    }
}

#[test]
fn two_accumulated_half_batches_equal_one_batch() {
    let (one, two) = (scratch_loss(&json!({})), scratch_loss(&json!({ "batch": 32, "accumulate": 2 })));
    assert!((one - two).abs() < 1e-3, "{one} {two}");
    let half = scratch_loss(&json!({ "batch": 32 }));
    assert!((one - half).abs() > 1e-3, "twice as many steps are something else: {one} {half}");
}

#[test]
fn clipping_and_weight_averaging_change_result() {
    let plain = scratch_loss(&json!({}));
    let never_reached = scratch_loss(&json!({ "clip_norm": 1e9 }));
    assert!((plain - never_reached).abs() < 1e-12, "{plain} {never_reached}");
    // No step changes the weights by more than a thousandth of the learning rate. So the network stays close
    // to its initial weights, where the loss of guessing is ln 10 = 2.3.
    let clipped = scratch_loss(&json!({ "clip_norm": 0.001 }));
    assert!(clipped > 2.0 && plain < 1.0, "{clipped} {plain}");
    let averaged = scratch_loss(&json!({ "ema": 0.9 }));
    assert!((plain - averaged).abs() > 1e-6 && averaged < 2.0, "{plain} {averaged}");
}

#[test]
fn impossible_options_are_refused_with_key() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let space = space(&data);
    let message = |extra: Value, finish: Value| {
        let context = context(folder.path(), &data, &Arc::clone(&space));
        try_build(context, &extra, &finish).err().unwrap().to_string()
    };
    let fine = || json!({ "epochs": 1 });
    for (key, value) in
        [("accumulate", json!(0)), ("clip_norm", json!(-1)), ("ema", json!(1)), ("patience", json!(0))]
    {
        let said = message(json!({ key: value }), fine());
        assert!(said.contains(&format!("`evaluator.{key}`")), "{said}");
        let said = message(json!({}), json!({ "epochs": 1, key: value }));
        assert!(said.contains(&format!("`finish.{key}`")), "{said}");
    }
    let said = message(json!({}), json!({ "epochs": 1, "patience": 3 }));
    assert!(said.contains("`finish.patience`") && said.contains("train_on_validation = false"), "{said}");
}
