//! `kiln compress` and `kiln show --sensitivity`, on a small study of digits.

use std::fs;

use serde_json::Value;
use toml::Table;

use crate::sandbox::{Sandbox, set, tiny};

fn study(name: &str) -> Table {
    let mut config = tiny("quickstart.toml", name);
    set(&mut config, "search", "trials", 4.into());
    set(&mut config, "evaluator", "epochs", 3.into());
    set(&mut config, "finish", "epochs", 6.into());
    config
}

/// Searches, and returns the number of the finished trial.
fn finished(sandbox: &Sandbox) -> String {
    sandbox.search(&[])["finished"][0]["trial"].to_string()
}

#[test]
fn compress_writes_files_prints_rows_and_repeats_nothing() {
    let sandbox = Sandbox::new(&study("small").to_string());
    let trial = finished(&sandbox);
    let recipes = "ptq-int8,unstructured-0.5:epochs=2+qat-int8:epochs=2";
    let arguments = ["compress", "small", &trial, "--recipe", recipes, "--json", "--seconds", "0"];
    let said = sandbox.kiln(&arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = said.json();
    let rows = found.as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["recipe"].as_str().unwrap()).collect();
    assert_eq!(names, ["none", "ptq-int8", "unstructured-0.5:epochs=2+qat-int8:epochs=2"]);
    for row in rows {
        let file = sandbox.path(row["file"].as_str().unwrap());
        assert_eq!(fs::metadata(&file).unwrap().len(), row["file_bytes"].as_u64().unwrap(), "{row}");
        assert!(row["test_accuracy_percent"].as_f64().is_some() && row["macs"].as_u64().unwrap() > 0);
    }
    let weights = |row: &Value| row["weight_bytes"].as_u64().unwrap();
    assert!(weights(&rows[1]) * 2 < weights(&rows[0]), "{rows:?}");
    let kept = sandbox.run("small").root().join("compressed").join(&trial);
    let written =
        |recipe: &str| fs::metadata(kept.join(recipe).join("model.kiln")).unwrap().modified().unwrap();
    let before = written("ptq-int8");
    let again = sandbox.kiln(&arguments);
    assert_eq!(again.code, 0, "{}", again.err);
    assert_eq!(again.json(), found);
    assert_eq!(written("ptq-int8"), before, "a finished recipe is not run twice");
    // The compressed network is a network like any other.
    let model = kept.join("ptq-int8").join("model.kiln");
    let measured = sandbox.kiln(&["eval", model.to_str().unwrap(), "--config", "study.toml", "--json"]);
    assert_eq!(measured.code, 0, "{}", measured.err);
    assert_eq!(measured.json()["metrics"]["test_accuracy_percent"], rows[1]["test_accuracy_percent"]);
    let table = sandbox.kiln(&["compress", "small", &trial, "--recipe", "ptq-int8", "--seconds", "1"]);
    assert!(table.out.contains("measured µs kiln") && table.out.contains("ptq-int8"), "{}", table.out);
}

#[test]
fn wrong_recipes_end_with_code_2_the_nearest_name_and_no_folder() {
    let sandbox = Sandbox::new(&study("wrong").to_string());
    let trial = finished(&sandbox);
    for (recipe, expected) in [
        ("pqt-int8", "did you mean `ptq-int8`?"),
        ("unstructured-1.0", "expected a share of zeros between 0 and 1"),
        ("ptq-int8,", "a recipe is missing"),
        ("structured-0.999", "the best reached is"),
        ("ptq-int8:examples=0", "calibration gives no values"),
    ] {
        let said = sandbox.kiln(&["compress", "wrong", &trial, "--recipe", recipe]);
        assert_eq!(said.code, 2, "{recipe}: {}", said.err);
        assert!(said.err.contains(expected), "{recipe}: {}", said.err);
        let folder = sandbox.run("wrong").root().join("compressed").join(&trial);
        let written = fs::read_dir(&folder).map_or(0, |entries| {
            entries.filter(|entry| entry.as_ref().unwrap().path().join("result.json").exists()).count()
        });
        assert_eq!(written, 0, "{recipe}");
    }
    let said = sandbox.kiln(&["compress", "wrong", "--recipe", "ptq-int8"]);
    assert_eq!(said.code, 2);
}

#[test]
fn sensitivity_lists_every_layer_with_weights() {
    let sandbox = Sandbox::new(&study("layers").to_string());
    let trial = finished(&sandbox);
    let said = sandbox.kiln(&["show", "layers", &trial, "--sensitivity", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = said.json();
    let layers = found["layers"].as_array().unwrap();
    let shown = sandbox.kiln(&["show", "layers", &trial, "--json"]).json();
    let with_weights = shown["layers"].as_array().unwrap().iter().filter(|layer| {
        let is_kernel = layer["macs"].as_u64().unwrap() > 0;
        is_kernel && layer["parameters"].as_u64().unwrap() > 0
    });
    assert_eq!(layers.len(), with_weights.count());
    for layer in layers {
        assert!(layer["bytes_saved"].as_u64().unwrap() > 0 && layer["loss"].as_f64().is_some(), "{layer}");
    }
    let table = sandbox.kiln(&["show", "layers", &trial, "--sensitivity"]);
    assert!(table.out.contains("signal to noise dB"), "{}", table.out);
}
