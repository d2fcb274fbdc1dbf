//! Fidelities: the evaluator must support the strategy's fidelities, the budget must suffice for them, and
//! every displayed value must state its fidelity.

use std::fs;

use serde_json::json;

use crate::sandbox::{Sandbox, SmallStudy};

const EVALUATOR: &str = r#"kind = "scratch"
epochs = 4
calibration = 64"#;

/// A study of small perceptrons with two rungs below the full schedule of four epochs.
fn config(evaluator: &str, strategy: &str, budget: &str) -> String {
    finished(evaluator, strategy, budget, "")
}

/// The same config with a `[finish]` table.
fn finished(evaluator: &str, strategy: &str, budget: &str, finish: &str) -> String {
    SmallStudy {
        name: "rungs",
        seed: 7,
        width: "[8, 16, 32, 48]",
        evaluator,
        search: &format!("strategy = {strategy}\n{budget}"),
        more: finish,
        ..SmallStudy::default()
    }
    .text()
}

#[track_caller]
fn assert_refused(config: &str, message: &str) {
    let sandbox = Sandbox::new(config);
    for command in ["search", "check"] {
        let said = sandbox.kiln(&[command, "study.toml"]);
        assert_eq!((said.code, said.err.trim()), (2, message), "{command}");
        assert!(!sandbox.path("runs").exists(), "a refused config leaves no run folder");
    }
}

