//! Exports a network as a Rust package: source code that runs on burn, and the weights.

mod forward;
mod manifest;
mod names;
mod network;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use crate::quantization::{Formats, check_precision};
use crate::safetensors::read_back;
use crate::{ExportError, Exporter, ExporterPart, QuantizationPlan, ReadBack, Safetensors, TrainedModel};

/// Name of the weights file in a [`RustModule`] package.
pub const WEIGHTS_FILE: &str = "weights.safetensors";
/// Source code that is the same for every network.
const LAYERS: &str = include_str!("template/layers.rs");
/// Additional source code for 8-bit layers.
const INTEGERS: &str = include_str!("template/integers.rs");
/// The source code of the package's program. `CRATE` is replaced by the package's name, and `OUTPUTS` by the
/// name of the outputs.
const MAIN: &str = include_str!("template/main.rs");

/// Writes a package that depends on burn 0.22 and on none of Kiln's crates.
///
/// | file | contents |
/// |---|---|
/// | `Cargo.toml` | the package, named after study and trial |
/// | `src/lib.rs` | `Network`: a burn module with a field for each layer with weights, and `forward` |
/// | `src/layers.rs` | loads weights, and contains the operations for which burn has no layer |
/// | `src/integers.rs` | 8-bit layers, if the network has any |
/// | `src/main.rs` | a program that runs the network on a file of raw values |
/// | `weights.safetensors` | see [`Safetensors`] |
///
/// # Shapes
/// `forward` takes raw values `[batch, channels, height, width]` and normalizes them. It returns logits
/// `[batch, classes]` for classification, and values `[batch, values]` in their own units for regression.
/// Layers that the output does not depend on are omitted.
///
/// # 8-bit layers
/// The weights file contains the integer weights of 8-bit layers. These layers read and write values of the
/// calibrated quantization grids. burn has no integer convolution. So the package computes with whole numbers
/// in single precision, where sums are exact below 2^24. The outputs equal those of Kiln's own evaluation.
///
/// Networks with other number formats are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustModule;

impl RustModule {
    /// The registry entry of this export format.
    pub(crate) const PART: ExporterPart =
        ExporterPart::new("a Rust package that runs on burn (a folder)", || Box::new(Self))
            .tested_with(ReadBack::Folder(|files| read_back::arrays(&files[WEIGHTS_FILE])));
}

impl Exporter for RustModule {
    fn extension(&self) -> &'static str {
        "rs"
    }

    /// Writes only `src/lib.rs`. The whole package is in the [folder](Exporter::folder).
    fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError> {
        model.check()?;
        check_precision(model, "the Rust module", Formats::Basic)?;
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
