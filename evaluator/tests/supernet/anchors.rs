//! Tests estimates that are corrected with anchors. Anchors are networks that are trained on their own.

use std::fs;
use std::sync::atomic::AtomicU64;

use kiln_evaluator::{Built, anchors};
use kiln_search::{EvalError, Outcome};
use kiln_space::{Genotype, SearchSpace, variation};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::parts::{StopAfter, build, context, data, evaluate, never, space, try_build};

fn with_anchors(networks: usize) -> Value {
    json!({ "anchors": { "networks": networks, "batch": 32 } })
}

fn genotypes(space: &dyn SearchSpace) -> Vec<Genotype> {
    let mut rng = Pcg64::seed_from_u64(5);
    (0..6).map(|_| variation::sample(space, &mut rng)).collect()
}

fn estimates(built: &Built, space: &dyn SearchSpace) -> Vec<Outcome> {
    genotypes(space).iter().map(|genotype| evaluate(built, space, genotype)).collect()
}

#[test]
fn corrected_estimate_predicts_training_with_anchor_settings() {
    let (plain_folder, corrected) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (built, space, _) = build(plain_folder.path(), &json!({}));
    built.evaluator.prepare(&never()).unwrap();
    assert!(anchors(plain_folder.path()).unwrap().content.is_empty());
    let plain = estimates(&built, space.as_ref());
    let (built, ..) = build(corrected.path(), &with_anchors(12));
    built.evaluator.prepare(&never()).unwrap();
    let corrected_estimates = estimates(&built, space.as_ref());
    let trained = anchors(corrected.path()).unwrap().content;
    assert_eq!(trained.len(), 12);
    let get = |outcome: &Outcome| outcome.measurement().unwrap().get("loss_nats").unwrap();
    // One epoch of ten steps from new weights reaches a lower accuracy than three epochs of shared weights.
    // Corrected estimates predict the accuracy of the short training.
    let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
    let trained = mean(trained.iter().map(|anchor| get(&anchor.trained)).collect());
    let [before, after] = [plain, corrected_estimates].map(|found| mean(found.iter().map(get).collect()));
    assert!((after - trained).abs() < 0.5 * (before - trained).abs(), "{before} {after} {trained}");
    // The shared weights are unchanged.
    let of = |folder: &std::path::Path| fs::read_to_string(folder.join("supernet/trained.json")).unwrap();
    assert_eq!(of(plain_folder.path()), of(corrected.path()));
    let (again, ..) = build(corrected.path(), &json!({}));
    again.evaluator.prepare(&StopAfter(AtomicU64::new(0))).unwrap();
    assert_ne!(again.evaluator.fingerprint(), built.evaluator.fingerprint(), "other estimates");
}

