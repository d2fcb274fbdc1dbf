//! `kiln hw fit`: fits a device file to measured latencies.

use std::fmt::Write;

use kiln_evaluator::today;
use kiln_files::Overwrite;
use kiln_hw_models::{
    Agreement, Calibration, Comparison, Conditions, CostModel, Device, EvaluationTable, Finding, Fit,
    FittedReport, KeyFile, LatencyUnit, Measured, MeasurementFile, OwnPredictor, Repeats, Roofline, Transfer,
    WeighedKind,
};
use kiln_space::SearchSpace;
use serde_json::json;

use crate::cli::{Common, FitArguments, Unit};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::output_file;
use crate::text_table::{Align, TextTable};

pub(super) fn run(arguments: &FitArguments, common: &Common) -> Result<Exit, Failure> {
    let device = started_from(arguments)?;
    if arguments.model == "kernels" {
        return super::kernels::fit(arguments, common, &device);
    }
    let space = super::space(arguments.space.as_deref(), common)?;
    let file = measurement_file(arguments);
    if arguments.model == "fitted" {
        return networks(arguments, common, &device, &file, space.as_ref());
    }
    let read = file.read(space.as_ref()).map_err(Failure::wrong)?;
    let (measured, not_measured, repeats) = (read.measured.len(), read.not_measured, read.repeats);
    let (drawn, others) = match arguments.sample {
        Some(count) => read.draw(count, common.seed.unwrap_or(0)),
        None => (read.measured, Vec::new()),
    };
    let FitArguments { batch, threads, .. } = *arguments;
    let calibration =
        Calibration { batch, threads, ..Calibration::new(file.name(), &arguments.latency_column) };
    let fit = calibration.fit(&device, &drawn).map_err(Failure::wrong)?;
    let others = compared(arguments, device, &fit, &others)?;
    let overwrite = if arguments.force { Overwrite::Always } else { Overwrite::Never };
    output_file::write(&arguments.out, fit.device.to_toml().as_bytes(), overwrite)?;

    let out = &arguments.out;
    if common.json {
        let others = others.map(|(before, after)| json!({ "before": before, "after": after }));
        output::print_json(&json!({
            "file": output::path_text(out), "measured": measured, "not_measured": not_measured,
            "repeats": repeats,
            "report": fit.report, "others": others,
        }))?;
    } else {
        let repeated = repeats.map(|repeats| said(&repeats)).unwrap_or_default();
        let mut text =
            format!("{measured} networks measured, {not_measured} not\n{repeated}\n{}", fit.report);
        if let Some((before, after)) = &others {
            write!(text, "\n{}", comparison_table(&[("before", *before), ("after", *after)]))
                .expect("writing to a string does not fail");
        }
        output::print(&format!(
            "{text}\n{0}: written; use it with `file = \"{0}\"` in `[[hardware]]`",
            output::path_shown(out)
        ))?;
    }
    Ok(Exit::Done)
}

/// Fits the model `fitted`.
fn networks(
    arguments: &FitArguments,
    common: &Common,
    device: &Device,
    file: &MeasurementFile,
    space: &dyn SearchSpace,
) -> Result<Exit, Failure> {
    let FitArguments { batch, threads, sample, .. } = *arguments;
    let roofline = Roofline::new(device.clone(), batch, threads);
    let mut table = EvaluationTable::read(file, &[], space, &roofline).map_err(Failure::wrong)?;
    let (measured, not_measured, repeats) = (table.len(), table.not_measured(), table.repeats());
    if let Some(count) = sample {
        table = table.draw(count, common.seed.unwrap_or(0));
    }
    let transfer = Transfer::named(&arguments.transfer).map_err(Failure::wrong)?;
    let table = table.with_transfer(&transfer, OwnPredictor::Kept);
    let conditions = roofline.conditions().unwrap_or(Conditions { batch, threads });
    let (fitted, report) =
        FittedReport::fit(&table, device, &file.name(), conditions).map_err(Failure::wrong)?;
    let fitted = Device { fitted: fitted.fitted.map(|networks| networks.dated(today())), ..fitted };
    let overwrite = if arguments.force { Overwrite::Always } else { Overwrite::Never };
    output_file::write(&arguments.out, fitted.to_toml().as_bytes(), overwrite)?;
    let out = &arguments.out;
    if common.json {
        output::print_json(&json!({
            "file": output::path_text(out), "measured": measured, "not_measured": not_measured,
            "repeated_lines": repeats, "report": report,
        }))?;
        return Ok(Exit::Done);
    }
    let Agreement { median_error_percent, within_a_tenth_percent, spearman, .. } = report.held_out;
    let mut text = format!(
        "{measured} networks measured, {not_measured} not\nfitted to {}; each predicted from the others: \
         median error {median_error_percent:.1} %, {within_a_tenth_percent:.1} % within 10 %, Spearman {}\n",
        report.networks,
        spearman.map_or_else(|| "-".to_owned(), |spearman| format!("{spearman:.3}")),
    );
    if repeats > 0 {
        writeln!(text, "{repeats} lines repeat a network: the fit uses the median of each")
            .expect("writing to a string does not fail");
    }
    for WeighedKind { kind, error_percent, weight } in &report.kinds {
        writeln!(
            text,
            "{}: mean error {error_percent:.1} % in cross-validation, weight {weight:.2}",
            kind.name().replace('_', " ")
        )
        .expect("writing to a string does not fail");
    }
    if !report.transfer.is_empty() {
        writeln!(text, "known devices: the shipped predictors {}", report.transfer.join(", "))
            .expect("writing to a string does not fail");
    }
    for Finding { line, latency_us, expected_us } in &report.outliers {
        writeln!(text, "line {line}: {latency_us} us, where the other networks say {expected_us:.0} us")
            .expect("writing to a string does not fail");
    }
    output::print(&format!(
        "{text}{0}: written; use it with `file = \"{0}\"` and `model = \"fitted\"` in `[[hardware]]`",
        output::path_shown(out)
    ))?;
    Ok(Exit::Done)
}

