//! `kiln export`: writes a finished network in another format.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use kiln::assembly::Registries;
use kiln_evaluator::data::NamesFrom;
use kiln_evaluator::{in_8_bits, in_single_precision, measure};
use kiln_export::{ExportError, TrainedModel, write_files};
use kiln_search::FileMismatch;
use kiln_space::{Layer, NumberFormat, Op};
use serde_json::json;

use crate::cli::{Common, ExportPrecision};
use crate::exit::{Exit, Failure};
use crate::model_export::{MODEL, default_path, how_to_finish, model_file, size};
use crate::output::{self, path_shown, path_text};
use crate::run::Run;
use crate::{finished_files, output_file, reading};

/// An output format and the path of the output.
pub(crate) struct Output {
    pub(crate) format: String,
    pub(crate) precision: Option<ExportPrecision>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) force: bool,
}

pub(crate) fn run(run: &Path, trial: u64, asked: Output, common: &Common) -> Result<Exit, Failure> {
    let Output { format, precision, out, force } = asked;
    let registries = reading::registries();
    let exporter = registries.exporters.build(&format).map_err(Failure::wrong)?;
    let run = Run::read(run, &common.runs)?;
    run.trial(trial)?;
    let path = model_file(&run.paths, trial);
    if run.finished.iter().any(|finished| finished.trial == trial) && !path.is_file() {
        return Err(Failure::wrong(anyhow!(
            "{}: is missing or not a file; move away what is there, and run the study again to write it",
            path.display()
        )));
    }
    if !path.is_file() {
        let finished: Vec<String> = run.finished.iter().map(|finished| finished.trial.to_string()).collect();
        let finished = if finished.is_empty() { "none".to_owned() } else { finished.join(", ") };
        return Err(Failure::wrong(anyhow!(
            "trial {trial} is not finished, so it has no weights of its own (finished: {finished}); choose \
             one of these; {}",
            how_to_finish(trial, &run.paths)
        )));
    }
    check_files(&run, trial)?;
    let model = TrainedModel::load(&path).map_err(Failure::wrong)?;
    let model = match precision {
        None => model,
        Some(precision) => converted(model, precision, &path, &run, (&registries, common))?,
    };
    let default =
        default_path(&run.config.study.name, trial, exporter.as_ref(), &model).map_err(Failure::wrong)?;
    let out = out.unwrap_or(default);
    let files = write_files(exporter.as_ref(), &model, &out, force).map_err(|error| match error {
        ExportError::Files(error) => output_file::refused(error),
        error => Failure::unwritable(error),
    })?;
    let sizes = files.iter().map(|file| Ok((file, size(file)?))).collect::<anyhow::Result<Vec<_>>>()?;
    if common.json {
        let bytes: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
        let files: Vec<String> = files.iter().map(|file| path_text(file)).collect();
        let file = path_text(&out);
        output::print_json(
            &json!({ "trial": trial, "format": format, "file": file, "bytes": bytes, "files": files }),
        )?;
    } else {
        let lines: Vec<String> =
            sizes.iter().map(|(file, bytes)| format!("{} ({bytes} bytes)", path_shown(file))).collect();
        output::print(&lines.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// Refuses a changed model file. Warns if other files of the network were changed.
fn check_files(run: &Run, trial: u64) -> Result<(), Failure> {
    let Some(finished) = run.finished.iter().find(|finished| finished.trial == trial) else { return Ok(()) };
    let model = finished.files.iter().find(|file| file.name == MODEL);
    match model.map(|file| file.check(&run.paths.model(trial))) {
        None | Some(Ok(())) => {}
        Some(Err(FileMismatch::Unreadable(error))) => return Err(Failure::wrong(error)),
        Some(Err(mismatch)) => {
            let advice = "run the study again to finish the network again";
            return Err(Failure::wrong(anyhow!("{mismatch}; {advice}")));
        }
    }
    finished_files::warn(&finished_files::problems(&run.paths, [finished]));
    Ok(())
}

/// Converts the network to a number format. A network that has this format already is not changed and needs
/// no data. Otherwise, measures the converted network on the test split, if the study's data can be read. If
/// not, the card has no figures and states why.
fn converted(
    model: TrainedModel,
    precision: ExportPrecision,
    path: &Path,
    run: &Run,
    (registries, common): (&Registries, &Common),
) -> Result<TrainedModel, Failure> {
    let format = match precision {
        ExportPrecision::F32 => NumberFormat::F32,
        ExportPrecision::Int8 => NumberFormat::Int8,
    };
    if is_in(&model, format) {
        return Ok(model);
    }
    let rules = reading::rules_of(&model, path)?;
    let data = registries.data_by(&run.config, common.data.as_deref(), (rules, NamesFrom::Training));
    let (mut converted, data) = match precision {
        ExportPrecision::F32 => (in_single_precision(&model), data),
        ExportPrecision::Int8 => {
            let data = data.with_context(|| {
                "int8 of a network that was finished in another precision needs the study's training images, \
                 for the ranges of values; name their folder with `--data`"
            });
            let data = data.map_err(Failure::wrong)?.ok_or_else(|| {
                Failure::wrong(anyhow!("the study has no data to take ranges of values from"))
            })?;
            (in_8_bits(&model, &data).map_err(Failure::wrong)?, Ok(Some(data)))
        }
    };
    let unmeasured = match data {
        Ok(Some(data)) => {
            measure(&mut converted, &data, &format!("in {format}")).err().map(|why| why.to_string())
        }
        Ok(None) => Some("the study has no data".to_owned()),
        Err(error) => Some(format!("its data cannot be read: {error}")),
    };
    if let Some(why) = unmeasured {
        output::say(&format!("note: the card has no figures of the network in {format}: {why}"));
        let note = format!("; not measured in {format}, because {why}");
        converted.card.training.push_str(&note);
    }
    Ok(converted)
}

/// Whether every layer that runs already has this format.
fn is_in(model: &TrainedModel, format: NumberFormat) -> bool {
    let has_format = |layer: &Layer| {
        let has_kernel = matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. });
        layer.precision.activations == format && (layer.precision.weights == format || !has_kernel)
    };
    let live = model.architecture.live();
    model.architecture.layers.iter().zip(live).filter(|(_, live)| *live).all(|(layer, _)| has_format(layer))
}
