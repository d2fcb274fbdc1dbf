//! Numbers with different meanings. Costs state the batch and threads of their predictions. Comparisons
//! refuse or separate numbers that differ in meaning.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, SmallStudy};

/// A study of small perceptrons on a device with these settings. The evaluator trains for `epochs`.
fn config(name: &str, seed: u32, device: &str, epochs: u32) -> String {
    SmallStudy {
        name,
        seed,
        data: "kind = \"digits\"\nlimit = 300",
        width: "[64, 128]",
        hardware: &format!("device = \"cortex-a72\"\n{device}"),
        evaluator: &format!("kind = \"scratch\"\nepochs = {epochs}\nbatch = 48\ncalibration = 64"),
        search: "strategy = \"random\"\ntrials = 3",
        more: "[finish]\nnetworks = 1\nepochs = 1\ncalibration = 64\n",
        ..SmallStudy::default()
    }
    .text()
}

/// Runs these configs in one folder.
fn runs(configs: &[String]) -> Sandbox {
    let sandbox = Sandbox::new("");
    for config in configs {
        fs::write(sandbox.path("study.toml"), config).unwrap();
        sandbox.search(&[]);
    }
    sandbox
}

#[test]
fn latencies_state_conditions_and_compare_only_under_equal_ones() {
    let single = config("single", 1, "batch = 1", 1);
    let batched = config("batched", 1, "batch = 32", 1);
    let four = config("four", 1, "batch = 1\nthreads = 4", 1);
    let sandbox = runs(&[single, batched, four]);
    let one = "cortex-a72/roofline/hw-nas-bench-raspi4-100 for a batch of 1 example on 1 thread";
    for (other, conditions) in
        [("batched", "a batch of 32 examples on 1 thread"), ("four", "a batch of 1 example on 4 threads")]
    {
        let refused = sandbox.kiln(&["compare", "single", other]);
        assert_eq!(refused.code, 2, "{}", refused.err);
        let why = format!(
            "cannot be compared: `latency_us` comes from {one} and from \
             cortex-a72/roofline/hw-nas-bench-raspi4-100 for {conditions}"
        );
        assert!(refused.err.contains(&why), "{}", refused.err);
        let front = sandbox.kiln(&["front", other]).out;
        assert!(
            front.contains(&format!("cortex-a72/roofline/hw-nas-bench-raspi4-100, for {conditions}")),
            "{front}"
        );
        let shown = sandbox.kiln(&["show", other, "0"]).out;
        assert!(shown.contains(conditions), "{shown}");
        assert_eq!(sandbox.kiln(&["report", other]).code, 0);
        let page = fs::read_to_string(sandbox.path(&format!("{other}.html"))).unwrap();
        assert!(page.contains(&format!("hw-nas-bench-raspi4-100, for {conditions}")));
        let front = sandbox.kiln(&["front", other, "--json"]).json();
        let trial = front["finished"][0]["trial"].as_u64().unwrap();
        let card = fs::read_to_string(sandbox.run(other).model(trial).join("card.json")).unwrap();
        let card: Value = serde_json::from_str(&card).unwrap();
        let latency =
            card["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == "latency_us").unwrap();
        assert!(latency["how"].as_str().unwrap().ends_with(&format!("for {conditions}")), "{latency}");
    }
    let devices = &sandbox.kiln(&["front", "batched", "--json"]).json()["devices"];
    assert_eq!((&devices[0]["batch"], &devices[0]["threads"]), (&32.into(), &1.into()));
    let arguments =
        ["hw", "predict", "0-1-0", "--space", "study.toml", "--device", "cortex-a72", "--batch", "8"];
    let predicted = sandbox.kiln(&arguments);
    assert!(predicted.out.contains("are those of a whole batch"), "{}{}", predicted.out, predicted.err);
    let json = sandbox.kiln(&[&arguments[..], &["--json"]].concat()).json();
    assert_eq!(
        (&json["predictions"][0]["batch"], &json["predictions"][0]["threads"]),
        (&8.into(), &1.into())
    );
}

#[test]
fn only_seeds_of_one_config_are_pooled() {
    let device = "batch = 1";
    let sandbox =
        runs(&[config("one", 1, device, 1), config("two", 2, device, 1), config("longer", 3, device, 2)]);
    let compared = sandbox.kiln(&["compare", "one", "two", "--json"]).json();
    assert_eq!(
        (&compared["measure"], &compared["growth"][0]["seeds"]),
        (&"trials".into(), &serde_json::json!([1, 2]))
    );
    assert_eq!(compared["warnings"], serde_json::json!([]));

    let compared = sandbox.kiln(&["compare", "one", "two", "longer", "--json"]).json();
    let seeds: Vec<&Value> =
        compared["growth"].as_array().unwrap().iter().map(|line| &line["seeds"]).collect();
    assert_eq!(seeds, [&serde_json::json!([1, 2]), &serde_json::json!([3])]);
    let why = "not pooled with one: `evaluator.epochs` is `1` there and `2` here";
    assert_eq!(compared["growth"][1]["apart"], why);
    // One training of two epochs counts as much as two trainings of one epoch.
    assert_eq!(compared["measure"], "epochs");
    let epochs: Vec<&Value> =
        compared["studies"].as_array().unwrap().iter().map(|study| &study["epochs"]).collect();
    assert_eq!(epochs, [3, 3, 6]);
    let table = sandbox.kiln(&["compare", "one", "two", "longer"]);
    assert!(table.out.contains("random (as in longer) is not pooled with one"), "{}", table.out);
    assert!(table.err.contains("was judged after 1 epoch"), "{}", table.err);
}
