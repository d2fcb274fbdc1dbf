//! `kiln export`: write a finished network in another format.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use kiln::assembly::Registries;
use kiln_evaluator::{in_8_bits, in_single_precision};
use kiln_export::{ExporterRegistry, TrainedModel, write_files};
use kiln_space::{NumberFormat, Precision};
use serde_json::json;

use crate::cli::{Common, ExportPrecision};
use crate::exit::{Exit, Failure};
use crate::model_export::{default_path, how_to_finish, model_file, size};
use crate::output;
use crate::run::Run;

pub(crate) fn run(
    run: &Path,
    trial: u64,
    format: &str,
    precision: Option<ExportPrecision>,
    out: Option<PathBuf>,
    common: &Common,
) -> Result<Exit, Failure> {
    let exporters = ExporterRegistry::builtin();
    let exporter = exporters.get(format).map_err(Failure::wrong)?;
    let run = Run::read(run, &common.runs)?;
    run.trial(trial)?;
    let path = model_file(&run.paths, trial);
    if run.finished.iter().any(|finished| finished.trial == trial) && !path.is_file() {
        return Err(Failure::wrong(anyhow!(
            "{}: is missing, or no file; move away what is there, and run the study again: it is written anew",
            path.display()
        )));
    }
    if !path.is_file() {
        let finished: Vec<String> = run.finished.iter().map(|finished| finished.trial.to_string()).collect();
        let finished = if finished.is_empty() { "none".to_owned() } else { finished.join(", ") };
        return Err(Failure::wrong(anyhow!(
            "trial {trial} is not finished, so it has no weights of its own (finished: {finished}); choose one of these; {}",
            how_to_finish(trial, &run.paths)
        )));
    }
    let model = TrainedModel::load(&path).map_err(Failure::wrong)?;
    let model = match precision {
        None => model,
        Some(ExportPrecision::F32) => in_single_precision(&model),
        Some(ExportPrecision::Int8) => in_integers(&model, &run, common)?,
    };
    let default = default_path(&run.config.study.name, trial, exporter, &model).map_err(Failure::wrong)?;
    let out = out.unwrap_or(default);
    let files = write_files(exporter, &model, &out).map_err(Failure::unwritable)?;
    let sizes = files.iter().map(|file| Ok((file, size(file)?))).collect::<anyhow::Result<Vec<_>>>()?;
    if common.json {
        let bytes: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
        output::print_json(
            &json!({ "trial": trial, "format": format, "file": out, "bytes": bytes, "files": files }),
        )?;
    } else {
        let lines: Vec<String> =
            sizes.iter().map(|(file, bytes)| format!("{} ({bytes} bytes)", file.display())).collect();
        output::print(&lines.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// The network in 8 bits. Where layers were finished in single precision, the ranges of their values are taken from the
/// training images of the study.
fn in_integers(model: &TrainedModel, run: &Run, common: &Common) -> Result<TrainedModel, Failure> {
    if model.architecture.layers.iter().all(|layer| layer.precision == Precision::uniform(NumberFormat::Int8))
    {
        return Ok(model.clone());
    }
    let data = Registries::builtin().data(&run.config, common.data.as_deref()).with_context(|| {
        "int8 of a network that was finished in single precision needs the study's training images, for the ranges of values; \
         name their folder with `--data`"
    });
    let data = data.map_err(Failure::wrong)?;
    let data =
        data.ok_or_else(|| Failure::wrong(anyhow!("the study has no data to take ranges of values from")))?;
    in_8_bits(model, &data).map_err(Failure::wrong)
}
