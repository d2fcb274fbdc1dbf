//! Measures finished networks, with shell scripts in place of boards, and predicts costs of runs and of ONNX
//! files.

use std::fs;

use kiln_search::{Event, MeasuredLatency};
use serde_json::Value;

use super::sandbox::{Sandbox, SmallStudy};

/// A study that finishes and measures two networks. `board.sh` stands for the board.
fn config(name: &'static str, hardware: &str, finish: &str) -> String {
    let hardware = format!("device = \"cortex-m7\"\n{hardware}");
    let more = format!("\n[finish]\nepochs = 1\nnetworks = 2\n{finish}");
    SmallStudy { name, hardware: &hardware, more: &more, ..SmallStudy::default() }.text()
}

const BOARD: &str = "measure = [\"sh\", \"board.sh\", \"{model}\"]\nunit = \"us\"";
const MEASURE: &str = "measure = true";

/// A sandbox with the study and a board. `first` runs before the board prints a latency: that in the file
/// `us-TRIAL`, or 50.
fn sandbox(config: &str, first: &str) -> Sandbox {
    let sandbox = Sandbox::new(config);
    write_board(&sandbox, first);
    sandbox
}

fn write_board(sandbox: &Sandbox, first: &str) {
    let script = format!(
        "echo run >> board-runs\nruns=$(wc -l < board-runs)\n{first}\n\
         trial=$(basename \"$(dirname \"$1\")\")\n\
         if [ -f \"us-$trial\" ]; then cat \"us-$trial\"; else echo 50; fi\n"
    );
    fs::write(sandbox.path("board.sh"), script).unwrap();
}

fn runs(sandbox: &Sandbox) -> usize {
    fs::read_to_string(sandbox.path("board-runs")).unwrap_or_default().lines().count()
}

