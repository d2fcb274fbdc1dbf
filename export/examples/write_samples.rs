//! Writes networks with random weights as ONNX files, which a script checks in another runtime. For each
//! network, it also writes raw inputs and the logits that the reference interpreter computes for them.
//!
//! To run it: `cargo run -p kiln-export --example write_samples --features testing -- FOLDER [RANDOM]`.
//!
//! The file `samples.json` in the folder lists the files of each check under `model`, `input`, `shape` and
//! `expected`.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use kiln_export::{Exporter, Onnx, TrainedModel, run_reference, testing};
use serde_json::json;

/// Batch sizes of the checks.
const BATCHES: [usize; 2] = [1, 7];
/// Minimum percentage of examples for which the 8-bit network must predict the same class. The minimum is low
/// because random networks are rarely confident.
const AGREEMENT: f64 = 50.0;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("say which folder to write to")?;
    let random: u64 = match arguments.next() {
        Some(count) => count.parse().context("the second argument is the number of random networks")?,
        None => 50,
    };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let mut models = testing::sample_models();
    models.extend((0..random).map(|seed| (format!("random-{seed}"), testing::random_model(seed))));
    // Networks without some of their channels, cut before and after they are quantized.
    let blocks = (0..random.div_ceil(5)).map(|seed| (seed, testing::random_blocks(seed)));
    let pruned =
        blocks.clone().map(|(seed, model)| (format!("pruned-{seed}"), testing::pruned(&model, seed)));
    models.extend(pruned);
    let late = blocks.map(|(seed, model)| {
        (format!("pruned-late-{seed}"), testing::pruned(&testing::quantized(&model, &[]), seed))
    });
    let late: Vec<(String, TrainedModel)> = late.collect();
    let int8: Vec<(String, TrainedModel)> = models
        .iter()
        .enumerate()
        .flat_map(|(seed, (name, model))| {
            let whole = (format!("{name}-int8"), testing::quantized(model, &[]));
            let mixed = (format!("{name}-mixed"), testing::half_quantized(model, seed as u64));
            let narrow = testing::narrow(model).into_iter();
            let narrow = narrow.map(|(format, narrow)| (format!("{name}-{format}"), narrow));
            [whole, mixed].into_iter().chain(narrow).collect::<Vec<_>>()
        })
        .collect();
    models.extend(int8);
    models.extend(late);
    let mut samples = Vec::new();
    for (name, model) in &models {
        samples.extend(write_sample(folder, name, model).with_context(|| format!("sample `{name}`"))?);
    }
    serde_json::to_writer_pretty(File::create(folder.join("samples.json"))?, &samples)?;
    Ok(())
}

fn write_sample(folder: &Path, name: &str, model: &TrainedModel) -> Result<Vec<serde_json::Value>> {
    let file = format!("{name}.onnx");
    Onnx.export(model, &mut File::create(folder.join(&file))?)?;
    let input = model.architecture.input;
    let mut samples = Vec::new();
    for batch in BATCHES {
        let raw = testing::raw_input(&model.architecture, batch, batch as u64);
        let logits = run_reference(model, &raw, batch)?;
        let shape = match input.positions() {
            1 => vec![batch, input.channels],
            _ => vec![batch, input.channels, input.height, input.width],
        };
        let [input, expected] = ["input", "expected"].map(|part| format!("{name}.{batch}.{part}.f32"));
        write_values(&folder.join(&input), &raw)?;
        write_values(&folder.join(&expected), &logits)?;
        let mut sample = json!({ "model": file, "input": input, "shape": shape, "expected": expected });
        if !model.quantization.is_empty() {
            sample["agreement"] = AGREEMENT.into();
        }
        samples.push(sample);
    }
    Ok(samples)
}

fn write_values(path: &Path, values: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}
