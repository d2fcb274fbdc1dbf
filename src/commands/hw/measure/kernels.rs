//! Kernels of the space, each measured as a network of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use kiln_hw_models::measuring::summarize;
use kiln_hw_models::{
    Comparison, Device, HwError, KernelFile, KernelShape, KernelTable, Kernels, KernelsReport, LatencyUnit,
    Measured, MeasurementFile, choose_kernels, distinct_kernels, fit_overhead,
};
use kiln_space::{Architecture, NumberFormat, SearchSpace};
use serde::Serialize;

use super::journal::{Journal, Place, refused};
use crate::cli::MeasureArguments;
use crate::commands::hw::kernels::format_table;
use crate::csv_table::CsvTable;
use crate::exit::Failure;
use crate::output;

/// Most kernels of a table. A device file holds twice as many.
const TABLE_MAX: usize = 4000;
/// One of so many networks is left out of the fit, as in the fit of the other numbers.
const HELD_OUT_OF: usize = 5;
/// Median error in percent from which on the sum of kernels does not describe a device.
const FAILS_PERCENT: f64 = 25.0;

/// What was fitted to the kernels.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// File of all measured kernels.
    file: String,
    measured: usize,
    failed: usize,
    /// Agreement on kernels, each predicted from others.
    fit: KernelsReport,
    /// Number of networks to which overhead and interval were fitted.
    networks: usize,
    /// Agreement of the model `kernels` with networks that nothing was fitted to.
    held_out: Comparison,
    /// Agreement of the model `table` with those of these networks whose kernels are all known.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Comparison>,
}

/// The kernels to measure, with the networks that they are alone. None without `--kernels`.
pub(super) fn chosen(
    arguments: &MeasureArguments,
    start: &Device,
    space: &dyn SearchSpace,
    seed: u64,
) -> Result<Vec<(KernelShape, Architecture)>, Failure> {
    if !arguments.kernels {
        return Ok(Vec::new());
    }
    if let Some(found) = start.adds_up.as_ref().filter(|found| !found.value) {
        return Err(Failure::wrong(HwError::DoesNotAddUp {
            device: start.name.clone(),
            model: "kernels",
            source_text: found.source.clone(),
        }));
    }
    let all = distinct_kernels(space, arguments.batch, seed, TABLE_MAX);
    let kernels = if !arguments.table {
        choose_kernels(&all, arguments.networks.into())
    } else if all.len() > TABLE_MAX {
        return Err(Failure::wrong(anyhow!(
            "`--table`: the space has at least {} distinct kernels, expected at most {TABLE_MAX}; leave it out: \
             `--kernels` measures some and predicts the others",
            all.len()
        )));
    } else {
        all
    };
    let alone = |kernel: KernelShape| kernel.network().ok().map(|network| (kernel, network));
    Ok(kernels.into_iter().filter_map(alone).collect())
}

/// How the time is shared among networks and kernels: in proportion to their numbers.
pub(super) fn shares(arguments: &MeasureArguments, networks: usize, kernels: usize) -> [Duration; 2] {
    let total = Duration::from_mins(u64::from(arguments.minutes));
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX / 2);
    let for_kernels = total / count(networks + kernels).max(1) * count(kernels);
    [total.saturating_sub(for_kernels), for_kernels]
}

/// Writes the measured kernels as a table that `kiln hw fit --model kernels` reads.
pub(super) fn table(place: &Place, journal: &Journal) -> Result<PathBuf, Failure> {
    let (latencies, ..) = summarize(journal.networks.len(), &journal.visits);
    let mut table = CsvTable::new(["kernel", "latency_us"].map(str::to_owned));
    for (kernel, latency_us) in journal.networks.iter().zip(latencies) {
        if let Some(latency_us) = latency_us {
            table.row([kernel.clone(), latency_us.to_string()]);
        }
    }
    let path = place.folder().join("kernels.csv");
    kiln_files::write(&path, table.to_string().as_bytes()).map_err(refused)?;
    Ok(path)
}

