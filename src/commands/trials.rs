//! `kiln trials`: prints all trials of a run.

use std::path::Path;

use kiln::assembly::Registries;
use kiln_search::{Trial, study_front};

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run::{Run, read_record};
use crate::trial_rows::TrialRows;
use crate::units::Numbers;

pub(crate) fn run(run: &Path, csv: bool, common: &Common) -> Result<Exit, Failure> {
    let (paths, config) = Run::open(run, &common.runs)?;
    let record = read_record(&paths, &config, |_| {})?;
    // Another program may have registered the space of this run.
    let decisions = match Registries::builtin().space(&config, None) {
        Ok(space) => space.decisions().to_vec(),
        Err(error) => {
            output::say(&format!("warning: options are not shown by name: {error}"));
            Vec::new()
        }
    };
    let trials: Vec<_> = record.trials.into_values().map(|journaled| *journaled).collect();
    let told: Vec<Trial> = trials.iter().map(|journaled| journaled.trial.clone()).collect();
    let front = study_front(&told).iter().map(|entry| entry.trial).collect();
    drop(told);
    let rows = TrialRows::new(&trials, decisions, front, record.full_epochs);
    if common.json {
        output::print_json_list(rows.json())?;
    } else if csv {
        output::print_lines(rows.csv())?;
    } else {
        output::print(&rows.table(Numbers::of(&config)).to_string())?;
    }
    Ok(Exit::Done)
}
