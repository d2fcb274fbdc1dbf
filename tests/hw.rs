//! Tests `kiln hw` with the real binary.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn kiln(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kiln")).current_dir(folder).args(arguments).output().unwrap()
}

#[track_caller]
fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = kiln(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = kiln(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// Returns the predicted latency in microseconds on a known device, or on the device in a file.
fn predicted(folder: &Path, cell: &str, device: [&str; 2]) -> f64 {
    let found = json(folder, &["hw", "predict", cell, device[0], device[1], "--json"]);
    found["predictions"][0]["latency_us"]["value"].as_f64().unwrap()
}

#[test]
fn hw_list_shows_devices_with_sources() {
    let folder = tempfile::tempdir().unwrap();
    let devices = json(folder.path(), &["hw", "list", "--json"]);
    assert!(devices.as_array().unwrap().iter().any(|device| device["name"] == "cortex-m7"));
    let output = kiln(folder.path(), &["hw", "list", "cortex-m7"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("efficiency.dense_conv") && text.contains("source"), "{text}");
    let error = refused(folder.path(), &["hw", "list", "abacus"]);
    assert!(error.contains("there is no device `abacus`; known: cortex-a72"), "{error}");
}

#[test]
fn hw_fit_device_predicts_its_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // On the measured device, operations take twice as long as its device file predicts.
    let cells = ["3-0-4-1-2-0", "1-1-1-1-1-1", "3-3-3-3-3-3", "2-2-2-2-2-2", "4-4-4-4-4-4", "1-2-3-4-0-1"];
    let more = ["3-1-1-0-1-2", "2-3-2-1-0-1", "1-4-2-3-1-1", "3-2-1-3-1-4", "1-1-3-1-1-2", "2-1-1-4-3-3"];
    let mut table = "genotype,pi_ms\n0-0-0-0-0-1,-1\n".to_owned();
    for cell in cells.iter().chain(&more) {
        let latency_us = 2.0 * predicted(folder, cell, ["--device", "cortex-a72"]);
        writeln!(table, "{cell},{}", latency_us / 1e3).unwrap();
    }
    std::fs::write(folder.join("measured.csv"), table).unwrap();
    let fit =
        ["hw", "fit", "--measurements", "measured.csv", "--key", "genotype", "--latency-column", "pi_ms"];
    let call =
        [&fit[..], &["--unit", "ms", "--device", "cortex-a72", "--name", "slow-pi", "--out", "slow.toml"]]
            .concat();
    let found = json(folder, &[&call[..], &["--json"]].concat());
    assert_eq!((&found["measured"], &found["not_measured"]), (&12.into(), &1.into()));
    assert!(found["report"]["in_sample"]["mean_error_percent"].as_f64().unwrap() < 5.0, "{found}");
    let unseen = "3-1-2-1-1-3";
    let ratio = predicted(folder, unseen, ["--file", "slow.toml"])
        / (2.0 * predicted(folder, unseen, ["--device", "cortex-a72"]));
    assert!((ratio - 1.0).abs() < 0.05, "{ratio}");

    let text = String::from_utf8(kiln(folder, &call).stdout).unwrap();
    assert!(
        text.contains("12 networks measured, 1 not") && text.contains("slow-pi, fitted to 12 networks"),
        "{text}"
    );
    // Each network gets two more measurements, which are 10 % and 20 % slower. The medians are then 10 %
    // slower, and the number of networks stays the same.
    let mut table = std::fs::read_to_string(folder.join("measured.csv")).unwrap();
    let rows: Vec<(String, f64)> = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(','))
        .map(|(cell, ms)| (cell.to_owned(), ms.parse().unwrap()))
        .collect();
    for (cell, ms) in &rows {
        write!(table, "{cell},{}\n{cell},{}\n", 1.1 * ms, 1.2 * ms).unwrap();
    }
    std::fs::write(folder.join("measured.csv"), table).unwrap();
    let found = json(folder, &[&call[..], &["--json", "--force"]].concat());
    assert_eq!((&found["measured"], &found["report"]["networks"]), (&12.into(), &12.into()));
    assert_eq!((&found["repeats"]["networks"], &found["repeats"]["measurements"]), (&12.into(), &36.into()));
    let ratio = predicted(folder, unseen, ["--file", "slow.toml"])
        / (2.2 * predicted(folder, unseen, ["--device", "cortex-a72"]));
    assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
    let text = String::from_utf8(kiln(folder, &call).stdout).unwrap();
    assert!(
        text.contains("12 of them more than once (36 measurements)") && text.contains("20.0 % at most"),
        "{text}"
    );

    let error = refused(folder, &[&call[..], &["--sample", "9"]].concat());
    assert!(error.contains("9 measured networks are too few for a fit"), "{error}");
}

#[test]
fn broken_measurements_are_refused_with_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("measured.csv"), "arch,pi_us\n0-0-0-0-0-1,12\n0-0-0-0-0-2,fast\n").unwrap();
    let fit = ["hw", "fit", "--measurements", "measured.csv", "--latency-column", "pi_us", "--unit", "us"];
    let error = refused(folder, &[&fit[..], &["--device", "cortex-a72", "--out", "out.toml"]].concat());
    assert!(error.contains("measured.csv:3: `pi_us` is `fast`, expected a number above 0"), "{error}");
    let error = refused(folder, &[&fit[..], &["--out", "out.toml"]].concat());
    assert!(error.contains("--device <NAME>"), "{error}");
    assert!(!folder.join("out.toml").exists());
}