/// Fits the models of kernels: predictors to the measured kernels, overhead and interval to networks. The
/// networks that are held out are those that the other numbers of the device file are tested on.
pub(super) fn fit(
    arguments: &MeasureArguments,
    start: &Device,
    space: &dyn SearchSpace,
    journal: &Journal,
    (kernels, networks): (&Path, &Path),
) -> Result<(Device, Report), Failure> {
    let file = KernelFile {
        path: kernels.to_owned(),
        latency_column: "latency_us".to_owned(),
        unit: LatencyUnit::Us,
        format: NumberFormat::F32,
    };
    let (measured, _) = file.read().map_err(Failure::wrong)?;
    let seed = journal.conditions.seed;
    let (device, fit) = KernelsReport::fit(&measured, start, &file.name(), arguments.threads, seed)
        .map_err(Failure::wrong)?;
    let file = MeasurementFile {
        path: networks.to_owned(),
        key: "arch".to_owned(),
        key_file: None,
        latency_column: "latency_us".to_owned(),
        unit: LatencyUnit::Us,
    };
    let read = file.read(space).map_err(Failure::wrong)?;
    let count = read.measured.len() - read.measured.len().div_ceil(HELD_OUT_OF);
    let (drawn, others) = read.draw(count, seed);
    let device = fit_overhead(&device, &drawn).map_err(Failure::wrong)?;
    let model = Kernels::new(device.clone(), Some(arguments.batch)).map_err(Failure::wrong)?;
    let held_out = Comparison::new(&model, &others).map_err(Failure::wrong)?;
    let table = arguments.table.then(|| looked_up(&device, arguments.batch, &others)).transpose()?;
    let report = Report {
        file: output::path_text(kernels),
        measured: measured.len(),
        failed: journal.networks.len() - measured.len(),
        fit,
        networks: device.kernels.as_ref().map_or(0, kiln_hw_models::FittedKernels::networks),
        held_out,
        table: table.flatten(),
    };
    Ok((device, report))
}

/// Compares the lookup table with the networks whose kernels it knows.
fn looked_up(device: &Device, batch: u64, others: &[Measured]) -> Result<Option<Comparison>, Failure> {
    let model = KernelTable::new(device.clone(), Some(batch)).map_err(Failure::wrong)?;
    let schedule = |network: &Measured| kiln_hw_models::Schedule::new(&network.architecture);
    let is_known = |network: &&Measured| model.latency_us(&network.architecture, &schedule(network)).is_ok();
    let known: Vec<Measured> = others.iter().filter(is_known).cloned().collect();
    if known.is_empty() {
        return Ok(None);
    }
    Comparison::new(&model, &known).map(Some).map_err(Failure::wrong)
}

impl Report {
    /// The report for people.
    pub(super) fn text(&self) -> String {
        let Self { file, measured, failed, fit, networks, held_out, table } = self;
        let mut lines = vec![format!("{measured} kernels measured, {failed} not; {file}: each of them")];
        lines.push(format_table(fit).to_string());
        let agreement = |name: &str, found: &Comparison| {
            let Comparison { agreement, within_interval_percent } = found;
            format!(
                "`{name}`, {} other networks: median error {:.1} %, {:.1} % within 10 %, {within_interval_percent:.1} % \
                 inside the interval",
                agreement.networks, agreement.median_error_percent, agreement.within_a_tenth_percent
            )
        };
        lines.push(format!("overhead and interval of networks fitted to {networks} networks"));
        lines.push(agreement("kernels", held_out));
        lines.extend(table.as_ref().map(|found| agreement("table", found)));
        if held_out.agreement.median_error_percent > FAILS_PERCENT {
            lines.push(
                "warning: the latencies of kernels do not add up on this device; use the model `fitted` or \
                 `roofline`, and set `adds_up = { value = false, source = \"measured\" }` in its file"
                    .to_owned(),
            );
        }
        lines.join("\n")
    }
}
