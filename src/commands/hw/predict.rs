//! `kiln hw predict`: predicts the cost of an architecture on devices.

use std::sync::Arc;

use anyhow::Context;
use kiln::assembly::Registries;
use kiln_export::TrainedModel;
use kiln_hw_models::{Conditions, CostModel, Device, Estimate, genotype};
use kiln_space::{Architecture, Settings};
use serde_json::{Value, json};

use crate::cli::{Common, PredictArguments};
use crate::exit::{Exit, Failure};
use crate::run::Run;
use crate::text_table::{Align, TextTable};
use crate::{output, units};

pub(super) fn run(arguments: &PredictArguments, common: &Common) -> Result<Exit, Failure> {
    let (architecture, own) = network(arguments, common)?;
    let models = match own {
        Some(own) if arguments.device.is_empty() && arguments.file.is_empty() => own,
        _ => models(arguments)?,
    };
    let mut rows = Vec::new();
    for model in models {
        let estimate = model.network(&architecture).map_err(Failure::wrong)?;
        let unlike = model.unlike(&architecture).map_err(Failure::wrong)?;
        rows.push((model, estimate, unlike));
    }
    if common.json {
        output::print_json(&as_json(&architecture, &rows))?;
    } else {
        output::print(&as_text(&architecture, &rows))?;
    }
    Ok(Exit::Done)
}

/// Cost models of one or several devices.
type Models = Vec<Arc<dyn CostModel>>;

/// Returns the network that the user named and, for a trial, the cost models of its run.
fn network(arguments: &PredictArguments, common: &Common) -> Result<(Architecture, Option<Models>), Failure> {
    let PredictArguments { architecture, space, run, trial, onnx, .. } = arguments;
    if let Some(file) = onnx {
        return Ok((TrainedModel::load_onnx(file).map_err(Failure::wrong)?.architecture, None));
    }
    if let (Some(run), Some(trial)) = (run, trial) {
        let run = Run::read(run, &common.runs)?;
        let (trial, registries) = (run.trial(*trial)?, Registries::builtin());
        let space = registries.space(&run.config, None)?;
        let network = space.decode(&trial.proposal.genotype).with_context(|| {
            format!(
                "trial {} of `{}` does not fit the space in the config",
                trial.id,
                run.paths.root().display()
            )
        });
        let network = network.map_err(Failure::wrong)?;
        let wants_own = arguments.device.is_empty() && arguments.file.is_empty();
        let costs = if wants_own { Some(registries.costs(&run.config)?.0) } else { None };
        let models = costs.map(|costs| costs.devices().iter().map(|(_, model)| Arc::clone(model)).collect());
        return Ok((network, models.filter(|models: &Models| !models.is_empty())));
    }
    let space = super::space(space.as_deref(), common)?;
    let text = architecture.as_deref().unwrap_or_default();
    let network = genotype(text)
        .and_then(|genotype| space.decode(&genotype))
        .with_context(|| format!("`{text}` is not an architecture of the space"))
        .map_err(Failure::wrong)?;
    Ok((network, None))
}

/// Returns the cost models of the requested devices. If no device is requested, returns the cost models of
/// all built-in devices.
fn models(arguments: &PredictArguments) -> Result<Models, Failure> {
    let registry = Registries::builtin().hardware;
    let PredictArguments { device, file, model, batch, threads, .. } = arguments;
    let known = device.iter().map(|name| json!({ "device": name }));
    let own = file.iter().map(|path| json!({ "file": output::path_text(path) }));
    let mut tables: Vec<Value> = known.chain(own).collect();
    if tables.is_empty() {
        tables = Device::builtin_names().iter().map(|name| json!({ "device": name })).collect();
    }
    let build = |device: Value| {
        let shared = json!({ "model": model, "batch": batch, "threads": threads });
        let tables = [device, shared];
        let table = tables.iter().filter_map(Value::as_object).flatten();
        let table = table.map(|(key, value)| (key.clone(), value.clone())).collect();
        registry.build(&Settings::new("", table)).map_err(Failure::wrong)
    };
    tables.into_iter().map(build).collect()
}

/// A model, its prediction, and in what the network is unlike all that the model was fitted to.
type Row = (Arc<dyn CostModel>, Estimate, Vec<String>);

fn as_text(architecture: &Architecture, rows: &[Row]) -> String {
    let columns =
        ["model", "batch", "threads", "latency µs", "90 %", "energy µJ", "90 %", "peak memory", "model size"];
    let aligned = columns.iter().enumerate();
    let mut table =
        TextTable::new(aligned.map(|(i, name)| (*name, if i == 0 { Align::Left } else { Align::Right })));
    for (model, estimate, _) in rows {
        let mut row = vec![model.name().to_owned()];
        let conditions = model.conditions().map(|Conditions { batch, threads }| [batch, threads]);
        row.extend(
            conditions.map_or(["-".to_owned(), "-".to_owned()], |both| both.map(|count| count.to_string())),
        );
        for interval in [estimate.latency_us, estimate.energy_uj] {
            row.push(units::significant(interval.value));
            row.push(format!("{} - {}", units::significant(interval.low), units::significant(interval.high)));
        }
        row.extend(
            [estimate.peak_memory_bytes, estimate.model_bytes].map(|bytes| units::bytes(bytes as f64)),
        );
        table.row(row);
    }
    let counts = architecture.counts();
    let (parameters, macs) = (units::count(counts.parameters as f64), units::count(counts.macs as f64));
    let mut notes = String::new();
    for (model, _, unlike) in rows.iter().filter(|(_, _, unlike)| !unlike.is_empty()) {
        notes += "\n";
        notes += model.name();
        notes += ": unlike all measured networks: ";
        notes += &unlike.join(", ");
    }
    format!(
        "{parameters} parameters, {macs} MACs\nLatency, energy and peak memory are those of a whole \
         batch.\n\n{table}{notes}"
    )
}

fn as_json(architecture: &Architecture, rows: &[Row]) -> Value {
    let counts = architecture.counts();
    let predictions: Vec<Value> = rows
        .iter()
        .map(|(model, estimate, unlike)| {
            let conditions = model.conditions();
            let mut prediction = json!({
                "model": model.name(), "batch": conditions.map(|conditions| conditions.batch),
                "threads": conditions.map(|conditions| conditions.threads),
                "latency_us": estimate.latency_us, "energy_uj": estimate.energy_uj,
                "peak_memory_bytes": estimate.peak_memory_bytes, "model_bytes": estimate.model_bytes,
            });
            if !unlike.is_empty() {
                prediction["unlike"] = json!(unlike);
            }
            prediction
        })
        .collect();
    json!({ "parameters": counts.parameters, "macs": counts.macs, "predictions": predictions })
}
