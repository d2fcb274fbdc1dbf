//! Writes networks with random weights as Rust packages, in single precision and in 8 bits. For each network,
//! it also writes raw inputs and the logits that the reference interpreter computes for them.
//!
//! To run it: `cargo run -p kiln-export --example rust_samples --features testing -- FOLDER`.
//!
//! The file `samples.json` in the folder lists every package (`package`, a folder) with its raw inputs
//! (`input`) and logits (`expected`). `tests/rust_module/check.py` in the root package builds and runs the
//! packages.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use kiln_export::{RustModule, run_reference, testing, write_files};
use serde_json::json;

/// Number of examples for each network.
const EXAMPLES: usize = 128;
/// Networks that are also written in a third variant, with half of their layers in 8 bits.
const MIXED: [&str; 2] = ["convolutions", "every-op"];

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("say which folder to write to")?;
    let folder = Path::new(&folder);
    let mut samples = Vec::new();
    let floats = testing::sample_models().into_iter().enumerate();
    let models = floats.flat_map(|(seed, (name, model))| {
        let int8 = (format!("{name}-int8"), testing::quantized(&model, &[]));
        let mixed = || (format!("{name}-mixed"), testing::half_quantized(&model, seed as u64));
        let mixed = MIXED.contains(&name.as_str()).then(mixed);
        [Some((name, model)), Some(int8), mixed].into_iter().flatten().collect::<Vec<_>>()
    });
    for (name, mut model) in models {
        // The check builds all packages in one cargo project, so their names must differ.
        model.card.name = format!("samples/{name}-0");
        write_files(&RustModule, &model, &folder.join(&name), true)?;
        let raw = testing::raw_input(&model.architecture, EXAMPLES, 1);
        let logits = run_reference(&model, &raw, EXAMPLES)?;
        let [input, expected] = ["input", "expected"].map(|part| format!("{name}.{part}.f32"));
        write_values(&folder.join(&input), &raw)?;
        write_values(&folder.join(&expected), &logits)?;
        samples.push(json!({ "package": name, "input": input, "expected": expected }));
    }
    serde_json::to_writer_pretty(File::create(folder.join("samples.json"))?, &samples)?;
    Ok(())
}

fn write_values(path: &Path, values: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}
