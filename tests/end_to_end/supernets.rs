//! Supernets: audits, reuse by another study, and searches that end at a target.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, set, tiny_quickstart};

#[test]
fn audit_compares_estimates_with_networks_trained_alone() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let none = sandbox.kiln(&["supernet", "audit", "tiny"]);
    assert_eq!(none.code, 2, "{}", none.err);
    sandbox.search(&[]);
    let journal = fs::read(sandbox.run("tiny").journal()).unwrap();
    let audit = |networks: &str| {
        let said =
            sandbox.kiln(&["supernet", "audit", "tiny", "--networks", networks, "--epochs", "1", "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()["audit"].clone()
    };
    let trained = || fs::read_to_string(sandbox.path("runs/tiny/audit.jsonl")).unwrap();
    let first = audit("4");
    let names: Vec<&Value> =
        first["predictors"].as_array().unwrap().iter().map(|found| &found["name"]).collect();
    let expected = ["supernet error_percent", "supernet loss_nats", "parameters", "macs", "negative_naswot"];
    assert_eq!(names, expected);
    for predictor in first["predictors"].as_array().unwrap() {
        let tau = predictor["correlation"]["tau"].as_f64();
        assert!(tau.is_none_or(|tau| (-1.0..=1.0).contains(&tau)), "{predictor}");
    }
    let after_first = trained();
    assert_eq!(after_first.lines().count(), 4);
    assert_eq!(audit("4"), first, "nothing is trained again");
    assert_eq!(trained(), after_first);
    let more = audit("5");
    assert_eq!(more["networks"].as_array().unwrap()[..4], first["networks"].as_array().unwrap()[..]);
    assert_eq!(trained().lines().count(), 5);
    assert_eq!(fs::read(sandbox.run("tiny").journal()).unwrap(), journal, "the study is left alone");
    let written: Value =
        serde_json::from_slice(&fs::read(sandbox.path("runs/tiny/audit.json")).unwrap()).unwrap();
    assert_eq!((&written["audit"], &written["epochs"]), (&more, &1.into()));
    assert!(!sandbox.path("runs/tiny/training").exists());
    assert_eq!(sandbox.kiln(&["report", "tiny"]).code, 0);
    let page = fs::read_to_string(sandbox.path("tiny.html")).unwrap();
    assert!(
        page.contains("5 random architectures were trained on their own")
            && page.contains("Estimate against training")
    );
    let repeated =
        ["supernet", "audit", "tiny", "--networks", "5", "--epochs", "2", "--repeats", "2", "--short", "1"];
    let table = sandbox.kiln(&repeated);
    // A training of one epoch is not the beginning of the longer training, because the two trainings have
    // different seeds.
    assert_eq!(trained().lines().count(), 5 + 3 * 5, "each shortly, and twice for two epochs");
    assert!(table.out.contains("trained again") && table.out.contains("trained 1 epoch "), "{}", table.out);
    assert!(table.out.contains("Kendall tau") && table.out.contains("95 % interval"), "{}", table.out);
}

#[test]
fn audit_of_corrected_estimates_shows_rivals() {
    let mut config = tiny_quickstart("tiny");
    let anchors = "networks = 5".parse::<toml::Table>().unwrap();
    set(&mut config, "evaluator", "anchors", anchors.into());
    let sandbox = Sandbox::new(&config.to_string());
    assert_eq!(sandbox.search(&[])["trials"], 12);
    let file = sandbox.path("runs/tiny/anchors.json");
    let written = fs::read_to_string(&file).unwrap();
    let anchors: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(anchors["anchors"].as_array().unwrap().len(), 5);
    let arguments = ["supernet", "audit", "tiny", "--networks", "4", "--epochs", "1"];
    let said = sandbox.kiln(&arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    for row in [
        "supernet error_percent",
        "uncorrected error_percent",
        "uncorrected loss_nats",
        "corrected parameters",
    ] {
        assert!(said.out.contains(row), "{row}: {}", said.out);
    }
    assert_eq!(sandbox.kiln(&["report", "tiny"]).code, 0);
    let page = fs::read_to_string(sandbox.path("tiny.html")).unwrap();
    assert!(page.contains("not corrected") && page.contains("corrected as the supernet is"));
    // Kiln repeats the work of damaged files, and the resumed search gives the same study.
    fs::write(&file, &written[..written.len() / 2]).unwrap();
    set(&mut config, "search", "trials", 14.into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let again = sandbox.kiln(&["search", "study.toml", "--plain"]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.contains("anchors.json") && again.err.contains("trained again"), "{}", again.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
}

#[test]
fn study_reuses_supernet_of_another() {
    let sandbox = Sandbox::new(&tiny_quickstart("first").to_string());
    sandbox.search(&[]);
    let mut config = tiny_quickstart("second");
    set(&mut config, "evaluator", "supernet", "runs/first".into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let second = sandbox.search(&[]);
    assert_eq!(second["trials"], 12);
    assert!(!sandbox.path("runs/second/supernet").exists());
    set(&mut config, "study", "name", "third".into());
    set(&mut config, "data", "validation", 0.3.into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("`evaluator.supernet`") && said.err.contains("other data"), "{}", said.err);
    assert!(!sandbox.path("runs/third").exists());
}

#[test]
fn search_ends_when_trial_reaches_target() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "search", "trials", 500.into());
    let target = "error_percent = 99.0".parse::<toml::Table>().unwrap();
    set(&mut config, "search", "target", target.into());
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&["--workers", "1"]);
    // The first trial reaches the target. The pending trials are still recorded.
    assert_eq!(report["trials"], 8, "{report}");
    let again = sandbox.search(&["--runs", "b", "--workers", "3"]);
    assert_eq!(report["front"], again["front"]);
    let unknown = "error = 1.0".parse::<toml::Table>().unwrap();
    set(&mut config, "search", "target", unknown.into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let said = sandbox.kiln(&["search", "study.toml", "--runs", "c"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("search.target") && said.err.contains("`error_percent`"), "{}", said.err);
}

#[test]
fn zero_cost_proxy_search_runs() {
    let mut config = tiny_quickstart("proxy");
    config.remove("evaluator");
    config.insert("evaluator".to_owned(), "kind = \"naswot\"".parse::<toml::Table>().unwrap().into());
    set(&mut config, "search", "objectives", vec!["negative_naswot", "latency_us"].into());
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&[]);
    assert_eq!(report["trials"], 12);
    assert!(report["finished"][0]["test_accuracy_percent"].as_f64().is_some(), "{report}");
}

#[test]
fn unavailable_device_is_refused_before_run_folder_exists() {
    for (device, feature) in [("cuda:0", "--features cuda"), ("wgpu:0", "--features wgpu")] {
        if cfg!(any(feature = "cuda", feature = "wgpu")) {
            eprintln!("skipped: this build has other devices");
            return;
        }
        let mut config = tiny_quickstart("elsewhere");
        set(&mut config, "evaluator", "device", device.into());
        let sandbox = Sandbox::new(&config.to_string());
        let said = sandbox.kiln(&["search", "study.toml"]);
        assert_eq!(said.code, 2);
        assert!(said.err.contains("`evaluator.device`") && said.err.contains(feature), "{}", said.err);
        assert!(!sandbox.path("runs").exists());
    }
}