/// Describes, in one line, the networks that were measured more than once.
fn said(repeats: &Repeats) -> String {
    let Repeats { networks, measurements, median_spread_percent, largest_spread_percent, .. } = repeats;
    format!(
        "{networks} of them more than once ({measurements} measurements): the fit uses the median of each; \
         the slowest measurement is {median_spread_percent:.1} % above the fastest in the median network, \
         {largest_spread_percent:.1} % at most\n"
    )
}

/// Returns the device whose numbers are the start of the fit, renamed to the fitted device's name.
fn started_from(arguments: &FitArguments) -> Result<Device, Failure> {
    let device = super::device(arguments.device.as_deref(), arguments.file.as_deref())?;
    let mut device = device.expect("the command line asks for a device or a file");
    if let Some(name) = &arguments.name {
        device.name.clone_from(name);
    }
    if let Some(title) = &arguments.title {
        device.title.clone_from(title);
    }
    // The device is parsed again, so that an invalid name is refused before the fit.
    Device::parse("--name", &device.to_toml()).map_err(Failure::wrong)
}

fn measurement_file(arguments: &FitArguments) -> MeasurementFile {
    let key_file = arguments.key_file.clone().zip(arguments.key_on.clone());
    MeasurementFile {
        path: arguments.measurements.clone(),
        key: arguments.key.clone(),
        key_file: key_file.map(|(path, on)| KeyFile { path, on }),
        latency_column: arguments.latency_column.clone(),
        unit: match arguments.unit {
            Unit::Us => LatencyUnit::Us,
            Unit::Ms => LatencyUnit::Ms,
        },
    }
}

/// Compares the prediction errors on held-out networks before and after the fit. Returns `None` if no
/// networks were held out.
fn compared(
    arguments: &FitArguments,
    before: Device,
    fit: &Fit,
    others: &[Measured],
) -> Result<Option<(Comparison, Comparison)>, Failure> {
    if others.is_empty() {
        return Ok(None);
    }
    let compare = |device: Device| {
        let model = Roofline::new(device, arguments.batch, arguments.threads);
        Comparison::new(&model, others).map_err(Failure::wrong)
    };
    Ok(Some((compare(before)?, compare(fit.device.clone())?)))
}

/// Tabulates the errors of cost models on the same held-out networks.
pub(super) fn comparison_table(compared: &[(&str, Comparison)]) -> TextTable {
    let networks = compared.first().map_or(0, |(_, comparison)| comparison.agreement.networks);
    let others = format!("{networks} other networks");
    let mut table = TextTable::new(
        [others.as_str(), "mean", "median", "in 10 %", "Spearman", "in interval"]
            .iter()
            .enumerate()
            .map(|(i, name)| (*name, if i == 0 { Align::Left } else { Align::Right })),
    );
    for (name, Comparison { agreement, within_interval_percent }) in compared {
        let percent = |value: f64| format!("{value:.1} %");
        table.row([
            (*name).to_owned(),
            percent(agreement.mean_error_percent),
            percent(agreement.median_error_percent),
            percent(agreement.within_a_tenth_percent),
            agreement.spearman.map_or_else(|| "-".to_owned(), |spearman| format!("{spearman:.3}")),
            percent(*within_interval_percent),
        ]);
    }
    table
}
