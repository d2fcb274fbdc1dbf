//! `kiln front`: prints the Pareto front of a run.

use std::path::Path;

use kiln::assembly::Registries;
use kiln_search::FailureGroup;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::finished_files;
use crate::measured::limits;
use crate::output;
use crate::report::{PredictedFor, Report};
use crate::run::Run;
use crate::units::Numbers;

pub(crate) fn run(run: &Path, csv: bool, common: &Common) -> Result<Exit, Failure> {
    let run = Run::read(run, &common.runs)?;
    let (objectives, trials) = (&run.config.search.objectives, run.trials.len() as u64);
    let mut report = Report::new(&run.paths, objectives, trials, &run.front(), &run.finished, run.spent())
        .with_numbers(Numbers::of(&run.config), run.health.clone())
        .explained(run.search_end.as_ref(), FailureGroup::of(&run.trials))
        .with_costs(&run.trials);
    report.warnings = finished_files::problems(&run.paths, &run.finished);
    finished_files::warn(&report.warnings);
    // The journal contains the costs of the trials. If a device file is missing, the output therefore lacks
    // only the cost model's name.
    let costs = Registries::builtin().costs(&run.config);
    let devices = costs.map(|(costs, _)| PredictedFor::all(&costs)).unwrap_or_default();
    let limits = limits(&run.config, devices.iter().map(|device| device.device.as_str()));
    let report = report.with_measured(&run.measured, &limits, Vec::new()).with_devices(devices);
    if common.json {
        output::print_json(&report)?;
    } else if csv {
        output::print(&report.csv())?;
    } else {
        output::print(&report.to_string())?;
    }
    Ok(Exit::Done)
}