/// Runs the same study without measuring. Returns its report. Trials and predictions are those of the
/// measured study.
fn unmeasured(sandbox: &Sandbox) -> Value {
    fs::write(sandbox.path("plain.toml"), config("plain", "", "")).unwrap();
    let said = sandbox.kiln(&["search", "plain.toml", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    said.json()
}

/// Lets the board take `factor` times as long as predicted.
fn let_board_take(sandbox: &Sandbox, plain: &Value, factor: f64) {
    for network in plain["finished"].as_array().unwrap() {
        let latency = network["costs"]["latency_us"].as_f64().unwrap() * factor;
        fs::write(sandbox.path(&format!("us-{}", network["trial"])), format!("{latency:.4}\n")).unwrap();
    }
}

fn journaled(sandbox: &Sandbox, name: &str) -> Vec<MeasuredLatency> {
    let measured = sandbox.events(name).into_iter().filter_map(|event| match event {
        Event::Measured { measured, .. } => Some(measured),
        _ => None,
    });
    measured.collect()
}

#[test]
fn finished_networks_are_measured_once_beside_their_predictions() {
    let sandbox = sandbox(&config("small", BOARD, MEASURE), "");
    let plain = unmeasured(&sandbox);
    assert!(plain.get("measured").is_none());
    let_board_take(&sandbox, &plain, 1.0);
    let report = sandbox.search(&[]);
    assert_eq!(report["front"], plain["front"], "measuring changes no trial and no cost");
    let measured = report["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 2);
    for network in measured {
        assert_eq!((&network["runtime"], &network["device"]), (&"command".into(), &"cortex-m7".into()));
        assert_eq!(network["within_interval"], true);
        assert!((network["ratio"].as_f64().unwrap() - 1.0).abs() < 1e-3, "{network}");
    }
    assert!(report.get("disagreements").is_none() && report.get("refits").is_none());
    assert!(!sandbox.path("runs/small/cortex-m7.refit.toml").exists());
    assert!(!sandbox.path("runs/small/measuring").exists());
    // Three rounds of two networks and the reference network, ten runs each.
    assert_eq!(runs(&sandbox), 90);
    assert_eq!(journaled(&sandbox, "small").len(), 2);

    let again = sandbox.search(&[]);
    assert_eq!((&again["measured"], runs(&sandbox)), (&report["measured"], 90), "nothing is measured twice");
    let front = sandbox.kiln(&["front", "small", "--json"]).json();
    assert_eq!(front["measured"], report["measured"]);
    let trial = measured[0]["trial"].to_string();
    let shown = sandbox.kiln(&["show", "small", &trial, "--json"]).json();
    assert_eq!(shown["measured"][0], measured[0]);
    for text in [sandbox.kiln(&["front", "small"]).out, sandbox.kiln(&["show", "small", &trial]).out] {
        assert!(text.contains("Latency on cortex-m7: predicted ") && text.contains(", ratio 1.00"), "{text}");
    }
    let beside =
        fs::read_to_string(sandbox.path(&format!("runs/small/models/{trial}/latency.json"))).unwrap();
    assert!(beside.contains("\"cortex-m7\""), "{beside}");
    let said = sandbox.kiln(&["report", "small", "--out", "small.html"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(fs::read_to_string(sandbox.path("small.html")).unwrap().contains("Latency on cortex-m7"));
}

#[test]
fn disagreement_is_said_and_a_device_file_is_fitted() {
    let sandbox = sandbox(&config("small", BOARD, MEASURE), "");
    let plain = unmeasured(&sandbox);
    let_board_take(&sandbox, &plain, 30.0);
    let report = sandbox.search(&[]);
    let disagreements = report["disagreements"].as_array().unwrap();
    assert_eq!(disagreements.len(), 2);
    assert!((disagreements[0]["ratio"].as_f64().unwrap() - 30.0).abs() < 0.1);
    assert_eq!(disagreements[0]["better"], serde_json::json!([]), "all networks are off by the same factor");
    assert_eq!(report["refits"][0], "runs/small/cortex-m7.refit.toml");
    let text = sandbox.kiln(&["search", "study.toml"]).out;
    assert!(text.contains("times as long on cortex-m7 as predicted: no other network"), "{text}");
    assert!(
        text.contains("A device file that fits the measurements: runs/small/cortex-m7.refit.toml"),
        "{text}"
    );

    let trial = report["measured"][0]["trial"].to_string();
    let predict = ["hw", "predict", "--run", "small", "--trial", &trial, "--json"];
    let file = ["--file", "runs/small/cortex-m7.refit.toml"];
    let refitted = sandbox.kiln(&[&predict[..], &file].concat());
    assert_eq!(refitted.code, 0, "{}", refitted.err);
    let latency = |found: &Value| found["predictions"][0]["latency_us"]["value"].as_f64().unwrap();
    let before = sandbox.kiln(&predict).json();
    assert!((latency(&refitted.json()) / latency(&before) - 30.0).abs() < 0.5);

    // A file that somebody changed stays, and the fit gets another name.
    fs::write(sandbox.path("runs/small/cortex-m7.refit.toml"), "mine").unwrap();
    let again = sandbox.search(&[]);
    assert_eq!(again["refits"][0], "runs/small/cortex-m7.refit-2.toml");
    assert_eq!(fs::read_to_string(sandbox.path("runs/small/cortex-m7.refit.toml")).unwrap(), "mine");
}

#[test]
fn killed_measuring_goes_on() {
    let sandbox = sandbox(&config("small", BOARD, MEASURE), "[ $runs -ne 25 ] || kill -9 $PPID");
    let killed = sandbox.kiln(&["search", "study.toml", "--json"]);
    assert_eq!((killed.code, journaled(&sandbox, "small").len()), (-1, 0));
    assert!(sandbox.path("runs/small/measuring/device-cortex-m7/measuring.json").exists());
    let report = sandbox.search(&[]);
    assert_eq!(report["measured"].as_array().unwrap().len(), 2);
    // The five runs of the visit that was killed are repeated.
    assert_eq!(runs(&sandbox), 95);
    assert!(!sandbox.path("runs/small/measuring").exists());
}

#[test]
fn board_that_is_gone_costs_nothing_and_can_come_back() {
    let sandbox = sandbox(&config("small", BOARD, MEASURE), "echo 'no route to host' >&2; exit 255");
    let said = sandbox.kiln(&["search", "study.toml", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("no route to host"), "{}", said.err);
    assert!(said.json().get("measured").is_none());
    write_board(&sandbox, "");
    assert_eq!(sandbox.search(&[])["measured"].as_array().unwrap().len(), 2);
}

#[test]
fn commands_of_a_run_folder_run_only_on_request() {
    let sandbox = sandbox(&config("small", BOARD, MEASURE), "");
    sandbox.search(&[]);
    let before = runs(&sandbox);
    let measured = journaled(&sandbox, "small");
    let other = (0..4).find(|trial| measured.iter().all(|one| one.trial != *trial)).unwrap().to_string();
    let said = sandbox.kiln(&["finish", "small", &other, "--json"]);
    assert_eq!((said.code, runs(&sandbox)), (0, before), "{}", said.err);
    assert!(said.err.contains("`--measure` measures them"), "{}", said.err);
    assert_eq!(said.json()["measured"].as_array().unwrap().len(), 2);
    let said = sandbox.kiln(&["finish", "small", &other, "--measure", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.json()["measured"].as_array().unwrap().len(), 3);
    // Three rounds of one network and the reference network.
    assert_eq!(runs(&sandbox), before + 60);
}

#[test]
fn this_machine_is_measured_with_own_inference() {
    let sandbox = Sandbox::new(&config("small", "measure = \"this machine\"", MEASURE));
    let report = sandbox.search(&[]);
    let measured = report["measured"].as_array().unwrap();
    assert_eq!((measured.len(), &measured[0]["runtime"]), (2, &"kiln".into()));
    assert!(measured[0]["measured_us"]["value"].as_f64().unwrap() > 0.0);
}

#[test]
fn device_file_that_was_measured_here_needs_no_further_key() {
    let config = SmallStudy {
        layers: "[1, 2, 3]",
        width: "[8, 16, 32, 64]",
        hardware: "file = \"here.toml\"",
        more: "\n[finish]\nepochs = 1\nmeasure = true\n",
        ..SmallStudy::default()
    };
    let sandbox = Sandbox::new(&config.text());
    let call = ["hw", "measure", "study.toml", "--out", "here.toml", "--networks", "13", "--minutes", "1"];
    let said = sandbox.kiln(&call);
    assert_eq!(said.code, 0, "{}", said.err);
    let measured = &sandbox.search(&[])["measured"];
    assert_eq!((measured.as_array().unwrap().len(), &measured[0]["runtime"]), (1, &"kiln".into()));
    assert_eq!(measured[0]["device"], "here");

    // The same file on another machine.
    let file = fs::read_to_string(sandbox.path("here.toml")).unwrap();
    let machine = file.lines().find(|line| line.starts_with("machine = ")).unwrap();
    fs::write(sandbox.path("here.toml"), file.replace(machine, "machine = \"a toaster\"")).unwrap();
    fs::write(sandbox.path("other.toml"), config.text().replace("\"small\"", "\"other\"")).unwrap();
    let said = sandbox.kiln(&["search", "other.toml"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("its file was measured on `a toaster`"), "{}", said.err);
}

#[test]
fn device_that_cannot_be_measured_is_refused_before_the_search() {
    let cases = [
        ("", MEASURE, "nothing says how networks run on it; add `measure = \"this machine\"`"),
        ("measure = [\"sh\", \"board.sh\"]", MEASURE, "no argument contains `{model}`"),
        ("measure = 3", MEASURE, "expected `this machine`, or a list: a program and its arguments"),
        ("measure = []", MEASURE, "expected a list of texts: a program and its arguments"),
        ("copy = [\"cp\", \"{model}\"]", MEASURE, "`copy`, `unit` and `time_out` need one"),
        ("measure = [\"sh\", \"{model}\"]\nunit = \"h\"", MEASURE, "expected `us`, `ms` or `s`"),
        (BOARD, "measure = \"yes\"", "expected `true`, `false`, or a table"),
        (BOARD, "measure = { runtime = \"tflite\" }", "expected `kiln` or `onnxruntime`"),
        (
            "measure = \"this machine\"",
            "measure = { runtime = \"onnxruntime\", library = \"/no/such.so\" }",
            "cannot be loaded as ONNX Runtime 1.17 or newer",
        ),
    ];
    for (hardware, finish, expected) in cases {
        let sandbox = Sandbox::new(&config("small", hardware, finish));
        let said = sandbox.kiln(&["search", "study.toml"]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(expected), "{}", said.err);
        assert!(!sandbox.path("runs/small").exists());
    }
}

#[test]
fn costs_of_a_trial_and_of_its_onnx_file_are_equal() {
    let sandbox = Sandbox::new(&config("small", "", ""));
    let report = sandbox.search(&[]);
    let trial = report["finished"][0]["trial"].to_string();
    let onnx = format!("runs/small/models/{trial}/model.onnx");
    let device = ["--device", "cortex-a72", "--json"];
    let of_trial = ["hw", "predict", "--run", "small", "--trial", &trial];
    let of_trial = sandbox.kiln(&[&of_trial[..], &device].concat());
    assert_eq!(of_trial.code, 0, "{}", of_trial.err);
    let of_file = sandbox.kiln(&[&["hw", "predict", "--onnx", &onnx][..], &device].concat());
    assert_eq!(of_file.code, 0, "{}", of_file.err);
    assert_eq!(of_file.json(), of_trial.json());
    // Without a device, the predictions are those of the run's own devices.
    let own = sandbox.kiln(&["hw", "predict", "--run", "small", "--trial", &trial, "--json"]).json();
    assert_eq!(own["predictions"][0]["model"].as_str().unwrap().split('/').next(), Some("cortex-m7"));
    assert_eq!(own["predictions"][0]["latency_us"]["value"], report["finished"][0]["costs"]["latency_us"]);

    fs::write(sandbox.path("other.onnx"), "not a network").unwrap();
    let said = sandbox.kiln(&["hw", "predict", "--onnx", "other.onnx"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("other.onnx") && said.err.contains("damaged"), "{}", said.err);
    for wrong in [
        &["hw", "predict"][..],
        &["hw", "predict", "0-1", "--onnx", "other.onnx"],
        &["hw", "predict", "--run", "small"],
        &["hw", "predict", "--trial", "1"],
    ] {
        assert_eq!(sandbox.kiln(wrong).code, 2, "{wrong:?}");
    }
}
