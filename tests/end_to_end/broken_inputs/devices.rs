//! Broken device files and measurements.

use super::{Case, changed, check, study};
use crate::sandbox::Sandbox;

#[test]
fn broken_device_files_are_refused() {
    let device = include_str!("../../../hw-models/devices/cortex-m7.toml");
    let cases: [(&str, &str, &[&str]); 9] = [
        ("name = \"cortex-m7\"", "name = \"cortex-m7", &["mine.toml:1"]),
        ("name = \"cortex-m7\"", "name = \"Cortex M7\"", &["mine.toml: `name` is `Cortex M7`"]),
        ("cores = { value = 1", "cores = { value = 0", &["mine.toml: `cores` is 0"]),
        ("cores = { value = 1", "cores = { value = nan", &["mine.toml: `cores` is NaN"]),
        ("cores = ", "core = ", &["mine.toml:3: `core`: unknown field `core`"]),
        (
            "parallel_loss = { value = 0",
            "parallel_loss = { value = \"0\"",
            &["mine.toml:4: `parallel_loss`: invalid type"],
        ),
        (
            "dense_conv = { value = 0.29",
            "dense_conv = { value = 1.29",
            &["mine.toml: `efficiency.dense_conv` is 1.29"],
        ),
        (
            "dense_conv = { value = 0.29",
            "dense_conv = { value = -1",
            &["mine.toml: `efficiency.dense_conv` is -1"],
        ),
        ("[efficiency]", "[efficency]", &["mine.toml:", "unknown field `efficency`"]),
    ];
    let config = changed(&study(), "device = \"cortex-m7\"", "file = \"mine.toml\"");
    let sandbox = Sandbox::new(&study());
    let mut all: Vec<Case<'_>> = cases
        .iter()
        .map(|(from, to, expected)| Case {
            what: to,
            arguments: vec!["search", "study.toml"],
            files: vec![("study.toml", config.clone()), ("mine.toml", changed(device, from, to))],
            expected,
        })
        .collect();
    let search = || vec!["search", "study.toml"];
    all.push(Case {
        what: "no device file",
        arguments: search(),
        files: vec![("study.toml", config.clone())],
        expected: &["study.toml:13: `hardware.0", "mine.toml: cannot be read"],
    });
    all.push(Case {
        what: "no text",
        arguments: search(),
        files: vec![("study.toml", config.clone()), ("mine.toml", vec![0xff, 0xfe])],
        expected: &["mine.toml: cannot be read", "byte ", " of the file is not UTF-8"],
    });
    all.push(Case {
        what: "a huge device file",
        arguments: search(),
        files: vec![("study.toml", config), ("mine.toml", vec![b'#'; (1 << 20) + 1])],
        expected: &["mine.toml: cannot be read", "expected at most 1048576"],
    });
    let measurements: [(&str, &str, &[&str]); 5] = [
        ("no latency", "genotype,a_ms\n0-0-0-0-0-1,fast\n", &["m.csv:2: `a_ms` is `fast`"]),
        ("no network", "genotype,a_ms\n0-0-9,1\n", &["m.csv:2: `genotype` is `0-0-9`"]),
        ("no such column", "genotype,b_ms\n0-0-0-0-0-1,1\n", &["m.csv: no column `a_ms`"]),
        ("a short line", "genotype,a_ms\n0-0-0-0-0-1\n", &["m.csv: not a table"]),
        ("too few lines", "genotype,a_ms\n0-0-0-0-0-1,1\n", &["too few for a fit"]),
    ];
    all.extend(measurements.iter().map(|(what, text, expected)| Case {
        what,
        arguments: vec![
            "hw",
            "fit",
            "--measurements",
            "m.csv",
            "--key",
            "genotype",
            "--latency-column",
            "a_ms",
            "--unit",
            "ms",
            "--device",
            "cortex-m7",
            "--out",
            "fitted.toml",
        ],
        files: vec![("m.csv", text.as_bytes().to_vec())],
        expected,
    }));
    check(&sandbox, &all);
    assert!(!sandbox.path("runs").exists() && !sandbox.path("fitted.toml").exists());
}
