//! Unlikely inputs: absurd numbers, contradictions, folders at the paths of files.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{Case, changed, check, study};
use crate::sandbox::Sandbox;

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn absurd_and_contradictory_settings_are_refused() {
    let cases: [(&str, &str, &str); 40] = [
        (
            "epochs = 1",
            "epochs = 4294967296",
            "study.toml:18: `evaluator.epochs`: found integer `4294967296`",
        ),
        ("epochs = 1", "epochs = 99999999999999999999", "study.toml:18: `evaluator.epochs`: found 9999999"),
        ("epochs = 1", "epochs = nan", "study.toml:18: `evaluator.epochs`: found `nan`"),
        ("epochs = 1", "epochs = [1]", "study.toml:18: `evaluator.epochs`: found a list"),
        (
            "epochs = 1",
            "epochs = 1\ndevices = []",
            "study.toml:19: `evaluator.devices`: found 0, expected 1 to 64",
        ),
        ("epochs = 1", "epochs = 1\ndevices = [\"cpu\", \"cuda:0\"]", "study.toml:19: `evaluator.devices.1`"),
        (
            "epochs = 1",
            "epochs = 1\ndevices = [\"cpu:x\"]",
            "study.toml:19: `evaluator.devices.0`: found `cpu:x`",
        ),
        (
            "epochs = 1",
            "epochs = 1\ndevice = \"cpu\"\ndevices = [\"cpu\"]",
            "`evaluator.devices`: found both",
        ),
        (
            "epochs = 1",
            "epochs = 1\nbatch = 1000000000",
            "study.toml:19: `evaluator.batch`: found 1000000000",
        ),
        ("epochs = 1", "epochs = 1\naccumulate = 4294967295", "study.toml:19: `evaluator.accumulate`: found"),
        ("epochs = 1", "epochs = 1\nema = 1", "study.toml:19: `evaluator.ema`: found 1"),
        ("epochs = 1", "epochs = 1\nclip_norm = -1", "study.toml:19: `evaluator.clip_norm`: found -1"),
        ("epochs = 1", "epochs = 1\npatience = 0", "study.toml:19: `evaluator.patience`: found 0"),
        ("epochs = 1", "epochs = 1\nwarmup_epochs = 5", "study.toml:19: `evaluator.warmup_epochs`: found 5"),
        (
            "epochs = 1",
            "epochs = 1\noptimizer = { kind = \"sgd\", learning_rate = 1e300 }",
            "study.toml:19: `evaluator.optimizer.learning_rate`: found 1",
        ),
        (
            "epochs = 1",
            "epochs = 1\noptimizer = { kind = \"sgd\", learning_rate = 0.1, momentum = 1 }",
            "study.toml:19: `evaluator.optimizer.momentum`: found 1",
        ),
        ("kind = \"scratch\"", "kind = \"naswot\"", "study.toml:18: `evaluator.epochs`: unknown key"),
        (
            "kind = \"scratch\"",
            "kind = \"supernet\"\nsupernet = \"study.toml\"",
            "study.toml:18: `evaluator.supernet`: there is no `study.toml/supernet/trained.json`",
        ),
        ("trials = 4", "trials = 4\nhours = 1e308", "study.toml:23: `search.hours`: found 1e308"),
        ("trials = 4", "trials = 4\nhours = 876601", "study.toml:23: `search.hours`: found 876601.0"),
        ("trials = 4", "trials = 4\nhours = -0.0", "study.toml:23: `search.hours`: found -0.0"),
        ("trials = 4", "trials = 4\nin_flight = 4294967295", "study.toml:23: `search.in_flight`: found"),
        (
            "trials = 4",
            "trials = 4\ntarget = { error_percent = nan }",
            "`search.target.error_percent`: found `nan`",
        ),
        ("trials = 4", "trials = 4\ntarget = { speed = 1 }", "study.toml:23: `search.target`: found `speed`"),
        (
            "\"latency_us\"]",
            "\"error_percent\"]",
            "study.toml:23: `search.objectives.1`: found `error_percent` again",
        ),
        ("\"latency_us\"]", "\"latency_us@raspi4\"]", "study.toml:23: `search.objectives.1`: found"),
        ("layers = [1, 2]", "layers = [1, 1000000000]", "study.toml:10: `space.layers`: found `1000000000`"),
        (
            "kind = \"digits\"",
            "kind = \"digits\"\ntest = 0.5\nvalidation = 1.0",
            "study.toml:8: `data.validation`",
        ),
        ("kind = \"digits\"", "kind = \"digits\"\nlimit = 1", "study.toml:7: `data.limit`: found 1"),
        (
            "kind = \"digits\"",
            "kind = \"digits\"\naugment = { shift = 1e30 }",
            "study.toml:7: `data.augment.shift`",
        ),
        ("\"cortex-m7\"", "\"cortex-m7\"\nfile = \"x.toml\"", "study.toml:15: `hardware.0.file`: found both"),
        ("\"cortex-m7\"", "\"cortex-m7\"\nthreads = 1000000", "study.toml:15: `hardware.0.threads`: found"),
        ("\"cortex-m7\"", "\"cortex-m7\"\nlatency_max_us = -5", "study.toml:15: `hardware.0.latency_max_us`"),
        ("device = \"cortex-m7\"", "batch = 1", "study.toml:13: `hardware.0.device`: found nothing"),
        (
            "[evaluator]",
            "[[hardware]]\ndevice = \"cortex-m7\"\n[evaluator]",
            "device `cortex-m7` is named twice",
        ),
        ("\"broken\"", "\"a\\nb\"", "study.toml:2: `study.name`: found `a\\nb`"),
        ("\"broken\"", "\"..\"", "study.toml:2: `study.name`: found `..`"),
        ("[search]", "[finish]\nnetworks = 0\n[search]", "study.toml:21: `finish.networks`: found `0`"),
        (
            "[search]",
            "[finish]\nepochs = 1\nformats = [\"onnx\", \"onnx\"]\n[search]",
            "study.toml:22: `finish.formats.1`: found `onnx` again",
        ),
        ("seed = 1", "seed = 18446744073709551616", "study.toml:3: `study.seed`: found 18446744073709551616"),
    ];
    let sandbox = Sandbox::new(&study());
    let expected: Vec<[&str; 1]> = cases.iter().map(|(_, _, expected)| [*expected]).collect();
    let all: Vec<Case<'_>> = cases
        .iter()
        .zip(&expected)
        .map(|((from, to, _), expected)| Case {
            what: to,
            arguments: vec!["search", "study.toml"],
            files: vec![("study.toml", changed(&study(), from, to))],
            expected,
        })
        .collect();
    check(&sandbox, &all);
    let deep = format!("seed = {}{}", "[".repeat(5000), "]".repeat(5000));
    let many = format!("epochs = 1\ndevices = [{}]", vec!["\"cpu\""; 100_000].join(", "));
    let case = |what, from, to: &str, expected| Case {
        what,
        arguments: vec!["search", "study.toml"],
        files: vec![("study.toml", changed(&study(), from, to))],
        expected,
    };
    check(
        &sandbox,
        &[
            case("lists in lists", "seed = 1", &deep, &["study.toml:3:", "not valid TOML"]),
            case("a long list", "epochs = 1", &many, &["study.toml:19: `evaluator.devices`: found 100000"]),
        ],
    );
    assert!(!sandbox.path("runs").exists());
}