#[test]
fn interrupted_anchors_resume_with_same_result_for_any_workers() {
    let (whole, pieces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (built, space, _) = build(whole.path(), &with_anchors(6));
    built.evaluator.prepare(&never()).unwrap();
    let extra = |networks: usize| {
        let mut extra = with_anchors(networks);
        extra["devices"] = json!(["cpu", "cpu", "cpu"]);
        extra
    };
    // Each run is interrupted after this many reads of the stop flag: within the supernet's eighteen steps,
    // or among the anchors.
    for looks in [20, 26, 12] {
        let (built, ..) = build(pieces.path(), &extra(6));
        let result = built.evaluator.prepare(&StopAfter(AtomicU64::new(looks)));
        assert!(matches!(result, Err(EvalError::Interrupted)), "{result:?}");
    }
    let (resumed, ..) = build(pieces.path(), &extra(6));
    resumed.evaluator.prepare(&never()).unwrap();
    assert_eq!(estimates(&built, space.as_ref()), estimates(&resumed, space.as_ref()));
    assert_eq!(built.evaluator.fingerprint(), resumed.evaluator.fingerprint());
    let trained = |folder: &std::path::Path| anchors(folder).unwrap().content;
    assert_eq!(trained(whole.path()), trained(pieces.path()));
    assert!(!pieces.path().join("training").exists());
    // A longer list of anchors begins with the same anchors. Anchors in a damaged file are trained again.
    let six = fs::read_to_string(whole.path().join("anchors.json")).unwrap();
    let (more, ..) = build(whole.path(), &with_anchors(8));
    more.evaluator.prepare(&never()).unwrap();
    assert_eq!(trained(whole.path())[..6], trained(pieces.path())[..]);
    assert_eq!(trained(whole.path()).len(), 8);
    let (fewer, ..) = build(whole.path(), &with_anchors(6));
    fewer.evaluator.prepare(&never()).unwrap();
    assert_eq!(trained(whole.path()).len(), 8, "more than are wanted are kept");
    assert_eq!(estimates(&built, space.as_ref()), estimates(&fewer, space.as_ref()));
    fs::write(whole.path().join("anchors.json"), &six[..six.len() / 2]).unwrap();
    assert!(matches!(anchors(whole.path()), Err(EvalError::Files(_))));
    let (repaired, ..) = build(whole.path(), &with_anchors(6));
    repaired.evaluator.prepare(&never()).unwrap();
    assert_eq!(estimates(&built, space.as_ref()), estimates(&repaired, space.as_ref()));
}

#[test]
fn fingerprint_depends_on_anchor_values_and_not_on_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (built, ..) = build(folder.path(), &with_anchors(6));
    built.evaluator.prepare(&never()).unwrap();
    let file = folder.path().join("anchors.json");
    let text = fs::read_to_string(&file).unwrap();
    let number = text.split("\"error_percent\": ").nth(1).unwrap().split([',', '\n']).next().unwrap();
    let changed = text.replacen(number, "12.5", 1);
    let again = || {
        let (again, ..) = build(folder.path(), &with_anchors(6));
        again.evaluator.prepare(&never()).unwrap();
        again.evaluator.fingerprint()
    };
    // If the values in the file change but its hash does not, the anchors are trained again and get the same
    // values.
    fs::write(&file, &changed).unwrap();
    assert!(anchors(folder.path()).unwrap_err().to_string().contains("does not match its `check`"));
    assert_eq!(again(), built.evaluator.fingerprint());
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    // If the hash changes too, the file is read as different anchors.
    let (body, _) = changed.split_once(",\n  \"check\"").unwrap();
    let hash = kiln_files::ContentHash::of(body.as_bytes());
    fs::write(&file, format!("{body},\n  \"check\": \"{hash}\"\n}}\n")).unwrap();
    assert_ne!(again(), built.evaluator.fingerprint());
}

#[test]
fn impossible_anchor_settings_are_refused_with_key() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let space = space(&data);
    let message = |anchors: Value| {
        let extra = json!({ "anchors": anchors });
        let context = context(folder.path(), &data, &space);
        try_build(context, &extra, &json!({ "epochs": 1 })).err().unwrap().to_string()
    };
    for (key, anchors) in [
        ("networks", json!({ "networks": 3 })),
        ("epochs", json!({ "networks": 8, "epochs": 0 })),
        ("batch", json!({ "networks": 8, "batch": 1 })),
        (
            "optimizer.learning_rate",
            json!({ "networks": 8, "optimizer": { "kind": "sgd", "learning_rate": -1 } }),
        ),
    ] {
        let said = message(anchors);
        assert!(said.contains(&format!("`evaluator.anchors.{key}`")), "{said}");
    }
    assert!(message(json!({})).contains("networks"));
}

#[test]
fn diverging_anchors_stop_study_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let optimizer = json!({ "kind": "sgd", "learning_rate": 100 });
    let (built, ..) =
        build(folder.path(), &json!({ "anchors": { "networks": 4, "optimizer": optimizer, "batch": 4 } }));
    let said = built.evaluator.prepare(&never()).err().map(|error| error.to_string());
    let said = said.expect("networks diverge at this rate");
    assert!(said.contains("0 of 4 anchors") && said.contains("learning_rate"), "{said}");
}
