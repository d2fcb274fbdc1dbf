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

#[test]
fn measured_kernels_become_a_sum_and_a_lookup_table() {
    let sandbox = sandbox();
    let kernels = ["--kernels", "--table"];
    // Killed among the kernels, after three rounds of 14 networks and the reference.
    let killed = measure(&sandbox, "[ $runs -ne 50 ] || kill -9 $PPID", &kernels);
    assert_eq!((killed.code, sandbox.path("my board.toml").exists()), (-1, false));
    let said = measure(&sandbox, "", &kernels);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = &said.json()["kernels"];
    let count = found["measured"].as_u64().unwrap();
    assert!(count >= 10 && found["failed"] == 0 && found["networks"] == 11, "{found}");
    assert_eq!(found["held_out"]["networks"], 3);
    let table = fs::read_to_string(sandbox.path("my board.measured/kernels/kernels.csv")).unwrap();
    assert_eq!(table.lines().count() as u64, count + 1);
    assert!(table.contains("linear b1 64x1x1 10x1x1 k1x1"), "{table}");

    for model in ["kernels", "table"] {
        let predict = ["hw", "predict", "2-0-1-0", "--space", "study.toml", "--file", "my board.toml"];
        let predicted = sandbox.kiln(&[&predict[..], &["--model", model, "--json"]].concat());
        assert_eq!(predicted.code, 0, "{model}: {}", predicted.err);
        let latency = &predicted.json()["predictions"][0]["latency_us"];
        assert!(latency["value"].as_f64().unwrap() > 0.0, "{model}: {latency}");
    }
    // The kernels are a table that `kiln hw fit` reads.
    let fit = ["hw", "fit", "--model", "kernels", "--measurements", "my board.measured/kernels/kernels.csv"];
    let rest =
        ["--latency-column", "latency_us", "--unit", "us", "--device", "cortex-a72", "--out", "fit.toml"];
    let fitted = sandbox.kiln(&[&fit[..], &rest, &["--json"]].concat());
    assert_eq!(fitted.code, 0, "{}", fitted.err);
    assert_eq!(fitted.json()["measured"], count);
    // A device on which kernels do not add up is refused before anything runs.
    let text = fs::read_to_string(sandbox.path("fit.toml")).unwrap();
    let refusing = format!("adds_up = {{ value = false, source = \"a paper\" }}\n{text}");
    fs::write(sandbox.path("no sum.toml"), refusing).unwrap();
    let predict = ["hw", "predict", "2-0-1-0", "--space", "study.toml", "--file", "no sum.toml"];
    let refused = sandbox.kiln(&[&predict[..], &["--model", "kernels"]].concat());
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("fails on `cortex-a72` (a paper)"), "{}", refused.err);
}

#[test]
fn bad_tables_of_kernels_are_refused() {
    let sandbox = sandbox();
    let header = "conv_type,batch,in_c,in_h,in_w,out_c,kernel,stride,elmt_fused,latency";
    let fit = |rows: &str| {
        fs::write(sandbox.path("k.csv"), format!("{header}\n{rows}")).unwrap();
        sandbox.kiln(&[
            "hw",
            "fit",
            "--model",
            "kernels",
            "--measurements",
            "k.csv",
            "--latency-column",
            "latency",
            "--unit",
            "ms",
            "--device",
            "h200",
            "--format",
            "f16",
            "--out",
            "k.toml",
        ])
    };
    let right = "Regular,1,16,32,32,32,3,1,0,0.1\nRegular,1,16,32,32,64,3,1,0,-1\n";
    for (row, expected) in [
        ("Regular,1,16,32,32,48,3,1,0,-3", "k.csv:4: `latency` is `-3`, expected a number above 0"),
        (
            "Grouped,1,16,32,32,48,3,1,0,1",
            "k.csv:4: `conv_type` is `Grouped`, expected `Regular` or `Depthwise`",
        ),
        ("Regular,0,16,32,32,48,3,1,0,1", "k.csv:4: `batch` is `0`, expected a whole number from 1 to 65536"),
        ("Depthwise,1,16,32,32,48,3,1,0,1", "k.csv:4: `out_c` is `48`, expected as many output channels"),
        ("Regular,1,16,32,32,48,3,1,0,1", "2 measured kernels are too few for a fit, expected at least 5"),
    ] {
        let said = fit(&format!("{right}{row}\n"));
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(expected), "{}", said.err);
    }
    assert!(!sandbox.path("k.toml").exists());
    let rows: Vec<String> = (1..=40)
        .map(|i| format!("Regular,1,{},16,16,32,3,1,0,{}", 8 * i, 0.01 + 0.002 * f64::from(i)))
        .collect();
    let said = fit(&rows.join("\n"));
    assert_eq!(said.code, 0, "{}", said.err);
    let predict = ["hw", "predict", "2-0-1-0", "--space", "study.toml", "--file", "k.toml", "--model"];
    let refused = sandbox.kiln(&[&predict[..], &["kernels"]].concat());
    // The study's networks compute in single precision, which was not measured.
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("in f32; the device has f16"), "{}", refused.err);
}
