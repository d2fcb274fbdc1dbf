//! Every config in this repository, shortened to a few seconds.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::sandbox::{Sandbox, data, set, tiny, tiny_quickstart};

/// Checks the output and the files of a study that finishes networks.
fn check_finished(sandbox: &Sandbox, report: &Value, name: &str, trials: u64) {
    assert_eq!(report["run"], format!("runs/{name}"));
    assert_eq!(report["trials"], trials);
    assert!(!report["front"].as_array().unwrap().is_empty(), "{report}");
    let finished = report["finished"].as_array().unwrap();
    assert!(!finished.is_empty(), "{report}");
    for network in finished {
        let accuracy = network["test_accuracy_percent"].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&accuracy));
        assert!(network["costs"]["latency_us"].as_f64().unwrap() > 0.0);
        let files = network["files"].as_array().unwrap();
        assert!(files.iter().any(|file| file.as_str().unwrap().ends_with("model.onnx")), "{files:?}");
        for file in files {
            assert!(fs::metadata(sandbox.path(file.as_str().unwrap())).unwrap().len() > 0);
        }
    }
    for stage in ["prepare", "search", "finish"] {
        assert!(report["seconds"][stage].as_f64().unwrap() >= 0.0);
    }
}

#[test]
fn quickstart_config_runs() {
    let config = tiny_quickstart("tiny");
    let limit = &config["hardware"][0]["latency_max_us"];
    let limit = limit.as_float().or_else(|| limit.as_integer().map(|limit| limit as f64)).unwrap();
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&[]);
    check_finished(&sandbox, &report, "tiny", 12);
    for network in report["front"].as_array().unwrap() {
        assert!(network["costs"]["latency_us"].as_f64().unwrap() <= limit, "{network}");
    }
    let again = sandbox.search(&[]);
    assert_eq!(report["front"], again["front"], "a study that has ended shows its result");
    assert_eq!(report["finished"], again["finished"]);
}

