//! `kiln front`: the Pareto front of a run.

use std::path::Path;

use kiln_search::FailureGroup;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::report::Report;
use crate::run::Run;

pub(crate) fn run(run: &Path, csv: bool, common: &Common) -> Result<Exit, Failure> {
    let run = Run::read(run, &common.runs)?;
    let (objectives, trials) = (&run.config.search.objectives, run.trials.len() as u64);
    let report = Report::new(&run.paths, objectives, trials, &run.front(), &run.finished, run.spent())
        .explained(run.search_end.as_ref(), FailureGroup::of(&run.trials))
        .with_costs(&run.trials);
    if common.json {
        output::print_json(&report)?;
    } else if csv {
        output::print(&report.csv())?;
    } else {
        output::print(&report.to_string())?;
    }
    Ok(Exit::Done)
}
