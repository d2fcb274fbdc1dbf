//! `kiln hw fit --model kernels`: fits predictors to a table of measured kernels.

use std::fmt::Write;

use kiln_files::Overwrite;
use kiln_hw_models::{Agreement, Device, FormatReport, KernelFile, KernelsReport, LatencyUnit, OddKernel};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde_json::json;

use crate::cli::{Common, FitArguments, Unit};
use crate::exit::{Exit, Failure};
use crate::text_table::{Align, TextTable};
use crate::{output, output_file};

pub(super) fn fit(arguments: &FitArguments, common: &Common, device: &Device) -> Result<Exit, Failure> {
    let file = KernelFile {
        path: arguments.measurements.clone(),
        latency_column: arguments.latency_column.clone(),
        unit: match arguments.unit {
            Unit::Us => LatencyUnit::Us,
            Unit::Ms => LatencyUnit::Ms,
        },
        format: arguments.format.into(),
    };
    let (mut kernels, not_measured) = file.read().map_err(Failure::wrong)?;
    let (measured, seed) = (kernels.len(), common.seed.unwrap_or(0));
    if let Some(count) = arguments.sample {
        kernels.shuffle(&mut Pcg64::seed_from_u64(seed));
        kernels.truncate(count);
    }
    let (fitted, report) = KernelsReport::fit(&kernels, device, &file.name(), arguments.threads, seed)
        .map_err(Failure::wrong)?;
    let text = fitted.to_toml();
    // Read again: a file that is too large is not written.
    Device::parse(&output::path_text(&arguments.out), &text).map_err(Failure::wrong)?;
    let overwrite = if arguments.force { Overwrite::Always } else { Overwrite::Never };
    output_file::write(&arguments.out, text.as_bytes(), overwrite)?;
    if common.json {
        output::print_json(&json!({
            "file": output::path_text(&arguments.out), "measured": measured, "not_measured": not_measured,
            "report": report,
        }))?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{measured} kernels measured, {not_measured} not\n\n{}", format_table(&report));
    for OddKernel { line, kernel, latency_us, expected_us } in &report.listed {
        writeln!(text, "line {line}: {latency_us} us, where the others say {expected_us:.0} us: {kernel}")
            .expect("writing to a string does not fail");
    }
    output::print(&format!(
        "{text}\n{0}: written; use it with `file = \"{0}\"` and `model = \"kernels\"` in `[[hardware]]`",
        output::path_shown(&arguments.out)
    ))?;
    Ok(Exit::Done)
}

/// Tabulates the agreement with held-out kernels.
pub(super) fn format_table(report: &KernelsReport) -> TextTable {
    let columns = ["held-out kernels", "format", "number", "median error", "in 10 %"];
    let columns = columns.iter().enumerate();
    let mut table =
        TextTable::new(columns.map(|(i, name)| (*name, if i < 2 { Align::Left } else { Align::Right })));
    for FormatReport { format, held_out, roofline, nearest, .. } in &report.formats {
        let rows = [("fitted", Some(held_out)), ("roofline", roofline.as_ref()), ("nearest", Some(nearest))];
        for (name, found) in rows {
            let Some(Agreement { networks, median_error_percent, within_a_tenth_percent, .. }) = found else {
                continue;
            };
            table.row([
                name.to_owned(),
                format.to_string(),
                networks.to_string(),
                format!("{median_error_percent:.1} %"),
                format!("{within_a_tenth_percent:.1} %"),
            ]);
        }
    }
    table
}