#[test]
fn seed_option_becomes_seed_of_study() {
    let sandbox = Sandbox::new(&tiny_quickstart("seeded").to_string());
    sandbox.search(&["--seed", "5", "--runs", "a"]);
    assert!(fs::read_to_string(sandbox.path("a/seeded/config.toml")).unwrap().contains("seed = 5"));
    let said = sandbox.kiln(&["search", "study.toml", "--runs", "a"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("`study.seed` was `5`"), "{}", said.err);
}

#[test]
#[ignore = "needs KILN_DATA: MNIST and Fashion-MNIST"]
fn idx_configs_run() {
    let configs = [
        ("mnist.toml", "mnist"),
        ("mnist-small.toml", "mnist"),
        ("mnist-tiny.toml", "mnist"),
        ("fashion-mnist.toml", "fashion-mnist"),
        ("fashion-mnist-tiny.toml", "fashion-mnist"),
    ];
    for (file, folder) in configs {
        let data = data();
        let mut config = tiny(file, "tiny");
        set(&mut config, "data", "limit", 1000.into());
        set(&mut config, "search", "trials", 6.into());
        let sandbox = Sandbox::new(&config.to_string());
        let report = sandbox.search(&["--data", data.join(folder).to_str().unwrap()]);
        check_finished(&sandbox, &report, "tiny", 6);
        // The run folder records the shape of the data, so this command does not need the data.
        let trial = report["front"][0]["trial"].to_string();
        let shown = sandbox.kiln(&["show", "tiny", &trial]);
        assert_eq!(shown.code, 0, "{}", shown.err);
        assert!(shown.out.contains("1x28x28"), "{}", shown.out);
    }
}

#[test]
fn tiny_mcu_config_runs_and_exports_8_bits() {
    let mut config = tiny("tiny-mcu.toml", "tiny");
    // Some of the small networks have very few weights. In 8 bits, their quantization scales take more bytes
    // than the weights save.
    let stage = &mut config["space"]["stages"][1];
    stage["blocks"] = toml::Value::from(vec!["conv", "residual"]);
    stage["width"] = toml::Value::from(48);
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&[]);
    check_finished(&sandbox, &report, "tiny", 12);
    for network in report["front"].as_array().unwrap() {
        assert!(network["costs"]["model_bytes"].as_f64().unwrap() <= 40_000.0, "{network}");
        assert!(network["costs"]["peak_memory_bytes"].as_f64().unwrap() <= 8_000.0, "{network}");
    }
    let trial = report["finished"][0]["trial"].to_string();
    let shown = sandbox.kiln(&["show", "tiny", &trial]);
    assert!(shown.out.contains("int8"), "{}", shown.out);
    // A weight takes one byte in this file, and four bytes in single precision.
    let bytes = |precision: &str| {
        let said = sandbox.kiln(&["export", "tiny", &trial, "--precision", precision, "--json", "--force"]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()["bytes"].as_f64().unwrap()
    };
    assert!(bytes("f32") > bytes("int8") * 1.2, "{} and {}", bytes("f32"), bytes("int8"));
}

#[test]
fn int8_export_of_f32_network_needs_data() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let report = sandbox.search(&[]);
    let trial = report["finished"][0]["trial"].to_string();
    let said = sandbox.kiln(&["export", "tiny", &trial, "--precision", "int8", "--out", "int8.onnx"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let file = fs::read(sandbox.path("int8.onnx")).unwrap();
    assert!(file.windows(14).any(|window| window == b"QuantizeLinear"), "the file has integers");
    // Without the data, Kiln cannot measure the ranges of values.
    let config = sandbox.run("tiny").config();
    let text = fs::read_to_string(&config).unwrap().replace("kind = \"digits\"", "kind = \"idx\"");
    fs::write(&config, text).unwrap();
    let said = sandbox.kiln(&["export", "tiny", &trial, "--precision", "int8"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("needs the study's training images"), "{}", said.err);
}

#[test]
fn two_devices_config_runs() {
    let mut config = tiny("two-devices.toml", "tiny");
    config["search"].as_table_mut().unwrap().remove("target");
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&[]);
    assert_eq!(report["trials"], 12);
    let limits = [("latency_us@cortex-a72", 500.0), ("latency_us@cortex-m7", 60_000.0)];
    let networks = report["front"].as_array().unwrap().iter().chain(report["finished"].as_array().unwrap());
    for network in networks {
        for (cost, limit) in limits {
            let cost = network["costs"][cost].as_f64().unwrap();
            assert!(cost > 0.0 && cost <= limit, "{network}");
        }
    }
    let shown = sandbox.kiln(&["front", "tiny"]);
    assert!(shown.out.contains("latency µs @cortex-m7"), "{}", shown.out);
}

#[test]
#[ignore = "needs KILN_DATA: CIFAR-10"]
fn cifar_config_runs() {
    let data = data();
    let mut config = tiny("cifar10.toml", "tiny");
    // The folder of real data contains only some training images of CIFAR-10.
    set(&mut config, "data", "train", vec!["data_batch_1_first4000.bin"].into());
    set(&mut config, "data", "test", 0.1.into());
    set(&mut config, "data", "limit", 500.into());
    set(&mut config, "search", "trials", 6.into());
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&["--data", data.join("cifar10").to_str().unwrap()]);
    check_finished(&sandbox, &report, "tiny", 6);
}

/// Returns a table as configs/tabular.toml describes it: three species of different sizes, and a weight that
/// depends on the size.
pub(crate) fn plants() -> String {
    let plant = |index: usize| {
        let (species, small) = (index % 3, (index * 7 % 10) as f64 / 10.0);
        let (length, width) = (4.0 + species as f64 + small, 3.0 + (index * 3 % 7) as f64 / 7.0);
        let (soil, name) = (["sand", "clay"][index % 2], ["setosa", "versicolor", "virginica"][species]);
        format!("{length:.2},{width:.2},{:.3},{soil},{name}\n", 20.0 * length * width)
    };
    "length,width,weight,soil,species\n".to_owned() + &(0..200).map(plant).collect::<String>()
}

#[test]
fn tabular_config_runs_on_own_table() {
    let sandbox = Sandbox::new(&tiny("tabular.toml", "tiny").to_string());
    fs::write(sandbox.path("plants.csv"), plants()).unwrap();
    let report = sandbox.search(&["--data", "."]);
    check_finished(&sandbox, &report, "tiny", 12);
}

#[test]
fn regression_on_table_runs() {
    let mut config = tiny("tabular.toml", "numbers");
    set(&mut config, "data", "target", "weight".into());
    set(&mut config, "data", "task", "regression".into());
    set(&mut config, "data", "categorical", vec!["soil", "species"].into());
    let sandbox = Sandbox::new(&config.to_string());
    fs::write(sandbox.path("plants.csv"), plants()).unwrap();
    let said = sandbox.kiln(&["search", "study.toml", "--data", "."]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("found `error_percent`, expected one of `mean_squared_error`"), "{}", said.err);
    // Without stated objectives, the metric for values is used.
    config["search"].as_table_mut().unwrap().remove("objectives");
    set(&mut config, "study", "name", "usual".into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let usual = sandbox.search(&["--data", "."]);
    assert!(usual["front"][0]["objectives"]["mean_squared_error"].as_f64().unwrap() > 0.0, "{usual}");
    let again = sandbox.search(&["--data", "."]);
    assert_eq!(again["front"], usual["front"], "the run folder says so, and the config is still the same");
    assert_eq!(sandbox.kiln(&["front", "usual", "--json"]).json()["front"], usual["front"]);
    set(&mut config, "study", "name", "numbers".into());
    set(&mut config, "search", "objectives", vec!["mean_squared_error", "latency_us"].into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let said = sandbox.kiln(&["search", "study.toml", "--data", "."]);
    assert_eq!(said.code, 0, "{}", said.err);
    let network = said.out.lines().find(|line| line.starts_with("Finished")).unwrap();
    assert!(network.contains("test mean squared error"), "{network}");
    assert!(!said.out.contains("accuracy") && !said.err.contains("accuracy"), "{}{}", said.out, said.err);
    let json = sandbox.kiln(&["front", "numbers", "--json"]).json();
    assert!(json["finished"][0]["test_mean_squared_error"].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
#[ignore = "needs KILN_DATA: the table of NAS-Bench-201"]
fn nasbench201_config_runs() {
    let data = data();
    let mut config = tiny("nasbench201.toml", "table");
    set(&mut config, "search", "trials", 50.into());
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&["--data", data.to_str().unwrap()]);
    assert_eq!(report["trials"], 50);
    let best = &report["front"][0]["metrics"]["error_percent"];
    // The study evaluates 50 of 15,625 cells. Half a percent of all cells have a test accuracy above 93.5 %.
    assert!(best.as_f64().unwrap() < 9.5, "{best}");
}

#[test]
fn every_config_has_a_test_in_this_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "cifar10.toml",
            "fashion-mnist-tiny.toml",
            "fashion-mnist.toml",
            "mnist-small.toml",
            "mnist-tiny.toml",
            "mnist.toml",
            "nasbench201.toml",
            "quickstart.toml",
            "tabular.toml",
            "tiny-mcu.toml",
            "two-devices.toml"
        ]
    );
}

#[test]
fn check_describes_config_without_training() {
    let sandbox = Sandbox::new(&tiny_quickstart("checked").to_string());
    let said = sandbox.kiln(&["check", "study.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for expected in ["decisions", "genotypes", "% of 1000 samples", "time", "memory", "latency µs"] {
        assert!(said.out.contains(expected), "{expected}: {}", said.out);
    }
    let json = sandbox.kiln(&["check", "study.toml", "--json"]).json();
    assert!(json["feasible"].as_u64().unwrap() <= json["samples"].as_u64().unwrap());
    assert!(json["estimate"]["memory_bytes"].as_u64().unwrap() > 0);
    assert!(!sandbox.path("runs").exists());
}

#[test]
fn init_writes_valid_config_and_overwrites_nothing() {
    let sandbox = Sandbox::new("");
    assert_eq!(sandbox.kiln(&["init"]).code, 0);
    let said = sandbox.kiln(&["check", "kiln.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let again = sandbox.kiln(&["init"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("already exists"), "{}", again.err);
}
