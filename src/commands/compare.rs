//! `kiln compare`: compares studies.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use kiln::assembly::Registries;
use kiln::config::RunConfig;
use kiln_hw_models::CostModel;
use kiln_search::{CostSet, study_front};
use thiserror::Error;

use crate::cli::Common;
use crate::comparison::{Comparison, Contender, deciding};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run::{Run, read_record};
use crate::units::Numbers;

pub(crate) fn run(runs: &[PathBuf], common: &Common) -> Result<Exit, Failure> {
    let registries = Registries::builtin();
    let mut read = Vec::new();
    for run in runs {
        let (paths, config) = Run::open(run, &common.runs)?;
        let record = read_record(&paths, &config, |_| {})?;
        let (costs, constraints) = registries.costs(&config)?;
        let trials = record.trials.into_values().map(|journaled| (journaled.trial, journaled.seconds));
        let (trials, seconds_of): (Vec<_>, Vec<_>) = trials.unzip();
        let finished = record.finished.into_values();
        let contender = Contender {
            run: run.clone(),
            strategy: config.search.strategy.kind.clone(),
            config: deciding(&config),
            seed: config.study.seed,
            evaluator: config.evaluator.kind.clone(),
            numbers: Numbers::of(&config),
            full_epochs: Some(record.full_epochs)
                .filter(|epochs| *epochs > 0)
                .or_else(|| full_epochs(&config)),
            seconds: record.elapsed_s,
            constraints,
            front: study_front(&trials),
            trials,
            seconds_of,
            finished: finished
                .map(|(finished, _)| (finished.trial, finished.metrics.into_iter().collect()))
                .collect(),
        };
        read.push((contender, config, costs));
    }
    let Some(((first, config, costs), rest)) = read.split_first() else {
        return Err(Failure::wrong(anyhow!("name two runs or more")));
    };
    for (other, other_config, other_costs) in rest {
        let (a, b) = (first.run.display(), other.run.display());
        check(config, costs, other_config, other_costs)
            .map_err(|why| Failure::wrong(anyhow!("{a} and {b} cannot be compared: {why}")))?;
    }
    let objectives = config.search.objectives.clone();
    let contenders: Vec<Contender> = read.into_iter().map(|(contender, ..)| contender).collect();
    let comparison = Comparison::new(&objectives, &contenders);
    for warning in &comparison.warnings {
        output::say(&format!("warning: {warning}"));
    }
    if common.json {
        output::print_json(&comparison)?;
    } else {
        output::print(&comparison.to_string())?;
    }
    Ok(Exit::Done)
}

/// Why two studies cannot be compared.
#[derive(Debug, Error)]
enum Difference {
    #[error("their objectives are `{}` and `{}`", one.join("`, `"), other.join("`, `"))]
    Objectives { one: Vec<String>, other: Vec<String> },
    #[error("`{cost}` comes from {one} and from {other}")]
    Models { cost: String, one: String, other: String },
    #[error("`{cost}` comes from {models} with different device files")]
    DeviceFiles { cost: String, models: String },
}

/// Checks that the objectives of both studies measure the same quantities.
fn check(a: &RunConfig, a_costs: &CostSet, b: &RunConfig, b_costs: &CostSet) -> Result<(), Difference> {
    if a.search.objectives != b.search.objectives {
        let [one, other] = [a, b].map(|config| config.search.objectives.clone());
        return Err(Difference::Objectives { one, other });
    }
    // Costs that do not depend on a device are always comparable.
    let predicted: BTreeSet<String> =
        a_costs.names().into_iter().filter(|name| !matches!(name.as_str(), "macs" | "parameters")).collect();
    let Some(cost) = a.search.objectives.iter().find(|name| predicted.contains(*name)) else { return Ok(()) };
    let (a, b) = (models(a_costs), models(b_costs));
    if a != b {
        return Err(Difference::Models { cost: cost.clone(), one: a, other: b });
    }
    let bases = |costs: &CostSet| costs.devices().iter().map(|(_, model)| model.basis()).collect::<Vec<_>>();
    if bases(a_costs) == bases(b_costs) {
        Ok(())
    } else {
        Err(Difference::DeviceFiles { cost: cost.clone(), models: a })
    }
}

/// Describes a study's cost models and the conditions of their predictions.
fn models(costs: &CostSet) -> String {
    let model = |(_, model): &(String, Arc<dyn CostModel>)| match model.conditions() {
        Some(conditions) => format!("{} for {conditions}", model.name()),
        None => model.name().to_owned(),
    };
    costs.devices().iter().map(model).collect::<Vec<_>>().join(", ")
}

/// Returns the number of epochs for which a run's evaluator trains each network. Returns `None` if the
/// evaluator does not train each network on its own. This number is needed if the journal does not record it.
fn full_epochs(config: &RunConfig) -> Option<u32> {
    // For a supernet, `epochs` is the number of epochs of the shared weights.
    let trains_each = config.evaluator.kind == "scratch";
    let epochs = config.evaluator.settings.table().get("epochs").filter(|_| trains_each)?;
    epochs.as_u64().and_then(|epochs| u32::try_from(epochs).ok())
}
