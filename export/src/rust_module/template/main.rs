//! Runs the network on a file of raw values and prints the OUTPUTS of each example on a line, separated by spaces:
//!
//! ```console
//! $ cargo run --release -- INPUT.f32 [WEIGHTS.safetensors]
//! ```
//!
//! The input holds whole examples, one after the other, as little-endian single-precision numbers.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use CRATE::{INPUT, Network};

/// Examples that go through the network at once.
const BATCH: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let input = arguments.next().ok_or("which file? usage: INPUT.f32 [WEIGHTS.safetensors]")?;
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/weights.safetensors"));
    let device = Device::flex();
    let network = Network::load(&arguments.next().unwrap_or_else(beside), &device)?;

    let bytes = std::fs::read(&input).map_err(|error| format!("{}: {error}", input.display()))?;
    let [channels, height, width] = INPUT;
    let example = channels * height * width;
    if !bytes.len().is_multiple_of(example * size_of::<f32>()) {
        let (path, found) = (input.display(), bytes.len());
        return Err(format!("{path}: {found} bytes are no whole number of examples of {example} values").into());
    }
    let (values, _) = bytes.as_chunks();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let mut out = std::io::stdout().lock();
    for batch in values.chunks(BATCH * example) {
        let shape = [batch.len() / example, channels, height, width];
        let raw = Tensor::<4>::from_data(TensorData::new(batch.to_vec(), shape), &device);
        let outputs = network.forward(raw);
        let [_, count] = outputs.dims();
        for row in outputs.into_data().try_to_vec::<f32>()?.chunks(count) {
            let row: Vec<String> = row.iter().map(f32::to_string).collect();
            writeln!(out, "{}", row.join(" "))?;
        }
    }
    Ok(())
}