/// Returns the message of a command that must refuse its input and change nothing.
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let said = sandbox.kiln(arguments);
    assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
    assert!(said.err.starts_with("error: ") && said.err.lines().count() == 1, "{arguments:?}: {}", said.err);
    assert!(!sandbox.path("runs/broken/journal.jsonl").exists(), "{arguments:?}: a study has begun");
    said.err
}

#[test]
fn wrong_kinds_of_file_are_refused() {
    let table = String::from_utf8(changed(
        &study(),
        "kind = \"digits\"",
        "kind = \"csv\"\nfile = \"t.csv\"\ntarget = \"y\"",
    ));
    let sandbox = Sandbox::new(&table.unwrap());
    let path = |name: &str| sandbox.path(name);
    let check = |arguments: &[&str], expected: &[&str]| {
        let said = refused(&sandbox, arguments);
        assert!(expected.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
    };
    let search = ["search", "study.toml", "--data", "."];

    fs::create_dir(path("t.csv")).unwrap();
    check(&search, &["study.toml:5: `data`: ./t.csv: cannot read"]);
    fs::remove_dir(path("t.csv")).unwrap();
    symlink("t.csv", path("t.csv")).unwrap();
    check(&search, &["study.toml:5: `data`: ./t.csv: cannot read"]);
    fs::remove_file(path("t.csv")).unwrap();
    assert!(Command::new("mkfifo").arg(path("t.csv")).status().unwrap().success());
    check(&search, &["study.toml:5: `data`: ./t.csv: file: found a pipe, a socket or a device"]);
    fs::remove_file(path("t.csv")).unwrap();
    symlink("/dev/zero", path("t.csv")).unwrap();
    check(&search, &["study.toml:5: `data`: ./t.csv: file: found a pipe, a socket or a device"]);
    fs::remove_file(path("t.csv")).unwrap();
    fs::write(path("t.csv"), "x,y\n1,\"a\n2,b\n").unwrap();
    check(&search, &["./t.csv: all lines: found one class `a\\n2,b"]);
    check(&["search", "study.toml", "--data", "study.toml"], &["study.toml/t.csv: cannot read"]);

    fs::write(path("study.toml"), study()).unwrap();
    check(&["search", "."], &[".: cannot be read"]);
    symlink("loop.toml", path("loop.toml")).unwrap();
    check(&["search", "loop.toml"], &["loop.toml: cannot be read"]);
    check(&["search", "/dev/zero"], &["/dev/zero: larger than 1048576 bytes"]);
    check(&["search", "study.toml", "--runs", "study.toml"], &["study.toml: is no folder"]);
    symlink("nowhere/nothing", path("dangling")).unwrap();
    check(&["search", "study.toml", "--runs", "dangling"], &["dangling: is no folder"]);
    fs::create_dir(path("runs")).unwrap();
    fs::write(path("runs/broken"), "").unwrap();
    check(&["search", "study.toml"], &["runs/broken: is no folder"]);
    check(&["front", "broken"], &["runs/broken: is no folder"]);
    check(&["eval", "runs"], &["runs: there is no `model.kiln` in this folder"]);
    fs::write(path("m.kiln"), b"KILNMODL\x02\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff").unwrap();
    check(&["eval", "m.kiln"], &["m.kiln", "18446744073709551615 bytes"]);
}
