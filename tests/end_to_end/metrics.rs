//! Optional metrics and class weights, and results by class or by value in card, report and `kiln eval`.

use std::fs;

use serde_json::Value;
use toml::Table;

use crate::configs::plants;
use crate::sandbox::{Sandbox, set, tiny};

fn table(name: &str) -> Table {
    let mut config = tiny("tabular.toml", name);
    set(&mut config, "evaluator", "epochs", 10.into());
    config
}

fn sandbox(config: &Table) -> Sandbox {
    let sandbox = Sandbox::new(&config.to_string());
    fs::write(sandbox.path("plants.csv"), plants()).unwrap();
    sandbox
}

fn card(sandbox: &Sandbox, study: &str, report: &Value) -> Value {
    let trial = report["finished"][0]["trial"].as_u64().unwrap();
    let card = fs::read_to_string(sandbox.run(study).model(trial).join("card.json")).unwrap();
    serde_json::from_str(&card).unwrap()
}

fn page(sandbox: &Sandbox, study: &str) -> String {
    let said = sandbox.kiln(&["report", study]);
    assert_eq!(said.code, 0, "{}", said.err);
    fs::read_to_string(sandbox.path(&format!("{study}.html"))).unwrap()
}

#[test]
fn class_weights_and_results_by_class_are_shown() {
    let mut config = table("classes");
    set(&mut config, "evaluator", "class_weights", "balanced".into());
    set(&mut config, "evaluator", "metrics", vec!["macro_f1_error_percent"].into());
    set(&mut config, "search", "objectives", vec!["balanced_error_percent", "latency_us"].into());
    let target: Table = "macro_f1_error_percent = -1.0".parse().unwrap();
    set(&mut config, "search", "target", target.into());
    let sandbox = sandbox(&config);
    let report = sandbox.search(&["--data", "."]);
    let metrics = &report["front"][0]["metrics"];
    for name in ["error_percent", "loss_nats", "balanced_error_percent", "macro_f1_error_percent"] {
        assert!(metrics[name].as_f64().is_some(), "{name}: {report}");
    }
    let finished = &report["finished"][0];
    for name in ["test_accuracy_percent", "test_balanced_accuracy_percent", "test_macro_f1_percent"] {
        assert!((0.0..=100.0).contains(&finished[name].as_f64().unwrap()), "{name}: {report}");
    }
    let front = sandbox.kiln(&["front", "classes"]).out;
    assert!(front.contains("estimated balanced accuracy %") && front.contains("macro F1 %"), "{front}");

    let card = card(&sandbox, "classes", &report);
    assert_eq!((&card["version"], &card["fidelity"]), (&3.into(), &"full".into()));
    assert_eq!(card["date"], "2026-11-29", "as `SOURCE_DATE_EPOCH` says");
    let split = &card["split"];
    assert_eq!((&split["seed"], &split["test"]), (&0.into(), &card["test"]["examples"]));
    assert_eq!(card["class_weights"].as_object().unwrap().len(), 3);
    for metric in card["metrics"].as_array().unwrap() {
        let name = metric["name"].as_str().unwrap();
        let is_predicted = !name.starts_with("test_") && !["macs", "parameters"].contains(&name);
        let by = &metric["predicted_by"];
        assert_eq!(by.is_object(), is_predicted, "{metric}");
        if is_predicted {
            assert_eq!(by["device"], "cortex-m7");
            assert!(by["model"].as_str().unwrap().starts_with("cortex-m7/"), "{metric}");
            assert_eq!((&by["batch"], &by["threads"]), (&1.into(), &1.into()));
        }
    }

    let folder = format!("runs/classes/models/{}", finished["trial"]);
    let judged = sandbox.kiln(&["eval", &folder, "--data", ".", "--json"]).json();
    assert_eq!(judged["results"]["confusion"], card["test"]["confusion"]);
    let counts = judged["results"]["confusion"].as_array().unwrap().iter();
    let counts = counts.flat_map(|row| row.as_array().unwrap()).map(|count| count.as_u64().unwrap());
    assert_eq!(Some(counts.sum()), judged["examples"].as_u64());
    let class = &judged["results"]["classes"][1];
    assert_eq!(class["name"], "versicolor");
    assert!(class["recall_percent"].as_f64().is_some() && class["support"].as_u64() > Some(0), "{class}");
    let said = sandbox.kiln(&["eval", &folder, "--data", "."]).out;
    for part in ["test macro F1 %", "class       precision %  recall %", "Confusion matrix", "\nversicolor "]
    {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    let page = page(&sandbox, "classes");
    for part in ["Test results of finished networks", "Confusion matrix of trial", "recall %", "versicolor"] {
        assert!(page.contains(part), "`{part}` is not in the report");
    }

    // Settings that influence outcomes cannot change within a study.
    set(&mut config, "evaluator", "class_weights", false.into());
    set(&mut config, "search", "trials", 20.into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let refused = sandbox.kiln(&["search", "study.toml", "--data", "."]);
    assert!(refused.code != 0 && refused.err.contains("evaluator.class_weights"), "{}", refused.err);
}

#[test]
fn regression_reports_absolute_error_and_r2() {
    let mut config = table("values");
    set(&mut config, "data", "target", "weight".into());
    set(&mut config, "data", "task", "regression".into());
    set(&mut config, "data", "categorical", vec!["soil", "species"].into());
    set(&mut config, "search", "objectives", vec!["mean_absolute_error", "one_minus_r2"].into());
    let sandbox = sandbox(&config);
    let report = sandbox.search(&["--data", "."]);
    let metrics = &report["front"][0]["metrics"];
    assert!(metrics["mean_absolute_error"].as_f64() > Some(0.0), "{report}");
    assert!(metrics["one_minus_r2"].as_f64() > Some(0.0), "{report}");
    let front = sandbox.kiln(&["front", "values"]).out;
    assert!(front.contains("estimated R²"), "{front}");
    let card = card(&sandbox, "values", &report);
    let weight = &card["test"]["values"][0];
    let r2 = report["finished"][0]["test_r2"].as_f64().unwrap();
    assert!((weight["r2"].as_f64().unwrap() - r2).abs() < 1e-9, "{card}");
    let folder = format!("runs/values/models/{}", report["finished"][0]["trial"]);
    let judged = sandbox.kiln(&["eval", &folder, "--data", ".", "--json"]).json();
    let again = judged["metrics"]["test_mean_absolute_error"].as_f64().unwrap();
    let first = report["finished"][0]["test_mean_absolute_error"].as_f64().unwrap();
    assert!((again / first - 1.0).abs() < 1e-3, "{again} {first}");
    assert!(judged["metrics"]["test_rmse_deviations_of_training_mean"].as_f64() > Some(0.5), "{judged}");
    let said = sandbox.kiln(&["eval", &folder, "--data", "."]).out;
    assert!(said.contains("by the training mean") && said.contains("test R²: "), "{said}");
    assert!(page(&sandbox, "values").contains("the same for the training mean"));
}

#[test]
fn wrong_metrics_are_refused_with_line_and_accepted_names() {
    let said = |change: fn(&mut Table)| {
        let mut config = table("wrong");
        change(&mut config);
        let sandbox = sandbox(&config);
        let said = sandbox.kiln(&["search", "study.toml", "--data", "."]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(!sandbox.path("runs").exists(), "a refused config leaves no run folder");
        said.err
    };
    let err = said(|config| set(config, "evaluator", "class_weights", "balance".into()));
    assert!(err.contains("study.toml, line ") || err.contains("study.toml:"), "{err}");
    assert!(err.contains("evaluator.class_weights") && err.contains("\"balanced\""), "{err}");
    let err = said(|config| {
        let table: Table = "setossa = 2.0".parse().unwrap();
        set(config, "evaluator", "class_weights", table.into());
    });
    assert!(err.contains("evaluator.class_weights.setossa") && err.contains("`setosa`"), "{err}");
    let err = said(|config| {
        let table: Table = "setosa = -2".parse().unwrap();
        set(config, "evaluator", "class_weights", table.into());
    });
    assert!(err.contains("found `-2`, expected a number above 0"), "{err}");
    let err = said(|config| set(config, "search", "objectives", vec!["balanced_eror_percent"].into()));
    assert!(err.contains("`loss_nats`, `balanced_error_percent`, `macro_f1_error_percent`"), "{err}");
    let err = said(|config| {
        let target: Table = "balanced_error_percent = 5.0".parse().unwrap();
        set(config, "search", "target", target.into());
    });
    assert!(err.contains("set `metrics = [\"balanced_error_percent\"]` in `[evaluator]`"), "{err}");
}
