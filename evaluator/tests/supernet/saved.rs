//! Tests that a study can use the trained supernet of another study.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kiln_evaluator::data::{DataRegistry, Opening};
use kiln_space::{SpaceRegistry, variation};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::parts::{StopAfter, build, context, data, evaluate, never, settings, space, try_build};

fn at(path: &Path) -> Value {
    json!({ "supernet": path, "epochs": 1 })
}

#[test]
fn saved_supernet_gives_same_estimates_without_training() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (trained, space, _) = build(first.path(), &json!({ "ema": 0.5 }));
    trained.evaluator.prepare(&never()).unwrap();
    let genotype = variation::sample(space.as_ref(), &mut Pcg64::seed_from_u64(1));
    let expected = evaluate(&trained, space.as_ref(), &genotype);
    for path in [first.path().to_owned(), first.path().join("supernet")] {
        let (taken, ..) = build(second.path(), &at(&path));
        // Every training reads the stop flag, and this flag would stop it. So `prepare` succeeds only if it
        // trains nothing.
        taken.evaluator.prepare(&StopAfter(AtomicU64::new(0))).unwrap();
        assert_eq!(evaluate(&taken, space.as_ref(), &genotype), expected);
        assert_ne!(taken.evaluator.fingerprint(), trained.evaluator.fingerprint());
    }
    assert!(!second.path().join("supernet").exists(), "nothing is written");
}

#[test]
fn supernet_of_other_space_or_data_is_refused_with_reason() {
    let (run, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (data, finish) = (data(), json!({ "epochs": 1 }));
    let space = space(&data);
    let refused = |data, space, path: &Path| {
        let context = context(other.path(), data, space);
        let error = try_build(context, &at(path), &finish).err().unwrap().to_string();
        assert!(error.contains("`evaluator.supernet`"), "{error}");
        error
    };
    let missing = refused(&data, &space, run.path());
    assert!(missing.contains("no supernet was trained there"), "{missing}");
    let (trained, ..) = build(run.path(), &json!({}));
    trained.evaluator.prepare(&never()).unwrap();

    let fewer = settings("data", &json!({ "limit": 200, "augment": { "shift": 1 } }));
    let fewer = DataRegistry::builtin().open("digits", &Opening::new(&fewer, None)).unwrap();
    let said = refused(&fewer, &space, run.path());
    assert!(said.contains("other data"), "{said}");
    let table = settings("space", &json!({ "layers": [1], "width": [16] }));
    let perceptrons = SpaceRegistry::builtin().build("mlp", &table, Some(data.task())).unwrap();
    let said = refused(&data, &perceptrons, run.path());
    assert!(said.contains("another space"), "{said}");

    let file = run.path().join("supernet/trained.json");
    fs::write(&file, "{").unwrap();
    let said = refused(&data, &space, run.path());
    assert!(said.contains("trained.json"), "{said}");
}

#[test]
fn damaged_supernet_checkpoint_error_names_its_folder() {
    let (run, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (trained, ..) = build(run.path(), &json!({}));
    trained.evaluator.prepare(&never()).unwrap();
    for entry in fs::read_dir(run.path().join("supernet")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ckpt") {
            let mut bytes = fs::read(&path).unwrap();
            bytes[200] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    let data = data();
    let context = context(other.path(), &data, &Arc::clone(&space(&data)));
    let taken = try_build(context, &at(run.path()), &json!({ "epochs": 1 })).unwrap();
    let error = taken.evaluator.prepare(&never()).unwrap_err().to_string();
    assert!(error.contains("supernet") && error.contains("missing or damaged"), "{error}");
}
