//! `kiln show`: prints one architecture with its layers, their shapes, and the cost of each layer.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use kiln::assembly::Registries;
use kiln_export::plain_text;
use kiln_search::{CostSet, Outcome, Trial};
use kiln_space::{Architecture, Layer, Op, Precision, SearchSpace, Sparsity};
use serde_json::{Value, json};

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::inspection::{decisions, operation};
use crate::measured::MeasuredNetwork;
use crate::report::PredictedFor;
use crate::run::Run;
use crate::text_table::{Align, TextTable};
use crate::units::Numbers;
use crate::{finished_files, output, units};

pub(crate) fn run(run: &Path, trial: u64, common: &Common) -> Result<Exit, Failure> {
    let run = Run::read(run, &common.runs)?;
    let trial = run.trial(trial)?;
    let finished = run.finished.iter().filter(|finished| finished.trial == trial.id);
    finished_files::warn(&finished_files::problems(&run.paths, finished));
    let registries = Registries::builtin();
    let space = registries.space(&run.config, None)?;
    let (costs, _) = registries.costs(&run.config)?;
    let numbers = Numbers::of(&run.config);
    let genotype = &trial.proposal.genotype;
    let architecture = space.decode(genotype).with_context(|| {
        format!("trial {} of `{}` does not fit the space in the config", trial.id, run.paths.root().display())
    });
    let architecture = architecture.map_err(Failure::wrong)?;
    let measured: Vec<MeasuredNetwork> =
        run.measured.iter().filter(|measured| measured.trial == trial.id).map(Into::into).collect();
    if common.json {
        let mut shown = as_json(trial, numbers, space.as_ref(), &architecture, &costs)?;
        if !measured.is_empty() {
            shown["measured"] = json!(measured);
        }
        output::print_json(&shown)?;
    } else {
        let mut text = as_text(trial, numbers, space.as_ref(), &architecture, &costs, run.full_epochs)?;
        for network in &measured {
            write!(text, "\n{network}").map_err(anyhow::Error::from)?;
        }
        output::print(&text)?;
    }
    Ok(Exit::Done)
}

fn as_text(
    trial: &Trial,
    numbers: Numbers,
    space: &dyn SearchSpace,
    architecture: &Architecture,
    costs: &CostSet,
    full_epochs: u32,
) -> anyhow::Result<String> {
    let qualifier = trial.proposal.fidelity.qualifier(full_epochs);
    let judged = qualifier.map(|said| format!(" ({said})")).unwrap_or_default();
    let mut text = format!("trial {}{judged}: {}\n", trial.id, outcome(trial, numbers));
    for (name, value) in &trial.costs.0 {
        let (heading, value) = units::shown(name, *value);
        writeln!(text, "{heading}: {value}")?;
    }
    for device in PredictedFor::all(costs) {
        writeln!(text, "costs predicted by {device}")?;
    }
    writeln!(text, "\ngenotype {}", trial.proposal.genotype)?;
    for (decision, option) in decisions(trial, space) {
        writeln!(text, "  {} = {}", plain_text(&decision), plain_text(&option))?;
    }
    let fixed = [
        ("layer", Align::Left),
        ("operation", Align::Left),
        ("output", Align::Left),
        ("format", Align::Left),
        ("parameters", Align::Right),
        ("MACs", Align::Right),
    ];
    let devices = costs.devices().iter().map(|(device, _)| (format!("µs {device}"), Align::Right));
    let headings = fixed.into_iter().map(|(heading, align)| (heading.to_owned(), align)).chain(devices);
    let mut table = TextTable::new(headings);
    for id in architecture.ids() {
        let (layer, counts) = (architecture.layer(id), architecture.layer_counts(id));
        let mut row = vec![
            layer.name.clone(),
            operation(&layer.op),
            layer.output.to_string(),
            stored(layer),
            counts.parameters.to_string(),
            counts.macs.to_string(),
        ];
        for (_, model) in costs.devices() {
            row.push(units::significant(model.layer(architecture, id)?.latency_us));
        }
        table.row(row);
    }
    write!(text, "\n{table}")?;
    Ok(text)
}

fn as_json(
    trial: &Trial,
    numbers: Numbers,
    space: &dyn SearchSpace,
    architecture: &Architecture,
    costs: &CostSet,
) -> anyhow::Result<Value> {
    let mut layers = Vec::new();
    for id in architecture.ids() {
        let (layer, counts) = (architecture.layer(id), architecture.layer_counts(id));
        let mut latency_us = serde_json::Map::new();
        for (device, model) in costs.devices() {
            latency_us.insert(device.clone(), model.layer(architecture, id)?.latency_us.into());
        }
        layers.push(json!({
            "name": layer.name, "operation": operation(&layer.op), "output": layer.output,
            "precision": layer.precision, "sparsity": layer.sparsity.to_string(),
            "inputs": layer.inputs, "parameters": counts.parameters, "macs": counts.macs,
            "latency_us": latency_us,
        }));
    }
    let decisions: serde_json::Map<String, Value> =
        decisions(trial, space).into_iter().map(|(name, option)| (name, option.into())).collect();
    Ok(json!({
        "trial": trial.id, "genotype": trial.proposal.genotype.to_string(), "decisions": decisions,
        "fidelity": trial.proposal.fidelity, "outcome": trial.outcome, "costs": trial.costs,
        "devices": PredictedFor::all(costs), "estimated": numbers == Numbers::Estimated, "layers": layers,
    }))
}

/// Describes a layer's number format and the share of its weights that are zero.
fn stored(layer: &Layer) -> String {
    let Precision { weights, activations } = layer.precision;
    let has_kernel = matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. });
    let mut text = activations.to_string();
    if has_kernel && weights != activations {
        text = format!("{weights} weights, {text}");
    }
    match layer.sparsity {
        Sparsity::Dense => text,
        Sparsity::Unstructured { .. } => {
            format!("{text}, {:.1} % zeros", 100.0 * layer.sparsity.zeros())
        }
        Sparsity::NOfM { .. } => format!("{text}, {}", layer.sparsity),
    }
}

fn outcome(trial: &Trial, numbers: Numbers) -> String {
    match &trial.outcome {
        Outcome::Measured(measured) => {
            let metrics = measured.metrics().iter().map(|(name, value)| {
                let (heading, value) = numbers.shown(name, *value);
                format!("{heading} {value}")
            });
            metrics.collect::<Vec<_>>().join(", ")
        }
        Outcome::Failed { reason, .. } => format!("failed: {}", plain_text(reason)),
    }
}
