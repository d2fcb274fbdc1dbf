//! `kiln hw list`: lists the devices with their cost models, or all numbers of one device.

use std::path::Path;

use kiln::assembly::Registries;
use kiln_export::plain_text;
use kiln_hw_models::{Device, ShippedPredictor, ShippedPredictors};
use kiln_space::NumberFormat;
use serde_json::{Value, json};

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::text_table::{Align, TextTable};
use crate::{output, units};

pub(super) fn run(name: Option<&str>, file: Option<&Path>, common: &Common) -> Result<Exit, Failure> {
    if let Some(device) = super::device(name, file)? {
        if common.json {
            output::print_json(&with_models(&device)?)?;
        } else {
            let title = format!("{}: {}", device.name, device.title);
            let models = models_table(std::slice::from_ref(&device), &[]);
            output::print(&format!("{}\n\n{models}\n{}", plain_text(&title), numbers(&device)))?;
        }
    } else {
        let devices = Registries::builtin().hardware.devices().map_err(Failure::wrong)?;
        let shipped = ShippedPredictors::builtin().map_err(Failure::wrong)?.devices();
        if common.json {
            let listed =
                devices.iter().map(with_models).chain(shipped.iter().map(|known| Ok(as_json(known))));
            output::print_json(&listed.collect::<Result<Vec<Value>, Failure>>()?)?;
        } else {
            let hint = "`kiln hw list DEVICE` shows every number of a device with its source. Predictors \
                        marked `shipped` are known devices of `kiln hw fit --model fitted`";
            let models = models_table(&devices, shipped);
            output::print(&format!("{}\n{models}\n{hint}", table(&devices)))?;
        }
    }
    Ok(Exit::Done)
}

/// A cost model of a device: its name, its error, and the day of its fit.
struct ListedModel {
    model: &'static str,
    error: String,
    /// The error in numbers.
    numbers: Value,
    /// `None` for numbers from documents.
    date: Option<String>,
}

/// The cost models that a device file has numbers for.
fn models(device: &Device) -> Vec<ListedModel> {
    let within = 100.0 * device.error.latency_relative_90.value;
    let measured = device.measured.as_ref();
    let mut models = vec![ListedModel {
        model: "roofline",
        error: format!("9 of 10 within {within:.0} %"),
        numbers: json!({ "latency_relative_90": device.error.latency_relative_90.value }),
        date: measured.map(|report| report.date.clone()),
    }];
    models.extend(device.fitted.as_ref().map(|networks| {
        let held_out = networks.held_out();
        ListedModel {
            model: "fitted",
            error: format!(
                "median {:.1} %, {:.0} % within 10 %",
                held_out.median_error_percent, held_out.within_a_tenth_percent
            ),
            numbers: json!({
                "held_out": held_out, "kinds": networks.kinds(), "transfer": networks.transfer(),
            }),
            date: networks.date().map(str::to_owned),
        }
    }));
    models
}

/// A device with its cost models.
fn with_models(device: &Device) -> Result<Value, Failure> {
    let mut listed = serde_json::to_value(device).map_err(Failure::wrong)?;
    let as_json =
        |found: ListedModel| json!({ "model": found.model, "error": found.numbers, "date": found.date });
    listed["models"] = models(device).into_iter().map(as_json).collect();
    Ok(listed)
}

/// A shipped predictor as a device with one model.
fn as_json(known: &ShippedPredictor) -> Value {
    let ShippedPredictor { name, title, sources, license, date, networks, .. } = known;
    let error = json!({
        "within_10_percent": known.within_10_percent, "spearman": known.spearman, "networks": networks,
    });
    json!({
        "name": name, "title": title, "sources": sources, "license": license,
        "models": [{ "model": "fitted", "shipped": true, "error": error, "date": date }],
    })
}

/// Tabulates the cost models of devices and the shipped predictors.
fn models_table(devices: &[Device], shipped: &[ShippedPredictor]) -> TextTable {
    let columns = ["device", "model", "error", "fitted on", "title"];
    let mut table = TextTable::new(columns.map(|column| (column, Align::Left)));
    for device in devices {
        for ListedModel { model, error, date, .. } in models(device) {
            let date = date.unwrap_or_else(|| "-".to_owned());
            table.row([
                device.name.clone(),
                model.to_owned(),
                error,
                date,
                plain_text(&device.title).to_string(),
            ]);
        }
    }
    for ShippedPredictor { name, title, date, within_10_percent, .. } in shipped {
        let error = format!("{within_10_percent:.0} % within 10 %");
        table.row([name.clone(), "fitted (shipped)".to_owned(), error, date.clone(), title.clone()]);
    }
    table
}

/// Tabulates the main numbers of each device.
fn table(devices: &[Device]) -> TextTable {
    let columns =
        ["device", "cores", "f32 MAC/s per core", "bytes/s", "memory", "on chip", "latency within", "title"];
    let mut table = TextTable::new(columns.map(|column| {
        (column, if matches!(column, "device" | "title") { Align::Left } else { Align::Right })
    }));
    for device in devices {
        let rate = device.macs_per_s(NumberFormat::F32);
        table.row([
            device.name.clone(),
            device.cores.value.to_string(),
            rate.map_or_else(|| "-".to_owned(), units::count),
            units::count(device.memory.external_bytes_per_s.value),
            units::bytes(device.memory.capacity_bytes.value),
            units::bytes(device.memory.on_chip_bytes.value),
            format!("x{}", 1.0 + device.error.latency_relative_90.value),
            device.title.clone(),
        ]);
    }
    table
}

/// Tabulates every number of a device with its source.
fn numbers(device: &Device) -> TextTable {
    let mut table =
        TextTable::new([("number", Align::Left), ("value", Align::Right), ("source", Align::Left)]);
    for (key, number) in device.numbers() {
        table.row([key, shown(number.value), number.source.clone()]);
    }
    for pattern in &device.sparsity.n_of_m {
        let key = format!("sparsity {} of {}", pattern.n, pattern.m);
        table.row([key, format!("x{}", pattern.speedup), pattern.source.clone()]);
    }
    table
}

/// Returns the shortest text that parses to this value.
fn shown(value: f64) -> String {
    if value.abs() >= 1e7 { format!("{value:e}") } else { value.to_string() }
}