#[test]
fn fitted_model_is_written_listed_and_refused_where_it_would_be_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cell = |code: usize| {
        (0..6).map(|edge| (code / 5_usize.pow(edge) % 5).to_string()).collect::<Vec<_>>().join("-")
    };
    let cells: Vec<String> = (0..30).map(|place| cell((place * 521 + 7) % 15_625)).collect();
    let latencies: Vec<f64> =
        cells.iter().map(|cell| predicted(folder, cell, ["--device", "cortex-a72"]) + 500.0).collect();
    let write = |latency: &dyn Fn(usize) -> String| {
        let lines = cells.iter().enumerate().map(|(place, cell)| format!("{cell},{}\n", latency(place)));
        std::fs::write(folder.join("m.csv"), format!("arch,us\n{}", lines.collect::<String>())).unwrap();
    };
    let fit = [
        "hw",
        "fit",
        "--model",
        "fitted",
        "--measurements",
        "m.csv",
        "--latency-column",
        "us",
        "--unit",
        "us",
    ];
    let call = [&fit[..], &["--device", "cortex-a72", "--name", "mine", "--out", "mine.toml"]].concat();
    let bad: [(&str, &dyn Fn(usize) -> String); 4] = [
        ("m.csv:5: `us` is `-3`", &|place| {
            if place == 3 { "-3".to_owned() } else { latencies[place].to_string() }
        }),
        ("m.csv:5: `us` is `none`", &|place| {
            if place == 3 { "none".to_owned() } else { latencies[place].to_string() }
        }),
        ("mix units", &|place| (latencies[place] * if place % 9 == 3 { 1e-3 } else { 1.0 }).to_string()),
        ("contradict each other", &|place| (300.0 + 9000.0 * ((place * 17) % 30) as f64).to_string()),
    ];
    for (expected, latency) in bad {
        write(latency);
        let error = refused(folder, &call);
        assert!(error.contains(expected), "{error}");
        assert!(!folder.join("mine.toml").exists(), "{expected}");
    }
    write(&|place| latencies[place].to_string());
    let found = json(folder, &[&call[..], &["--json"]].concat());
    assert_eq!(found["report"]["transfer"].as_array().unwrap().len(), 20, "{found}");
    let kinds = found["report"]["kinds"].as_array().unwrap();
    assert_eq!(kinds[0]["kind"], "ridge", "{found}");
    let listed = json(folder, &["hw", "list", "--file", "mine.toml", "--json"]);
    assert_eq!(listed["models"][1]["model"], "fitted", "{listed}");
    assert_eq!(listed["models"][1]["date"].as_str().unwrap().len(), 10, "{listed}");
    let alone = json(folder, &[&call[..], &["--force", "--transfer", "none", "--json"]].concat());
    assert_eq!(alone["report"]["transfer"].as_array().unwrap().len(), 0, "{alone}");
    let all = json(folder, &["hw", "list", "--json"]);
    assert!(all.as_array().unwrap().iter().any(|device| device["name"] == "raspi4"), "{all}");
}
