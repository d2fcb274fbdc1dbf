//! `kiln compress` and `kiln show --sensitivity`, on a small study of digits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

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

/// The files of a folder with their bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
    };
    fs::read_dir(folder).unwrap().map(file).collect()
}

#[test]
fn killed_recipe_continues_to_the_same_bytes() {
    const RECIPE: &str = "unstructured-0.5:epochs=4+qat-int8:epochs=4";
    let mut config = study("killed");
    set(&mut config, "finish", "checkpoint_steps", 5.into());
    let sandbox = Sandbox::new(&config.to_string());
    let trial = finished(&sandbox);
    let arguments = ["compress", "killed", &trial, "--recipe", RECIPE, "--seconds", "0"];
    let folder = sandbox.run("killed").root().join("compressed").join(&trial);
    let place = folder.join(RECIPE.replace(':', "_"));
    let began = Instant::now();
    assert_eq!(sandbox.kiln(&arguments).code, 0);
    let whole_time = began.elapsed();
    let expected = files(&place);
    fs::remove_dir_all(&folder).unwrap();
    let mut kills = 0;
    // Each run lives longer than the one before, so that kills hit the start, both trainings and the end.
    for part in 1..=60 {
        let mut child =
            sandbox.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + whole_time * part / 24;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let has_ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        kills += usize::from(!has_ended);
        // A folder that is there is whole.
        assert!(!place.exists() || files(&place) == expected, "kill {part}");
        if has_ended {
            break;
        }
    }
    assert!(kills >= 3, "only {kills} kills");
    assert_eq!(sandbox.kiln(&arguments).code, 0);
    assert!(files(&place) == expected, "the files differ after {kills} kills");
    let left: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("training"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
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
