//! `kiln show RUN TRIAL --sensitivity`: what rounding each layer alone to 8 bits costs and saves.

use std::collections::BTreeMap;
use std::path::Path;

use kiln_evaluator::LayerSensitivity;
use kiln_export::TrainedModel;
use kiln_search::CostSet;
use kiln_space::{Architecture, NumberFormat, Precision};
use serde_json::{Value, json};

use super::compress::{Target, failure, predicted};
use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::interrupt::StopFlag;
use crate::progress::work::WorkLines;
use crate::text_table::{Align, TextTable};
use crate::{output, units};

pub(super) fn run(run: &Path, trial: u64, common: &Common) -> Result<Exit, Failure> {
    let target = Target::of_trial(run, trial, common)?;
    let model = TrainedModel::load(&target.model).map_err(Failure::wrong)?;
    let (assembly, compressor) = target.assembly(common)?;
    let progress = WorkLines::new(StopFlag::listen()?.flag());
    let layers = compressor.sensitivity(&model, &progress).map_err(failure)?;
    let is_regression = assembly.data.as_ref().is_some_and(|data| data.is_regression());
    let unit = if is_regression { "loss % of error" } else { "loss points" };
    let before = predicted(&in_single_precision(&model.architecture), &assembly.costs);
    if common.json {
        let rows: Vec<Value> = layers.iter().map(|layer| as_json(layer, &before, &assembly.costs)).collect();
        output::print_json(&json!({ "trial": trial, "unit_of_loss": unit, "layers": rows }))?;
    } else {
        output::print(&table(&layers, unit, &before, &assembly.costs).to_string())?;
    }
    Ok(Exit::Done)
}

fn in_single_precision(architecture: &Architecture) -> Architecture {
    let mut single = architecture.clone();
    for layer in &mut single.layers {
        layer.precision = Precision::uniform(NumberFormat::F32);
    }
    single
}

/// Predicted time that rounding a layer saves, by device.
fn saved(layer: &LayerSensitivity, before: &BTreeMap<String, f64>, costs: &CostSet) -> BTreeMap<String, f64> {
    let after = predicted(&layer.architecture, costs);
    let saved = |(device, before): (&String, &f64)| Some((device.clone(), before - after.get(device)?));
    before.iter().filter_map(saved).collect()
}

fn as_json(layer: &LayerSensitivity, before: &BTreeMap<String, f64>, costs: &CostSet) -> Value {
    json!({
        "layer": layer.layer, "loss": layer.loss, "signal_to_noise_db": layer.signal_to_noise_db,
        "bytes_saved": layer.bytes_saved, "latency_us_saved": saved(layer, before, costs),
    })
}

fn table(
    layers: &[LayerSensitivity],
    unit: &str,
    before: &BTreeMap<String, f64>,
    costs: &CostSet,
) -> TextTable {
    let fixed = ["layer", unit, "signal to noise dB", "bytes saved"].map(str::to_owned);
    let devices = before.keys().map(|device| format!("µs saved {device}"));
    let align =
        |(index, heading): (usize, String)| (heading, if index == 0 { Align::Left } else { Align::Right });
    let mut table = TextTable::new(fixed.into_iter().chain(devices).enumerate().map(align));
    for layer in layers {
        let saved = saved(layer, before, costs);
        let noise = layer.signal_to_noise_db.map_or_else(|| "–".to_owned(), |db| format!("{db:.1}"));
        let mut cells = vec![
            layer.layer.clone(),
            format!("{:+.3}", layer.loss),
            noise,
            units::bytes(layer.bytes_saved as f64),
        ];
        let shown = |device: &String| saved.get(device).map_or_else(|| "–".to_owned(), |us| signed(*us));
        cells.extend(before.keys().map(shown));
        table.row(cells);
    }
    table
}

fn signed(value: f64) -> String {
    let text = units::significant(value.abs());
    if value < 0.0 { format!("-{text}") } else { text }
}
