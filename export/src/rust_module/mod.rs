//! A Rust package: the network as source code that runs on burn, with its weights beside it.

mod forward;
mod manifest;
mod names;
mod network;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use crate::quantization::check_precision;
use crate::{ExportError, Exporter, QuantizationPlan, Safetensors, TrainedModel};

/// Name of the weights in the package, as [`RustModule`] writes it.
pub const WEIGHTS_FILE: &str = "weights.safetensors";
/// The code that does not depend on the network.
const LAYERS: &str = include_str!("template/layers.rs");
/// The code that layers of 8 bits need besides.
const INTEGERS: &str = include_str!("template/integers.rs");
/// The program of the package; `CRATE` stands for the package's name, `OUTPUTS` for what the network gives.
const MAIN: &str = include_str!("template/main.rs");

/// Writes a package for burn 0.22 that depends on nothing else of Kiln.
///
/// | file | holds |
/// |---|---|
/// | `Cargo.toml` | the package, named after study and trial |
/// | `src/lib.rs` | `Network`: a burn module with a field for each layer with weights, and `forward` |
/// | `src/layers.rs` | reading weights, and operations that burn has no layer for |
/// | `src/integers.rs` | layers of 8 bits, where the network has any |
/// | `src/main.rs` | a program that runs the network on a file of raw values |
/// | `weights.safetensors` | see [`Safetensors`] |
///
/// # Shapes
/// `forward` takes raw values `[batch, channels, height, width]` and gives logits `[batch, classes]`, or of a regression values
/// `[batch, values]` in their own units; the normalization is part of it. Layers that the output does not depend on are left out.
///
/// Layers of 8 bits have integer weights in the file and read and keep values on the grids that were calibrated. As burn has no
/// convolution of integers, whole numbers are computed in single precision, where their sums are exact below 2^24: the outputs
/// are those of Kiln's own evaluation.
///
/// Networks with layers of other number formats are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustModule;

impl Exporter for RustModule {
    fn extension(&self) -> &'static str {
        "rs"
    }

    /// Writes `src/lib.rs` alone; the whole package is the [folder](Exporter::folder).
    fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError> {
        model.check()?;
        check_precision(model, "the Rust module")?;
        out.write_all(source::library(model).as_bytes())?;
        Ok(())
    }

    fn folder(&self, model: &TrainedModel) -> Result<Option<BTreeMap<String, Vec<u8>>>, ExportError> {
        let mut library = Vec::new();
        self.export(model, &mut library)?;
        let mut weights = Vec::new();
        Safetensors.export(model, &mut weights)?;
        let package = names::package(&model.card.name);
        let main = MAIN.replace("CRATE", &package.replace('-', "_"));
        let main = main.replace("OUTPUTS", model.card.predicts.outputs());
        let mut files: Vec<(&str, Vec<u8>)> = vec![
            ("Cargo.toml", manifest::manifest(&package, model).into()),
            ("src/layers.rs", LAYERS.into()),
            ("src/lib.rs", library),
            ("src/main.rs", main.into()),
            (WEIGHTS_FILE, weights),
        ];
        if !QuantizationPlan::new(&model.architecture).is_empty() {
            files.push(("src/integers.rs", INTEGERS.into()));
        }
        Ok(Some(files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect()))
    }
}
