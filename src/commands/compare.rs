//! `kiln compare`: studies beside each other.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::anyhow;
use kiln::assembly::Registries;
use kiln::config::{RESOLVED, RunConfig};
use kiln_search::{CostSet, study_front};

use crate::cli::Common;
use crate::comparison::{Comparison, Contender};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run::{Run, read_record};

pub(crate) fn run(runs: &[PathBuf], common: &Common) -> Result<Exit, Failure> {
    let registries = Registries::builtin();
    let mut read = Vec::new();
    for run in runs {
        let (paths, config) = Run::open(run, &common.runs)?;
        let record = read_record(&paths, &config, |_| {})?;
        let (costs, constraints) = registries.costs(&config)?;
        let trials: Vec<_> = record.trials.into_values().map(|journaled| journaled.trial).collect();
        let finished = record.finished.into_values();
        let contender = Contender {
            run: run.clone(),
            strategy: config.search.strategy.kind.clone(),
            settings: config.search.strategy.settings.clone(),
            seed: config.study.seed,
            seconds: record.elapsed_s,
            constraints,
            front: study_front(&trials),
            trials,
            finished: finished
                .map(|(finished, _)| (finished.trial, finished.metrics.into_iter().collect()))
                .collect(),
        };
        read.push((contender, config, costs));
    }
    let Some(((first, config, costs), rest)) = read.split_first() else {
        return Err(Failure::wrong(anyhow!("name at least two runs")));
    };
    for (other, other_config, other_costs) in rest {
        let (a, b) = (first.run.display(), other.run.display());
        check(config, costs, other_config, other_costs)
            .map_err(|why| Failure::wrong(anyhow!("{a} and {b} cannot be compared: {why}")))?;
        if data(config) != data(other_config) {
            output::say(&format!("warning: {a} and {b} were judged on different data"));
        }
    }
    let objectives = config.search.objectives.clone();
    let contenders: Vec<Contender> = read.into_iter().map(|(contender, ..)| contender).collect();
    let comparison = Comparison::new(&objectives, &contenders);
    if common.json {
        output::print_json(&comparison)?;
    } else {
        output::print(&comparison.to_string())?;
    }
    Ok(Exit::Done)
}

/// Whether the objectives of two studies are the same numbers.
fn check(a: &RunConfig, a_costs: &CostSet, b: &RunConfig, b_costs: &CostSet) -> Result<(), String> {
    let objectives = |config: &RunConfig| format!("`{}`", config.search.objectives.join("`, `"));
    if a.search.objectives != b.search.objectives {
        return Err(format!("their objectives are {} and {}", objectives(a), objectives(b)));
    }
    // Costs that need no device are the same everywhere.
    let predicted: BTreeSet<String> =
        a_costs.names().into_iter().filter(|name| !matches!(name.as_str(), "macs" | "parameters")).collect();
    let Some(cost) = a.search.objectives.iter().find(|name| predicted.contains(*name)) else { return Ok(()) };
    let models = |costs: &CostSet| {
        let names: Vec<&str> = costs.devices().iter().map(|(_, model)| model.name()).collect();
        names.join(", ")
    };
    let (a, b) = (models(a_costs), models(b_costs));
    if a == b { Ok(()) } else { Err(format!("`{cost}` is that of {a} and of {b}")) }
}

/// The hash of the data that a run's config was resolved to.
fn data(config: &RunConfig) -> Option<&str> {
    config.document.root().get(RESOLVED)?.get("data")?.as_str()
}
