//! Broken configs.

use super::{Case, changed, check, study};
use crate::sandbox::Sandbox;

#[test]
fn broken_configs_are_refused() {
    let cases: [(&str, &str, &[&str]); 24] = [
        ("name = \"broken\"", "name = \"broken", &["study.toml:2:", "not valid TOML"]),
        ("seed = 1", "seed = 1\nseed = 2", &["study.toml:4:", "duplicate key"]),
        ("[study]", "[study", &["study.toml:1:"]),
        ("name = \"broken\"", "name = \"../elsewhere\"", &["study.toml:2: `study.name`"]),
        ("name = \"broken\"", "name = \"\"", &["study.toml:2: `study.name`"]),
        ("seed = 1", "seed = -1", &["study.toml:3: `study.seed`: found"]),
        ("seed = 1", "seed = 1.5", &["study.toml:3: `study.seed`: found"]),
        ("seed = 1", "seed = 1979-05-27", &["study.toml:3:"]),
        ("[study]\nname = \"broken\"\nseed = 1\n", "", &["study.toml: `study`: missing"]),
        ("name = \"broken\"\n", "", &["study.toml:1: `study"]),
        ("[data]", "[date]", &["study.toml:5: `date`: unknown key", "did you mean `data`?"]),
        ("kind = \"digits\"", "kind = 7", &["study.toml:6: `data.kind`: found `7`"]),
        (
            "kind = \"digits\"",
            "kind = \"digits\"\naugment = { flip = 1 }",
            &["study.toml:7: `data.augment.flip`"],
        ),
        (
            "kind = \"digits\"",
            "kind = \"digits\"\naugment = { cutout = -1 }",
            &["study.toml:7: `data.augment.cutout`"],
        ),
        (
            "kind = \"digits\"",
            "kind = \"digits\"\naugment = { cutout = 2000 }",
            &["study.toml:7: `data.augment.cutout`: found 2000"],
        ),
        (
            "kind = \"digits\"",
            "kind = \"digits\"\nvalidation = 0",
            &["study.toml:7: `data.validation`: found 0"],
        ),
        ("width = [8, 16]", "width = []", &["study.toml:11: `space.width"]),
        ("width = [8, 16]", "width = [8, 8]", &["study.toml:11: `space.width"]),
        ("width = [8, 16]", "width = [8, 100000000]", &["study.toml:11: `space.width"]),
        (
            "device = \"cortex-m7\"",
            "device = \"cortex-m7\"\nbatch = 0",
            &["study.toml:15: `hardware.0.batch`"],
        ),
        ("epochs = 1", "epochs = 1\nbatch = 1", &["study.toml:19: `evaluator.batch`: found 1"]),
        ("trials = 4", "trials = 0", &["study.toml:22: `search.trials`: found 0"]),
        ("trials = 4", "trials = 4\nhours = 0", &["study.toml:23: `search.hours`: found 0"]),
        (
            "objectives = [\"error_percent\", \"latency_us\"]",
            "objectives = []",
            &["study.toml:23: `search.objectives`: found 0 objectives"],
        ),
    ];
    let sandbox = Sandbox::new(&study());
    let mut all: Vec<Case<'_>> = cases
        .iter()
        .map(|(from, to, expected)| Case {
            what: to,
            arguments: vec!["search", "study.toml"],
            files: vec![("study.toml", changed(&study(), from, to))],
            expected,
        })
        .collect();
    let whole: [(&str, Vec<u8>, &[&str]); 4] = [
        ("an empty file", Vec::new(), &["study.toml: `study`: missing"]),
        (
            "bytes that are no text",
            b"[study]\nname = \"\xff\"\n".to_vec(),
            &["study.toml:2: byte 16 of the file is not UTF-8"],
        ),
        ("a picture", b"\x89PNG\r\n\x1a\n\0\0".to_vec(), &["study.toml:1: byte 0 of the file is not UTF-8"]),
        ("a huge file", vec![b'#'; (1 << 20) + 1], &["study.toml: larger than 1048576 bytes"]),
    ];
    all.extend(whole.into_iter().map(|(what, bytes, expected)| Case {
        what,
        arguments: vec!["search", "study.toml"],
        files: vec![("study.toml", bytes)],
        expected,
    }));
    check(&sandbox, &all);
    assert!(!sandbox.path("runs").exists());
}