#[test]
fn rungs_with_supernet_are_refused() {
    let supernet = "kind = \"supernet\"\nepochs = 2\ncalibration = 64";
    assert_refused(
        &config(supernet, r#"{ kind = "asha", epochs = [1, 3] }"#, "trials = 20"),
        "error: study.toml:22: `search.strategy.epochs`: found [1,3], expected a strategy without rungs of \
         epochs, such as `regularized_evolution`: the evaluator `supernet` answers zero-cost proxies, full, \
         the same at every rung; `asha` needs one that trains each network, such as `scratch`",
    );
    assert_refused(
        &config(supernet, r#""hyperband""#, "trials = 20"),
        "error: study.toml:22: `search.strategy`: found `hyperband`, which asks for 1 epoch, 3 epochs, full, \
         expected a strategy without rungs of epochs, such as `regularized_evolution`: the evaluator \
         `supernet` answers zero-cost proxies, full, the same at every rung; `hyperband` needs one that \
         trains each network, such as `scratch`",
    );
}

#[test]
fn rungs_and_proxies_with_table_are_refused() {
    let sandbox = |strategy: &str| {
        let config = format!(
            r#"study = {{ name = "rungs" }}
evaluator = {{ kind = "table", file = "t.csv", key = "genes", key_format = "genotype", signal = "accuracy" }}
search = {{ strategy = {strategy}, trials = 100 }}
[space]
kind = "nasbench201"
"#
        );
        let sandbox = Sandbox::new(&config);
        fs::write(sandbox.path("t.csv"), "genes,accuracy\n0-0-0-0-0-0,50\n").unwrap();
        let said = sandbox.kiln(&["search", "study.toml", "--data", "."]);
        assert!(!sandbox.path("runs").exists());
        (said.code, said.err.trim().to_owned())
    };
    for name in ["asha", "bohb", "hyperband", "successive_halving"] {
        let (code, said) = sandbox(&format!("\"{name}\""));
        let start = format!(
            "error: study.toml:3: `search.strategy`: found `{name}`, which asks for 1 epoch, 3 epochs, full, \
             expected a strategy without"
        );
        assert!(code == 2 && said.starts_with(&start), "{said}");
    }
    let (code, said) = sandbox(r#"{ kind = "random", proxies = { draw = 5 } }"#);
    assert_eq!(
        (code, said.as_str()),
        (
            2,
            "error: study.toml:3: `search.strategy.proxies`: found the evaluator `table`, which answers \
             full, expected an evaluator that answers zero-cost proxies, such as `supernet` or `scratch`, or \
             no `proxies`"
        )
    );
}

#[test]
fn rungs_above_schedule_are_refused() {
    let long = EVALUATOR.replace("epochs = 4", "epochs = 20");
    assert_refused(
        &config(&long, r#"{ kind = "asha", epochs = [10, 30] }"#, "trials = 60"),
        "error: study.toml:22: `search.strategy.epochs`: found [10,30], expected epochs below 20: the \
         evaluator `scratch` trains for 20 epochs, which are the highest rung",
    );
    let short = EVALUATOR.replace("epochs = 4", "epochs = 1");
    assert_refused(
        &config(&short, r#""asha""#, "trials = 60"),
        "error: study.toml:22: `search.strategy`: found `asha`, which asks for 1 epoch, 3 epochs, full, \
         expected a longer schedule: the evaluator `scratch` trains for 1 epoch, and none is shorter; raise \
         `evaluator.epochs`, or choose a strategy without rungs, such as `regularized_evolution`",
    );
}

#[test]
fn budget_without_full_fidelity_trial_is_refused() {
    assert_refused(
        &config(EVALUATOR, r#""successive_halving""#, "trials = 12"),
        "error: study.toml:23: `search.trials`: found 12, expected at least 13, so that \
         `successive_halving` judges one network with full effort (fidelities: 1 epoch, 3 epochs, full; \
         8 trials in flight); raise it, or lower `in_flight`",
    );
    assert_refused(
        &config(EVALUATOR, r#""successive_halving""#, "trials = 50\nepochs = 21"),
        "error: study.toml:24: `search.epochs`: found 21, expected at least 22, so that \
         `successive_halving` judges one network with full effort (fidelities: 1 epoch, 3 epochs, full; \
         8 trials in flight); raise it, or lower `in_flight`",
    );
    assert_refused(
        &config("kind = \"naswot\"", r#""random""#, "trials = 50\nepochs = 21")
            .replace("error_percent", "negative_naswot"),
        "error: study.toml:22: `search.epochs`: found a budget in epochs, expected no such budget: the \
         trials of the evaluator `naswot` train nothing; set `trials` or `hours`",
    );
    assert_refused(
        &config(EVALUATOR, r#"{ kind = "random", proxies = { draw = 30 } }"#, "trials = 30"),
        "error: study.toml:23: `search.trials`: found 30, expected at least 31, so that `random` judges one \
         network with full effort (fidelities: zero-cost proxy, full; 8 trials in flight); raise it, \
         or lower `in_flight`",
    );
}

/// The study runs to its end. The test then cuts the journal after the first trials. At that point, no
/// network has been evaluated with full effort.
#[test]
fn every_view_states_fidelity_of_values() {
    let rungs = r#"{ kind = "successive_halving", epochs = [1] }"#;
    let finish = "\n[finish]\nepochs = 1\ncalibration = 64\n";
    let sandbox = Sandbox::new(&finished(EVALUATOR, rungs, "trials = 4", finish));
    let found = sandbox.search(&["--workers", "2"]);
    // Three networks have trained for one epoch, and the best of them for the full schedule.
    assert_eq!(
        found["spent"],
        json!({ "epochs": 7, "full_epochs": 4, "rungs": [
            { "fidelity": { "epochs": 1 }, "networks": 3, "failed": 0 },
            { "fidelity": "full", "networks": 1, "failed": 0 },
        ] })
    );
    assert_eq!(found["front"][0]["fidelity"], "full");
    let front = sandbox.kiln(&["front", "rungs"]);
    assert!(front.out.contains("\nPareto front: 1 networks out of 4 trials\n"), "{}", front.out);
    let effort = "\nEffort: 7 epochs (1.8 full trainings); networks judged: 3 after 1 of 4 epochs, 1 with \
                  full effort\n";
    assert!(front.out.contains(effort), "{}", front.out);
    assert!(sandbox.kiln(&["front", "rungs", "--csv"]).out.starts_with("trial,genotype,error_percent,"));
    assert!(
        sandbox.kiln(&["show", "rungs", "0"]).out.starts_with("trial 0 (after 1 of 4 epochs): accuracy %")
    );
    assert!(sandbox.kiln(&["show", "rungs", "3"]).out.starts_with("trial 3: accuracy %"));
    let card = fs::read_to_string(sandbox.run("rungs").model(3).join("card.json")).unwrap();
    assert!(!card.contains("the search judged"), "{card}");

    let journal = sandbox.run("rungs").journal();
    let text = fs::read_to_string(&journal).unwrap();
    let is_short =
        |line: &&str| line.contains("\"kind\":\"trial\"") && line.contains("\"fidelity\":{\"epochs\":1}");
    let last = text.lines().position(|line| line.contains("\"fidelity\":\"full\"")).unwrap();
    let kept: Vec<&str> = text.lines().take(last).collect();
    assert_eq!(kept.iter().filter(|line| is_short(line)).count(), 3);
    fs::write(&journal, kept.join("\n") + "\n").unwrap();
    let front = sandbox.kiln(&["front", "rungs"]);
    let loud = "NO NETWORK WAS JUDGED WITH FULL EFFORT: values of the front were measured after \
                1 of 4 epochs.\n";
    assert!(front.out.starts_with(loud), "{}", front.out);
    assert!(front.out.lines().any(|line| line.ends_with("  after 1 of 4 epochs")), "{}", front.out);
    let csv = sandbox.kiln(&["front", "rungs", "--csv"]).out;
    assert!(csv.starts_with("trial,genotype,fidelity,error_percent,"), "{csv}");
    assert!(csv.lines().skip(1).all(|line| line.contains(",\"1 epoch\",")), "{csv}");
    let json = sandbox.kiln(&["front", "rungs", "--json"]).json();
    assert_eq!(json["front"][0]["fidelity"], json!({ "epochs": 1 }));
    assert_eq!(sandbox.kiln(&["report", "rungs", "--out", "page.html"]).code, 0);
    let page = fs::read_to_string(sandbox.path("page.html")).unwrap();
    assert!(page.contains("No network was judged with full effort"), "{page}");
    assert!(page.contains("after 1 of 4 epochs"), "{page}");
}

#[test]
fn epoch_budget_ends_study_and_larger_one_resumes_it() {
    let budget = |epochs: u32| {
        config(
            EVALUATOR,
            r#"{ kind = "successive_halving", epochs = [1] }"#,
            &format!("trials = 100\nepochs = {epochs}"),
        )
    };
    let sandbox = Sandbox::new(&budget(7));
    let found = sandbox.search(&[]);
    assert_eq!((found["trials"].as_u64(), found["spent"]["epochs"].as_u64()), (Some(4), Some(7)));
    fs::write(sandbox.path("study.toml"), budget(14)).unwrap();
    let found = sandbox.search(&[]);
    assert_eq!((found["trials"].as_u64(), found["spent"]["epochs"].as_u64()), (Some(8), Some(14)));
}

#[test]
fn check_states_rungs_and_first_full_trial() {
    let effort = |strategy: &str| {
        let sandbox = Sandbox::new(&config(EVALUATOR, strategy, "trials = 40"));
        let said = sandbox.kiln(&["check", "study.toml"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let json = sandbox.kiln(&["check", "study.toml", "--json"]).json();
        (
            said.out.lines().find(|line| line.starts_with("effort ")).map(str::to_owned),
            json["fidelities"].clone(),
        )
    };
    let (line, json) = effort(r#"{ kind = "successive_halving", epochs = [1, 4] }"#);
    let said =
        "effort       1 epoch, full (4 epochs); the first network is judged with full effort after 4 trials";
    assert_eq!(line.as_deref(), Some(said), "four epochs are the whole schedule");
    assert_eq!(json, json!([{ "epochs": 1 }, "full"]));
    assert_eq!(effort(r#""random""#), (None, json!(["full"])));
}
