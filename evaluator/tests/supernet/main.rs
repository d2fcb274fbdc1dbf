//! Tests the supernet on a few embedded digits: resuming, evaluating and finishing.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod anchors;
mod devices;
mod options;
mod parts;
mod proxies;
mod results;
mod saved;

use std::sync::atomic::AtomicU64;

use kiln_evaluator::data::Split;
use kiln_evaluator::predict;
use kiln_export::TrainedModel;
use kiln_search::{Costs, EvalError, Fidelity, Objectives, Origin, Outcome, Proposal, Trial};
use kiln_space::variation;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::json;

use parts::{StopAfter, build, evaluate, never};

#[test]
fn interrupted_training_resumes_to_same_weights() {
    let (whole, pieces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (built, space, _) = build(whole.path(), &json!({}));
    built.evaluator.prepare(&never()).unwrap();
    // The training stops between two checkpoints, on a checkpoint, and at the start.
    for steps in [6, 4, 0, 5] {
        let (built, _, _) = build(pieces.path(), &json!({}));
        let result = built.evaluator.prepare(&StopAfter(AtomicU64::new(steps)));
        assert!(matches!(result, Err(EvalError::Interrupted)), "{result:?}");
    }
    let (resumed, _, _) = build(pieces.path(), &json!({}));
    resumed.evaluator.prepare(&never()).unwrap();
    assert_eq!(built.evaluator.fingerprint(), resumed.evaluator.fingerprint());
    let genotype = variation::sample(space.as_ref(), &mut Pcg64::seed_from_u64(1));
    assert_eq!(evaluate(&built, space.as_ref(), &genotype), evaluate(&resumed, space.as_ref(), &genotype));
}

#[test]
fn checkpoint_of_other_settings_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let (first, ..) = build(folder.path(), &json!({}));
    first.evaluator.prepare(&never()).unwrap();
    let (second, ..) = build(folder.path(), &json!({ "label_smoothing": 0.1 }));
    let stopped = second.evaluator.prepare(&StopAfter(AtomicU64::new(0)));
    assert!(matches!(stopped, Err(EvalError::Interrupted)), "it started anew, from step 0");
}

#[test]
fn single_path_supernet_judges_networks() {
    let folder = tempfile::tempdir().unwrap();
    let (built, space, _) = build(folder.path(), &json!({ "sampling": "single_path", "subnets": 1 }));
    built.evaluator.prepare(&never()).unwrap();
    let mut rng = Pcg64::seed_from_u64(1);
    for _ in 0..5 {
        let genotype = variation::sample(space.as_ref(), &mut rng);
        let outcome = evaluate(&built, space.as_ref(), &genotype);
        let Outcome::Measured(measured) = &outcome else { panic!("{outcome:?}") };
        assert!((0.0..=100.0).contains(&measured.get("error_percent").unwrap()));
        assert_eq!(outcome, evaluate(&built, space.as_ref(), &genotype), "judging is pure");
    }
}

#[test]
fn exploding_learning_rate_is_reported_as_divergence() {
    let folder = tempfile::tempdir().unwrap();
    let optimizer = json!({ "optimizer": { "kind": "sgd", "learning_rate": 100.0 }, "epochs": 60 });
    let (built, ..) = build(folder.path(), &optimizer);
    match built.evaluator.prepare(&never()) {
        Err(EvalError::Diverged { what: "supernet", .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn finished_files_are_complete_and_reproduce_stated_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let (built, space, data) = build(folder.path(), &json!({ "epochs": 20 }));
    built.evaluator.prepare(&never()).unwrap();
    let genotype = variation::sample(space.as_ref(), &mut Pcg64::seed_from_u64(5));
    let outcome = evaluate(&built, space.as_ref(), &genotype);
    let proposal = Proposal { genotype, fidelity: Fidelity::Full, origin: Origin::default() };
    let (costs, objectives) = (Costs::default(), Objectives::default());
    let trial = Trial { id: 4, proposal, outcome, costs, objectives, violation: 0.0 };
    let into = tempfile::tempdir().unwrap();
    let finisher = built.finisher.expect("there is a finish table");
    let finished = finisher.finish(&trial, into.path(), &never()).unwrap();
    for file in ["model.onnx", "model.kiln", "card.json"] {
        assert!(finished.files.iter().any(|found| found.name == file) && into.path().join(file).exists());
    }
    let model = TrainedModel::load(&into.path().join("model.kiln")).unwrap();
    model.check().unwrap();
    let test = data.split(Split::Test);
    let raw: Vec<f32> = test.iter().flat_map(|example| data.example(*example)).copied().collect();
    let logits = predict(&model, &raw);
    let right = logits.chunks_exact(10).zip(test).filter(|(row, example)| {
        let top = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        top == data.label(**example) as usize
    });
    let accuracy = 100.0 * right.count() as f64 / test.len() as f64;
    assert!((accuracy - finished.metrics["test_accuracy_percent"]).abs() < 1e-9);
    assert!(accuracy > 60.0, "it has learned something: {accuracy} %");
}
