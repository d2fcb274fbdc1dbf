//! `kiln hw measure`, with scripts that stand in for boards.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Said, Sandbox, SmallStudy};

/// A study with 84 networks, of which 14 are measured.
fn sandbox() -> Sandbox {
    let config = SmallStudy { layers: "[1, 2, 3]", width: "[8, 16, 32, 64]", ..SmallStudy::default() };
    Sandbox::new(&config.text())
}

/// A board whose latency grows with the size of the file, with ten runs each time. `before` may do something
/// else first; `$1` is the file, `$runs` the number of the run, from 1.
fn measure(sandbox: &Sandbox, before: &str, more: &[&str]) -> Said {
    let script = format!(
        "echo run >> runs; runs=$(wc -l < runs); {before}\n\
         us=$((100 + $(wc -c < \"$1\") / 10)); echo booting\n\
         echo \"{{\\\"latencies_us\\\": [$us, $us, $us, $us, $us, $us, $us, $us, $us, $us.5]}}\""
    );
    fs::write(sandbox.path("it's a board.sh"), script).unwrap();
    let command = ["--command", "sh", "it's a board.sh", "{model}", "{threads}", "{batch}"];
    let measure = ["hw", "measure", "study.toml", "--out", "my board.toml", "--networks", "14", "--json"];
    sandbox.kiln(&[&measure[..], &["--runtime", "command"], more, &command].concat())
}

/// The visits in the journal.
fn visits(sandbox: &Sandbox) -> Vec<Value> {
    let journal = fs::read_to_string(sandbox.path("my board.measured/measuring.json")).unwrap();
    let journal: Value = serde_json::from_str(&journal).unwrap();
    journal["visits"].as_array().unwrap().clone()
}

