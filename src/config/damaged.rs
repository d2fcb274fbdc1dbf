//! Tests that a damaged config either causes an error or describes a valid study, and never causes a panic.

use std::path::Path;

use kiln_damage::check_damaged;

use super::{Document, RunConfig};
use crate::assembly::{Folders, Registries};

/// The configs in this repository that need no files.
const CONFIGS: [&str; 2] = [
    include_str!("../../configs/quickstart.toml"),
    r#"
study = { name = "small", seed = 7 }
data = { kind = "digits", limit = 200, split_seed = 3, augment = { shift = 1, flip = true, cutout = 2 } }
space = { kind = "mlp", layers = [0, 1, 2], width = [8, 16], activation = ["relu", "tanh"], batch_norm = [true, false] }
hardware = [{ device = "cortex-m7", batch = 2, latency_max_us = 900.5 }, { device = "cortex-a72", threads = 4 }]
evaluator = { kind = "scratch", epochs = 3, batch = 16, optimizer = { kind = "adam", learning_rate = 1e-3 } }
search = { strategy = { kind = "regularized_evolution", population = 8 }, trials = 20, hours = 0.5, macs_max = 1e6 }
finish = { networks = 2, formats = ["onnx"] }
"#,
];

#[test]
fn damaged_configs_do_not_panic() {
    let registries = Registries::builtin();
    let folders = Folders { data: None, runs: Path::new("nowhere") };
    let configs = CONFIGS.map(|config| config.as_bytes().to_vec());
    check_damaged(&configs, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(document) = Document::parse(Path::new("damaged.toml"), &text) else { return };
        // Every config that can be read can also be written into a run folder and read again.
        let again = Document::parse(Path::new("config.toml"), &document.to_toml()).expect("written by us");
        assert_eq!(again.root(), document.root());
        if let Ok(config) = RunConfig::from_document(document, None) {
            drop(registries.build(config, folders));
        }
    });
}
