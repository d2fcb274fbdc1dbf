//! A custom data set: points on two spirals, computed by a formula. Your data set may read files from
//! `opening.folder` or query a database. A config names the data set in `[data]`, like any other data set.
//!
//! ```console
//! $ cargo run --release --example own_data
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

mod run;

use anyhow::Result;
use kiln::assembly::Registries;
use kiln_evaluator::data::{Augmentation, DataError, DataSet, Given, Opening, RawData, Sizes, Targets};
use kiln_export::InputRecord;
use kiln_space::{SettingsError, Shape};
use serde::Deserialize;

const CONFIG: &str = r#"
    study = { name = "spirals", seed = 1 }
    data = { kind = "spirals", turns = 1.5 }
    space = { kind = "mlp", layers = [1, 2], width = [8, 32], activation = ["relu", "tanh"] }
    evaluator = { kind = "scratch", epochs = 30 }

    [search]
    strategy = "random"
    trials = 8
    objectives = ["error_percent", "parameters"]
"#;

/// `[data]` with `kind = "spirals"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spirals {
    /// Number of turns of each arm.
    turns: f32,
}

/// Reads the settings and computes the data. `main` registers this function. Equal settings must give equal
/// data.
fn open(opening: &Opening<'_>) -> Result<DataSet, DataError> {
    let Spirals { turns } = opening.settings.read()?;
    if !(0.1..=10.0).contains(&turns) {
        return Err(SettingsError::value(opening.settings.key("turns"), turns, "0.1 to 10").into());
    }
    let (mut examples, mut labels) = (Vec::new(), Vec::new());
    for point in 0..400_u16 {
        let along = f32::from(point) / 400.0;
        for arm in [0_u8, 1] {
            let angle = (turns * along * 2.0 + f32::from(arm)) * std::f32::consts::PI;
            examples.extend([along * angle.cos(), along * angle.sin()]);
            labels.push(u32::from(arm));
        }
    }
    let raw = RawData {
        name: "spirals".to_owned(),
        input: "coordinates within the unit circle".to_owned(),
        shape: Shape::vector(2),
        examples,
        inputs: ["x", "y"].map(InputRecord::channel).to_vec(),
        targets: Targets::Classes { names: ["inner", "outer"].map(str::to_owned).to_vec(), labels },
        given: Given::default(),
        notes: Vec::new(),
    };
    let sizes = Sizes { test: 0.2, validation: 0.2, seed: 0, limit: None };
    DataSet::new(raw, &sizes, Augmentation::default())
}

fn main() -> Result<()> {
    let mut registries = Registries::builtin();
    registries.data.register("spirals", "points on two spirals", open);
    run::study(&registries, CONFIG)
}
