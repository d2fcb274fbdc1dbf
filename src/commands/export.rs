//! `kiln export`: write a finished network in another format.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use kiln_export::{Exporter, ExporterRegistry, TrainedModel};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run::Run;

/// The file of a finished network from which every format can be written.
const MODEL: &str = "model.kiln";

pub(crate) fn run(
    run: &Path,
    trial: u64,
    format: &str,
    out: Option<PathBuf>,
    common: &Common,
) -> Result<Exit, Failure> {
    let exporters = ExporterRegistry::builtin();
    let exporter = exporters.get(format).map_err(Failure::wrong)?;
    let run = Run::read(run, &common.runs)?;
    run.trial(trial)?;
    let path = run.paths.model(trial).join(MODEL);
    if !path.is_file() {
        let finished: Vec<String> = run.finished.iter().map(|finished| finished.trial.to_string()).collect();
        let finished = if finished.is_empty() { "none".to_owned() } else { finished.join(", ") };
        return Err(Failure::wrong(anyhow!(
            "trial {trial} is not finished, so it has no weights of its own (finished: {finished}); \
             raise `networks` in `[finish]` of a study that has not begun, or choose one of these"
        )));
    }
    let model = TrainedModel::load(&path).map_err(Failure::wrong)?;
    let out = out.unwrap_or_else(|| {
        PathBuf::from(format!("{}-{trial}.{}", run.config.study.name, exporter.extension()))
    });
    write(exporter, &model, &out)?;
    let bytes = fs::metadata(&out)?.len();
    if common.json {
        output::print_json(&json!({ "trial": trial, "format": format, "file": out, "bytes": bytes }))?;
    } else {
        output::print(&format!("{} ({bytes} bytes)", out.display()))?;
    }
    Ok(Exit::Done)
}

/// Writes beside the place and renames, so that there is never half a file.
fn write(exporter: &dyn Exporter, model: &TrainedModel, out: &Path) -> anyhow::Result<()> {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let written = (|| -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(&partial)?);
        exporter.export(model, &mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok(fs::rename(&partial, out)?)
    })();
    if written.is_err() {
        // Half a file is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&partial);
    }
    written.with_context(|| format!("{}: cannot write the network", out.display()))
}
