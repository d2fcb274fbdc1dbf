//! `kiln export`: writes a finished network in another format.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use kiln::assembly::Registries;
use kiln_evaluator::data::NamesFrom;
use kiln_evaluator::{in_8_bits, in_single_precision};
use kiln_export::{ExportError, TrainedModel, write_files};
use kiln_search::FileMismatch;
use kiln_space::{NumberFormat, Precision};
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
        Some(ExportPrecision::F32) => in_single_precision(&model),
        Some(ExportPrecision::Int8) => in_integers(&model, &path, &run, (&registries, common))?,
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

/// Converts the network to 8 bits. For layers without activation ranges, because they were finished in single
/// precision, the ranges are measured on the study's training images.
fn in_integers(
    model: &TrainedModel,
    path: &Path,
    run: &Run,
    (registries, common): (&Registries, &Common),
) -> Result<TrainedModel, Failure> {
    if model.architecture.layers.iter().all(|layer| layer.precision == Precision::uniform(NumberFormat::Int8))
    {
        return Ok(model.clone());
    }
    let rules = reading::rules_of(model, path)?;
    let data = registries.data_by(
        &run.config,
        common.data.as_deref(),
        (rules, NamesFrom::Training),
    ).with_context(|| {
        "int8 of a network that was finished in single precision needs the study's training images, for the \
         ranges of values; \
         name their folder with `--data`"
    });
    let data = data.map_err(Failure::wrong)?;
    let data =
        data.ok_or_else(|| Failure::wrong(anyhow!("the study has no data to take ranges of values from")))?;
    in_8_bits(model, &data).map_err(Failure::wrong)
}
