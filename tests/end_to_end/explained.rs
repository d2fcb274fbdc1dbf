//! Messages that explain why a study ended, what failed and what does not fit. Also tests finishing networks
//! after a study.

use std::fs;

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, SmallStudy};

/// A study of six small networks that train for one epoch each.
fn small() -> String {
    SmallStudy {
        data: "kind = \"digits\"\nlimit = 300",
        evaluator: "kind = \"scratch\"\nepochs = 1\nbatch = 48",
        search: "strategy = \"random\"\ntrials = 100",
        ..SmallStudy::default()
    }
    .text()
}

/// Returns the error for [`small`] after `from` is replaced by `to`. The config must be refused.
fn refused(from: &str, to: &str) -> String {
    let sandbox = Sandbox::new(&small().replace(from, to));
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(!sandbox.path("runs").exists(), "a config that is refused leaves no run folder");
    said.err
}

#[test]
fn exhausted_space_ends_search_with_reason() {
    for strategy in ["random", "regularized_evolution", "clustered", "local_search"] {
        let sandbox = Sandbox::new(&small().replace("\"random\"", &format!("\"{strategy}\"")));
        let report = sandbox.search(&[]);
        assert_eq!(report["trials"], 6, "{strategy}");
        assert_eq!(
            (&report["ended"]["reason"], &report["ended"]["networks"]),
            (&json!("exhausted"), &json!(6))
        );
        let front = sandbox.kiln(&["front", "small"]);
        assert!(
            front.out.contains("The search ended early: the space is exhausted: all 6 networks"),
            "{}",
            front.out
        );
        let page = sandbox.kiln(&["report", "small"]);
        assert_eq!(page.code, 0, "{}", page.err);
        assert!(fs::read_to_string(sandbox.path("small.html")).unwrap().contains("the space is exhausted"));
    }
}

#[test]
fn trials_are_required_unless_something_else_ends_search() {
    let sandbox = Sandbox::new(&small().replace("trials = 100\n", ""));
    assert_eq!(sandbox.search(&[])["trials"], 6);
    let checked = sandbox.kiln(&["check", "study.toml"]);
    assert!(checked.out.contains("at most all 6 networks of the space"), "{}", checked.out);
    let endless = |search: &str| {
        let large =
            small().replace("width = [8, 16]", "width = [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]");
        Sandbox::new(
            &large.replace("layers = [1, 2]", "layers = [1, 2, 3, 4, 5]").replace("trials = 100\n", search),
        )
    };
    let said = endless("").kiln(&["check", "study.toml"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("`search.trials`: missing; expected a number of trials, or `epochs`, `hours`"),
        "{}",
        said.err
    );
    let hours = endless("hours = 0.0005\n");
    let report = hours.search(&[]);
    assert_eq!(report["ended"]["reason"], "hours");
    assert!(hours.kiln(&["check", "study.toml"]).out.contains("0.0005 h of work"));
}

#[test]
fn study_with_only_failures_ends_with_reason_and_error() {
    let optimizer = "epochs = 2\noptimizer = { kind = \"sgd\", learning_rate = 100 }";
    let sandbox =
        Sandbox::new(&small().replace("epochs = 1", optimizer).replace("trials = 100", "trials = 4"));
    for _ in 0..2 {
        let said = sandbox.kiln(&["search", "study.toml", "--json"]);
        assert_eq!(said.code, 1, "{}", said.err);
        let report = said.json();
        let failed = report["failed"].as_array().unwrap();
        assert_eq!(failed.len(), 1, "reasons that differ in numbers are one: {failed:?}");
        assert_eq!((&failed[0]["kind"], &failed[0]["count"]), (&json!("diverged"), &json!(4)));
        assert_eq!(failed[0]["trials"], json!([0, 1, 2, 3]));
    }
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 1);
    for expected in [
        "No network was measured in 4 trials",
        "All 4 trials failed:",
        "4 diverged: ",
        "lower `learning_rate`",
    ] {
        assert!(said.out.contains(expected), "{expected}: {}", said.out);
    }
    let front = sandbox.kiln(&["front", "small"]);
    assert_eq!(front.code, 0);
    assert!(front.out.contains("All 4 trials failed:"), "{}", front.out);
    assert_eq!(sandbox.kiln(&["report", "small"]).code, 0);
    let page = fs::read_to_string(sandbox.path("small.html")).unwrap();
    assert!(page.contains("4 of 4 trials failed: 4 diverged") && page.contains("clip_norm"));
}

