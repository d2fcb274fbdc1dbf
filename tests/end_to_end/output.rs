//! The output of commands for a run that has ended.

use std::process::Stdio;

use crate::sandbox::{Sandbox, tiny_quickstart};

#[test]
fn commands_show_and_export_finished_run() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let report = sandbox.search(&[]);
    let front = sandbox.kiln(&["front", "tiny", "--json"]).json();
    assert_eq!(front["front"], report["front"]);
    assert_eq!(front["finished"], report["finished"]);
    let csv = sandbox.kiln(&["front", "runs/tiny", "--csv"]);
    assert_eq!(csv.out.lines().count(), 1 + report["front"].as_array().unwrap().len());
    assert!(csv.out.starts_with("trial,genotype,error_percent,"), "{}", csv.out);
    let table = sandbox.kiln(&["front", "tiny"]);
    assert!(table.out.contains("accuracy %") && table.out.contains("latency µs"), "{}", table.out);

    let trial = report["finished"][0]["trial"].to_string();
    let shown = sandbox.kiln(&["show", "tiny", &trial]);
    assert!(shown.out.contains("head.pool") && shown.out.contains("µs cortex-a72"), "{}", shown.out);
    let layers = sandbox.kiln(&["show", "tiny", &trial, "--json"]).json();
    let latency: f64 = layers["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["latency_us"]["cortex-a72"].as_f64().unwrap())
        .sum();
    let whole = report["finished"][0]["costs"]["latency_us"].as_f64().unwrap();
    assert!((latency - whole).abs() < 1e-6 * whole, "{latency} {whole}");

    let exported = sandbox.kiln(&["export", "tiny", &trial, "--out", "again.onnx"]);
    assert_eq!(exported.code, 0, "{}", exported.err);
    let first = report["finished"][0]["files"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|file| file.as_str().filter(|file| file.ends_with("model.onnx")));
    let read = |name: &str| std::fs::read(sandbox.path(name)).unwrap();
    assert!(read("again.onnx") == read(first.unwrap()), "the same network gives the same file");

    let package = sandbox.kiln(&["export", "tiny", &trial, "--format", "rust", "--json"]).json();
    assert_eq!(package["file"], format!("tiny-{trial}"));
    for file in ["Cargo.toml", "src/lib.rs", "src/layers.rs", "src/main.rs", "weights.safetensors"] {
        assert!(sandbox.path(&format!("tiny-{trial}/{file}")).is_file(), "{file}");
    }

    let folder = format!("runs/tiny/models/{trial}");
    let judged = sandbox.kiln(&["eval", &folder, "--json"]).json();
    let [again, first] = [&judged["metrics"], &report["finished"][0]]
        .map(|metrics| metrics["test_accuracy_percent"].as_f64().unwrap());
    assert!((again - first).abs() < 1e-9, "{again} and {first}");
    let refused = sandbox.kiln(&["eval", &format!("{folder}/model.onnx")]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("name the `model.kiln` beside them"), "{}", refused.err);
    let refused = sandbox.kiln(&["eval", "again.onnx.kiln"]);
    assert_eq!(refused.code, 2, "{}", refused.err);

    let page = sandbox.kiln(&["report", "tiny"]);
    assert_eq!(page.code, 0, "{}", page.err);
    let page = String::from_utf8(read("tiny.html")).unwrap();
    for part in ["Pareto front", "Hypervolume", "Loss of the supernet", "predicted latency on cortex-a72"] {
        assert!(page.contains(part), "`{part}` is not in the report");
    }
}

#[test]
fn compare_requires_equal_objectives() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    sandbox.search(&[]);
    let mut other = tiny_quickstart("other");
    other["search"]["strategy"] = "random".into();
    std::fs::write(sandbox.path("other.toml"), other.to_string()).unwrap();
    assert_eq!(sandbox.kiln(&["search", "other.toml"]).code, 0);
    let compared = sandbox.kiln(&["compare", "tiny", "other", "--json"]).json();
    assert_eq!(compared["studies"][1]["strategy"], "random");
    assert!(compared["studies"][0]["hypervolume_percent"].as_f64().unwrap() > 0.0);
    let table = sandbox.kiln(&["compare", "tiny", "other"]);
    assert!(table.out.contains("hypervolume %"), "{}", table.out);

    other["search"]["objectives"] = toml::Value::Array(vec!["error_percent".into()]);
    other["study"]["name"] = "accurate".into();
    std::fs::write(sandbox.path("other.toml"), other.to_string()).unwrap();
    assert_eq!(sandbox.kiln(&["search", "other.toml"]).code, 0);
    let refused = sandbox.kiln(&["compare", "tiny", "accurate"]);
    assert_eq!(refused.code, 2);
    let expected = "tiny and accurate cannot be compared: their objectives are `error_percent`, \
                    `latency_us` and `error_percent`";
    assert!(refused.err.contains(expected), "{}", refused.err);
    assert_eq!(sandbox.kiln(&["compare", "tiny"]).code, 2, "one study is not compared");
}

#[test]
fn missing_runs_and_trials_are_refused() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let report = sandbox.search(&[]);
    let finished = report["finished"][0]["trial"].as_u64().unwrap();
    let other = u64::from(finished == 0).to_string();
    let cases: [(&[&str], &str); 4] = [
        (&["show", "tiny", "99"], "there is no trial 99 among the 12"),
        (&["export", "tiny", &other], "choose one of these; `kiln finish "),
        (&["export", "tiny", "0", "--format", "onx"], "the formats are `onnx`"),
        (&["front", "tinny"], "not a run folder"),
    ];
    for (arguments, expected) in cases {
        let said = sandbox.kiln(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(expected), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn closed_pipe_is_not_an_error() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    sandbox.search(&[]);
    let mut child =
        sandbox.command(&["front", "tiny"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
}
