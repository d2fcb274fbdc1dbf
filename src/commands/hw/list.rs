//! `kiln hw list`: lists the built-in devices, or all numbers of one device.

use std::path::Path;

use kiln::assembly::Registries;
use kiln_export::plain_text;
use kiln_hw_models::Device;
use kiln_space::NumberFormat;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::text_table::{Align, TextTable};
use crate::{output, units};

pub(super) fn run(name: Option<&str>, file: Option<&Path>, common: &Common) -> Result<Exit, Failure> {
    if let Some(device) = super::device(name, file)? {
        if common.json {
            output::print_json(&device)?;
        } else {
            let title = format!("{}: {}", device.name, device.title);
            output::print(&format!("{}\n\n{}", plain_text(&title), numbers(&device)))?;
        }
    } else {
        let devices = Registries::builtin().hardware.devices().map_err(Failure::wrong)?;
        if common.json {
            output::print_json(&devices)?;
        } else {
            let hint = "`kiln hw list DEVICE` shows every number of a device with its source";
            output::print(&format!("{}\n{hint}", table(&devices)))?;
        }
    }
    Ok(Exit::Done)
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
