//! Writes Kiln's outputs for finished networks, so that a test can compare them with another runtime's
//! outputs for the exported files:
//!
//! ```console
//! $ cargo run --release --example onnx_samples -- runs/quickstart samples [DATA]
//! $ python tests/onnx/check.py --samples samples
//! ```
//!
//! For each finished network of the run, it writes the ONNX file, 1,000 images (test images first) and the
//! logits for these images. It writes the same files for a variant of the network with all layers in 8 bits.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kiln::config::RunConfig;
use kiln_evaluator::data::{DataRegistry, DataSet, Opening, Split};
use kiln_evaluator::{in_8_bits, predict};
use kiln_export::{Exporter, Onnx, TrainedModel};
use kiln_search::{RunPaths, StudyRecord};
use serde_json::json;

/// Number of images for each network.
const IMAGES: usize = 1000;
/// Minimum percentage of images for which both programs predict the same class in 8 bits. A value halfway
/// between two quantized values may be rounded either way, so the outputs can differ.
const AGREEMENT: f64 = 99.0;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (run, out, folder) = match arguments.as_slice() {
        [run, out] => (run, out, None),
        [run, out, folder] => (run, out, Some(folder.as_path())),
        _ => anyhow::bail!("usage: onnx_samples RUN OUT [DATA]"),
    };
    let paths = RunPaths::new(run);
    let config = RunConfig::read(&paths.config(), None)?;
    let data = config.data.context("the run has no data set")?;
    let data = DataRegistry::builtin().open(&data.kind, &Opening::new(&data.settings, folder))?;
    let raw = images(&data);
    let count = raw.len() / data.shape().elements();
    fs::create_dir_all(out)?;
    write(&out.join("input.f32"), &raw)?;

    let mut samples = Vec::new();
    for trial in StudyRecord::read(&paths)?.finished.into_keys() {
        let model = TrainedModel::load(&paths.model(trial).join("model.kiln"))?;
        let int8 = in_8_bits(&model, &data)?;
        for (name, model) in [(trial.to_string(), model), (format!("{trial}-int8"), int8)] {
            let (onnx, expected) = (format!("{name}.onnx"), format!("{name}.f32"));
            Onnx.export(&model, &mut File::create(out.join(&onnx))?)?;
            write(&out.join(&expected), &predict(&model, &raw))?;
            let shape = data.shape();
            let shape = [count, shape.channels, shape.height, shape.width];
            let mut sample =
                json!({ "model": onnx, "input": "input.f32", "shape": shape, "expected": expected });
            if !model.quantization.is_empty() {
                sample["agreement"] = AGREEMENT.into();
            }
            samples.push(sample);
        }
        let own = fs::read(paths.model(trial).join("model.onnx"))?;
        anyhow::ensure!(
            own == fs::read(out.join(format!("{trial}.onnx")))?,
            "{trial}: another file than that of the run"
        );
    }
    anyhow::ensure!(!samples.is_empty(), "{}: no network is finished", run.display());
    fs::write(out.join("samples.json"), serde_json::to_string_pretty(&samples)?)?;
    eprintln!("{} files, {count} images each", samples.len());
    Ok(())
}

/// Returns the pixel values of the images. The test split comes first.
fn images(data: &DataSet) -> Vec<f32> {
    let splits = [Split::Test, Split::Validation, Split::Train];
    let all = splits.into_iter().flat_map(|split| data.split(split)).take(IMAGES);
    all.flat_map(|index| data.example(*index)).copied().collect()
}

/// Writes values as little-endian floats in single precision, without a header.
fn write(path: &Path, values: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
