//! Writes networks with random weights and every operation, as safetensors and as ONNX with one node or more
//! for each layer. `examples/pytorch/check.py` of the root package compares the two in PyTorch.
//!
//! To run it: `cargo run -p kiln-export --example layer_samples --features testing -- FOLDER`.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use kiln_export::{Exporter, Onnx, Safetensors, testing};

/// Number of random networks.
const RANDOM: u64 = 40;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("say which folder to write to")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let random = (0..RANDOM).map(|seed| (format!("random-{seed}"), testing::random_model(seed)));
    for (name, model) in testing::sample_models().into_iter().chain(random) {
        Onnx::write_layers(&model, &mut File::create(folder.join(format!("{name}.onnx")))?)?;
        Safetensors.export(&model, &mut File::create(folder.join(format!("{name}.safetensors")))?)?;
    }
    Ok(())
}