#[test]
fn measured_board_becomes_a_device_that_a_config_can_name() {
    let sandbox = sandbox();
    let said = measure(&sandbox, "[ \"$2$3\" = 21 ] || exit 1", &["--threads", "2"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = said.json();
    let measured = &found["measured"];
    assert_eq!((&measured["session"]["measured"], &measured["session"]["failed"]), (&14.into(), &0.into()));
    assert_eq!((&measured["fitted"], &measured["held_out"]["fitted"]["networks"]), (&11.into(), &3.into()));
    assert_eq!((&measured["runtime"], &measured["threads"]), (&"command".into(), &2.into()));
    assert_eq!(measured["date"], "2026-11-29");
    assert!(!sandbox.path("my board.measured/networks").exists());

    let listed = sandbox.kiln(&["hw", "list", "--file", "my board.toml", "--json"]).json();
    assert_eq!((&listed["name"], &listed["measured"]), (&"my-board".into(), measured));
    let predict = ["hw", "predict", "2-0-1-0", "--space", "study.toml", "--file", "my board.toml", "--json"];
    let predicted = sandbox.kiln(&predict);
    assert_eq!(predicted.code, 0, "{}", predicted.err);
    // The table is one that `kiln hw fit` reads.
    let fit = ["hw", "fit", "--measurements", "my board.measured/measurements.csv", "--space", "study.toml"];
    let rest =
        ["--latency-column", "latency_us", "--unit", "us", "--device", "cortex-a72", "--out", "fit.toml"];
    let fitted = sandbox.kiln(&[&fit[..], &rest, &["--json"]].concat());
    assert_eq!(fitted.code, 0, "{}", fitted.err);
    assert_eq!((&fitted.json()["measured"], &fitted.json()["repeats"]["networks"]), (&14.into(), &14.into()));

    // Everything is measured, so nothing runs and the file stays as it is.
    let (runs, file) =
        (fs::read(sandbox.path("runs")).unwrap(), fs::read(sandbox.path("my board.toml")).unwrap());
    let again = measure(&sandbox, "", &["--threads", "2"]);
    assert_eq!((again.code, again.json()), (0, found), "{}", again.err);
    assert_eq!(fs::read(sandbox.path("runs")).unwrap(), runs);
    assert_eq!(fs::read(sandbox.path("my board.toml")).unwrap(), file);
    let other = measure(&sandbox, "", &["--threads", "3"]);
    assert_eq!(other.code, 2);
    assert!(other.err.contains("was measured with 2 threads; name another `--out`"), "{}", other.err);
}

#[test]
fn killed_measuring_goes_on() {
    let sandbox = sandbox();
    let killed = measure(&sandbox, "[ $runs -ne 20 ] || kill -9 $PPID", &[]);
    assert_eq!((killed.code, sandbox.path("my board.toml").exists()), (-1, false));
    let before = visits(&sandbox);
    assert_eq!(before.len(), 19);
    let whole = measure(&sandbox, "", &[]);
    assert_eq!(whole.code, 0, "{}", whole.err);
    let after = visits(&sandbox);
    assert_eq!(after[..19], before[..]);
    // Three rounds, each with the reference network again.
    assert_eq!(after.len(), 3 * (14 + 1));
}

#[test]
fn interrupted_measuring_is_kept() {
    let sandbox = sandbox();
    let said = measure(&sandbox, "[ $runs -ne 5 ] || { kill -INT $PPID; sleep 30; }", &[]);
    assert_eq!(said.code, 130, "{}", said.err);
    assert!(said.err.contains("run the same command again to continue"), "{}", said.err);
    assert_eq!(visits(&sandbox).len(), 4);
    assert_eq!(measure(&sandbox, "", &[]).code, 0);
}

#[test]
fn network_that_hangs_is_left_out() {
    let sandbox = sandbox();
    let hanging = "case \"$1\" in */5.onnx) sleep 60;; esac";
    let said = measure(&sandbox, hanging, &["--time-out", "1"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = said.json();
    assert_eq!(found["measured"]["session"]["failed"], 1);
    let reason = found["failures"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "`sh` did not end within 1 s and was killed");
    let table = fs::read_to_string(sandbox.path("my board.measured/measurements.csv")).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains(",failed,")).count(), 1, "{table}");
}

#[test]
fn board_that_prints_rubbish_is_quoted() {
    let sandbox = sandbox();
    let said = measure(&sandbox, "printf 'segfault \\033[2J at 0\\n'; exit 0", &[]);
    assert_eq!(said.code, 1, "{}", said.err);
    let expected =
        r"none of the first 3 networks ran, the last one because: the command printed `segfault \u{1b}[2J";
    assert!(said.err.contains(expected), "{}", said.err);
    assert!(said.err.contains("for other output give `--unit`"), "{}", said.err);
    assert!(!sandbox.path("my board.toml").exists());
}

#[test]
fn board_that_dies_half_way_can_come_back() {
    let sandbox = sandbox();
    let dying = "[ $runs -lt 25 ] || { echo 'no route to host' >&2; exit 255; }";
    let said = measure(&sandbox, dying, &[]);
    assert_eq!(said.code, 1, "{}", said.err);
    let expected = "the device does not answer any more: 3 runs failed in a row, the last one because: `sh` failed \
                    (exit status: 255); its last line is `no route to host`; 24 measurements are kept";
    assert!(said.err.contains(expected), "{}", said.err);
    let back = measure(&sandbox, "", &[]);
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!(back.json()["measured"]["session"]["failed"], 0);
}

#[test]
fn damaged_measurements_are_refused() {
    let sandbox = sandbox();
    assert_eq!(measure(&sandbox, "", &[]).code, 0);
    let path = sandbox.path("my board.measured/measuring.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"round\":", "\"rounds\":", 1).replacen("runs", "run", 1)).unwrap();
    let said = measure(&sandbox, "", &[]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("measuring.json") && said.err.contains("--force"), "{}", said.err);
    assert_eq!(measure(&sandbox, "", &["--force"]).code, 0);
}

#[test]
fn impossible_requests_are_refused_before_anything_runs() {
    let sandbox = sandbox();
    let measure = ["hw", "measure", "study.toml", "--out", "a.toml"];
    for (more, expected) in [
        (&["--runtime", "command"][..], "--command"),
        (&["--command", "sh", "{model}"], "`--command` needs `--runtime command`"),
        (&["--runtime", "command", "--command", "true"], "no argument contains `{model}`"),
        (&["--runtime", "command", "--command", "/no/such", "{model}"], "`/no/such` cannot be started"),
        (
            &["--runtime", "onnxruntime", "--library", "/no/such.so"],
            "cannot be loaded as ONNX Runtime 1.17 or newer",
        ),
        (&["--networks", "12"], "13..=1000"),
        (&["--name", "My Laptop"], "expected lower case letters"),
    ] {
        let said = sandbox.kiln(&[&measure[..], more].concat());
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(expected), "{}", said.err);
    }
    let small = Sandbox::new(&SmallStudy::default().text());
    let said = small.kiln(&measure);
    assert!(said.err.contains("the space has 6 networks, expected at least 13"), "{}", said.err);
    assert!(!sandbox.path("a.toml").exists());
}

#[test]
fn own_inference_is_measured_on_this_machine() {
    let sandbox = sandbox();
    let call =
        ["hw", "measure", "study.toml", "--out", "here.toml", "--networks", "13", "--minutes", "1", "--json"];
    let said = sandbox.kiln(&call);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = said.json();
    assert_eq!(
        (&found["measured"]["runtime"], &found["measured"]["session"]["measured"]),
        (&"kiln".into(), &13.into())
    );
}
