//! A custom export format: a C header with a network's weights, for firmware that implements the network
//! itself. A config names the format in `[finish]`, like any other.
//!
//! ```console
//! $ cargo run --release --example own_exporter
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

mod run;

use std::io::Write;

use anyhow::Result;
use kiln::assembly::Registries;
use kiln_export::{ExportError, Exporter, TrainedModel};

const CONFIG: &str = r#"
    study = { name = "firmware", seed = 1 }
    data = { kind = "digits" }
    space = { kind = "mlp", layers = 1, width = [8, 16] }
    evaluator = { kind = "scratch", epochs = 5 }
    search = { strategy = "random", trials = 2 }
    finish = { epochs = 10, formats = ["c_header"] }
"#;

/// Writes one array for each weight: `static const float head_weight[80] = {...};`.
struct CHeader;

impl Exporter for CHeader {
    fn extension(&self) -> &'static str {
        "h"
    }

    fn export(&self, model: &TrainedModel, out: &mut dyn Write) -> Result<(), ExportError> {
        // An incomplete network is not written at all.
        model.check()?;
        let card = &model.card;
        // The network takes `(raw - mean) / deviation`.
        writeln!(out, "/* {}: {} */", card.name, card.training.replace("*/", "* /"))?;
        let normalization =
            [("mean", &card.preprocessing.mean), ("deviation", &card.preprocessing.deviation)];
        let arrays = model.arrays.iter().map(|(name, array)| (name.as_str(), &array.data));
        for (name, values) in normalization.into_iter().chain(arrays) {
            let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
            // Nine digits suffice to restore every single-precision number exactly.
            let values: Vec<String> = values.iter().map(|value| format!("{value:.8e}f")).collect();
            writeln!(out, "static const float {name}[{}] = {{{}}};", values.len(), values.join(", "))?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut registries = Registries::builtin();
    registries.exporters.register("c_header", "the weights as a C header", || Box::new(CHeader));
    run::study(&registries, CONFIG)
}