#[test]
fn unfit_start_genotypes_are_refused_with_line() {
    let strategy = "strategy = \"random\"";
    let start =
        |list: &str| refused(strategy, &format!("strategy = {{ kind = \"random\", start = {list} }}"));
    for (list, expected) in [
        (
            "[[1, 0]]",
            "study.toml:23: `search.strategy.start.0`: `1-0` cannot be tried: the genotype has 2 genes, \
             expected 3",
        ),
        (
            "[\"0-0-0\", \"0-2-0\"]",
            "study.toml:23: `search.strategy.start.1`: `0-2-0` cannot be tried: gene 1",
        ),
        ("[\"0-x-0\"]", "study.toml:23: `search.strategy.start.0`: "),
    ] {
        let said = start(list);
        assert!(said.contains(expected), "{said}");
    }
    let limited = small().replace("device = \"cortex-m7\"", "device = \"cortex-m7\"\nlatency_max_us = 40");
    let given = limited.replace(strategy, "strategy = { kind = \"random\", start = [\"1-1-1\"] }");
    let said = Sandbox::new(&given).kiln(&["check", "study.toml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("`1-1-1` cannot be tried: `latency_us` is 56.6"), "{}", said.err);
    assert!(said.err.contains("the limit 40"), "{}", said.err);
}

#[test]
fn prior_of_other_space_is_refused() {
    let sandbox = Sandbox::new(&small().replace("trials = 100", "trials = 4"));
    sandbox.search(&[]);
    let transfer = "strategy = { kind = \"random\", transfer = { journal = \"runs/small/journal.jsonl\" } }";
    let again = small().replace("strategy = \"random\"", transfer).replace("\"small\"", "\"again\"");
    fs::write(sandbox.path("again.toml"), &again).unwrap();
    let report = sandbox.kiln(&["search", "again.toml", "--json"]);
    assert_eq!(report.code, 0, "{}", report.err);
    // The other space has the same numbers of genes and options, but other networks.
    fs::write(sandbox.path("other.toml"), again.replace("width = [8, 16]", "width = [16, 32]")).unwrap();
    let said = sandbox.kiln(&["search", "other.toml"]);
    assert_eq!(said.code, 2);
    let expected = "other.toml:23: `search.strategy.transfer.journal`: runs/small/journal.jsonl: its study \
                    searched another \
                    space, where `space.width` is `[8,16]` (here `[16,32]`)";
    assert!(said.err.contains(expected), "{}", said.err);
}

/// Content of the files of a finished network.
fn network(sandbox: &Sandbox, trial: u64) -> Vec<Vec<u8>> {
    let folder = sandbox.run("small").model(trial);
    ["model.onnx", "model.kiln"].map(|file| fs::read(folder.join(file)).unwrap()).to_vec()
}

#[test]
fn finish_command_gives_same_network_as_study() {
    let finish = "\n[finish]\nnetworks = 2\nepochs = 2\n";
    let whole = Sandbox::new(&(small() + finish));
    let finished = whole.search(&[])["finished"].clone();
    let trials: Vec<u64> =
        finished.as_array().unwrap().iter().map(|one| one["trial"].as_u64().unwrap()).collect();
    assert_eq!(trials.len(), 2);

    let later = Sandbox::new(&small());
    let said = later.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("`kiln finish small` trains and exports some"), "{}", said.err);
    let said = later.kiln(&["finish", "small", "--networks", "1", "--epochs", "2", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.json()["finished"][0], finished[0]);
    // The command names the run folder by its path. The folder's name differs from the study's name.
    fs::rename(later.path("runs/small"), later.path("moved")).unwrap();
    let second = trials[1].to_string();
    let said = later.kiln(&["finish", "moved", &second, "--epochs", "2"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains(&format!("Finished trial {second}: ")), "{}", said.out);
    fs::rename(later.path("moved"), later.path("runs/small")).unwrap();
    for trial in &trials {
        assert!(network(&later, *trial) == network(&whole, *trial), "trial {trial}: other bytes");
    }
    assert_eq!(later.facts("small"), whole.facts("small"));

    let said = later.kiln(&["finish", "small", "99"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("trial 99 cannot be finished"), "{}", said.err);
    fs::write(later.path("tabled.toml"), small().replace("\"small\"", "\"begun\"")).unwrap();
    fs::create_dir_all(later.path("runs/begun")).unwrap();
    fs::write(later.path("runs/begun/config.toml"), small().replace("\"small\"", "\"begun\"")).unwrap();
    assert_eq!(later.kiln(&["finish", "begun"]).code, 2, "its search has not ended");

    let listed = later.kiln(&["list", "--json"]).json();
    let states: Vec<(&Value, &Value)> =
        listed.as_array().unwrap().iter().map(|study| (&study["name"], &study["state"])).collect();
    assert_eq!(states, [(&json!("begun"), &json!("interrupted")), (&json!("small"), &json!("ended"))]);
    assert_eq!((&listed[1]["trials"], &listed[1]["finished"]), (&json!(6), &json!(2)));
    let text = later.kiln(&["list"]).out;
    assert!(text.contains("small  ended        6 of 100"), "{text}");
}
