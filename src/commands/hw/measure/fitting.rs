//! Fits a device file to the measured networks, and tests it on those that were left out.

use std::path::Path;

use kiln_files::Overwrite;
use kiln_hw_models::measuring::{HeldOut, MeasuringReport, summarize};
use kiln_hw_models::{
    Calibration, Comparison, Conditions, CostModel, Device, EvaluationTable, FitReport, Fitted, FittedReport,
    LatencyUnit, MeasurementFile, OwnPredictor, Repeats, Roofline, Transfer,
};
use kiln_space::SearchSpace;

use super::journal::Journal;
use crate::cli::MeasureArguments;
use crate::exit::Failure;
use crate::text_table::TextTable;
use crate::{output, output_file};

/// One of so many networks is left out of the fit.
const HELD_OUT_OF: usize = 5;

/// Names of the cost models that a device file of measured networks serves.
const ROOFLINE: &str = "roofline";
const FITTED: &str = "fitted";

/// A fitted device file.
pub(super) struct FittedFile {
    pub(super) report: MeasuringReport,
    pub(super) fit: FitReport,
    comparison: TextTable,
}

/// Fits a device to the table of measurements and writes its file: the numbers of the roofline, and the
/// networks of the fitted model. Both are fitted to the same networks and tested on the same others.
pub(super) fn fit(
    arguments: &MeasureArguments,
    start: &Device,
    space: &dyn SearchSpace,
    journal: &Journal,
    table: &Path,
) -> Result<FittedFile, Failure> {
    let file = MeasurementFile {
        path: table.to_owned(),
        key: "arch".to_owned(),
        key_file: None,
        latency_column: "latency_us".to_owned(),
        unit: LatencyUnit::Us,
    };
    let read = file.read(space).map_err(Failure::wrong)?;
    let repeats = read.repeats;
    let held_out = read.measured.len().div_ceil(HELD_OUT_OF);
    let fitted = read.measured.len() - held_out;
    let (drawn, others) = read.draw(fitted, journal.conditions.seed);
    let (batch, threads) = (arguments.batch, arguments.threads);
    let calibration = Calibration { batch, threads, ..Calibration::new(file.name(), &file.latency_column) };
    let fit = calibration.fit(start, &drawn).map_err(Failure::wrong)?;
    let roofline = |device: &Device| Roofline::new(device.clone(), batch, threads);
    let transfer = Transfer::all().map_err(Failure::wrong)?;
    let networks = EvaluationTable::of(&file.latency_column, &drawn, space, &roofline(&fit.device))
        .map(|networks| networks.with_transfer(&transfer, OwnPredictor::Kept));
    let (device, _) = networks
        .and_then(|networks| {
            FittedReport::fit(&networks, &fit.device, &file.name(), Conditions { batch, threads })
        })
        .map_err(Failure::wrong)?;
    let compare = |model: &dyn CostModel| Comparison::new(model, &others).map_err(Failure::wrong);
    let fitted_on = journal.date.clone();
    let networks = device.fitted.map(|networks| networks.dated(fitted_on));
    let device = Device { fitted: networks, ..device };
    let model = Fitted::new(device.clone()).map_err(Failure::wrong)?;
    let compared = [
        ("roofline before", compare(&roofline(start))?),
        (ROOFLINE, compare(&roofline(&device))?),
        (FITTED, compare(&model)?),
    ];
    let report = report(journal, fitted, &compared[1..], repeats);
    let mut device = device;
    if arguments.title.is_none() {
        device.title = title(&report);
    }
    device.measured = Some(report.clone());
    let overwrite = if arguments.force { Overwrite::Always } else { Overwrite::Never };
    output_file::write(&arguments.out, device.to_toml().as_bytes(), overwrite)?;
    Ok(FittedFile { report, fit: fit.report, comparison: super::super::fit::comparison_table(&compared) })
}

fn report(
    journal: &Journal,
    fitted: usize,
    held_out: &[(&str, Comparison)],
    repeats: Option<Repeats>,
) -> MeasuringReport {
    let conditions = journal.conditions.clone();
    let is_local = conditions.commands.is_none();
    MeasuringReport {
        machine: is_local.then(kiln_evaluator::this_machine),
        runtime: conditions.runtime,
        runtime_version: conditions.runtime_version,
        date: journal.date.clone(),
        batch: conditions.batch,
        threads: conditions.threads,
        governor: journal.governors.join(", "),
        load: journal.load,
        fitted,
        held_out: held_out
            .iter()
            .map(|(model, found)| ((*model).to_owned(), HeldOut::from(*found)))
            .collect(),
        session: summarize(journal.networks.len(), &journal.visits).1,
        repeats,
    }
}

/// Returns the setting of a config that selects the model with the smaller error on networks that were left
/// out. The roofline needs none.
fn model_setting(report: &MeasuringReport) -> &'static str {
    let error = |model| report.held_out.get(model).map_or(f64::INFINITY, |found| found.median_error_percent);
    if error(FITTED) < error(ROOFLINE) { " and `model = \"fitted\"`" } else { "" }
}

/// A description for people.
fn title(report: &MeasuringReport) -> String {
    let MeasuringReport { runtime, runtime_version, date, .. } = report;
    let version = if runtime_version.is_empty() { String::new() } else { format!(" {runtime_version}") };
    format!("measured with {runtime}{version} on {date}")
}

impl FittedFile {
    /// The report for people.
    pub(super) fn text(&self, out: &Path, table: &Path) -> String {
        let Self { report, fit, comparison } = self;
        let session = report.session;
        let mut lines = vec![title(report)];
        lines.push(format!(
            "{} networks measured, {} failed, {} not reached; batch {}, threads {}",
            session.measured, session.failed, session.not_reached, report.batch, report.threads
        ));
        if let Some(repeats) = report.repeats {
            lines.push(format!(
                "noise: the slowest measurement is {:.1} % above the fastest in the median network, {:.1} % at \
                 most; the medians of every second measurement and of the others are within 10 % in {:.1} % of \
                 the networks",
                repeats.median_spread_percent, repeats.largest_spread_percent, repeats.within_a_tenth_percent
            ));
        }
        lines.push(format!(
            "{} measurements were disturbed, {} repeated; the reference network varied by {:.1} %",
            session.disturbed, session.repeated, session.drift_percent
        ));
        let load = report.load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}"));
        let governor = if report.governor.is_empty() { "unknown" } else { &report.governor };
        lines.push(format!("clock governor {governor}, highest load {load}"));
        format!(
            "{}\n\n{fit}\n{comparison}\n{}: every measurement\n{out}: written; use it with `file = \"{out}\"`{model} in \
             `[[hardware]]`",
            lines.join("\n"),
            output::path_shown(table),
            model = model_setting(report),
            out = output::path_shown(out)
        )
    }
}
