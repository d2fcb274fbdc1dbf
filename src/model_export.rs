//! Exports finished networks for `kiln export` and for the terminal UI. The caller chooses the trial and the
//! formats.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use kiln::config::RunConfig;
use kiln_export::{ExportError, Exporter, ExporterRegistry, TrainedModel, write_files};
use kiln_search::{RunPaths, TrialId};
use serde::Deserialize;

/// Name of the file in a finished network's folder from which Kiln can write every format.
pub(crate) const MODEL: &str = "model.kiln";

/// The result of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Path and size in bytes of the file or folder written for each format.
    pub(crate) files: Vec<(PathBuf, u64)>,
    /// Messages about the formats that cannot represent the network.
    pub(crate) left_out: Vec<String>,
}

/// Exports finished networks of a study.
pub(crate) trait Export: Send + Sync {
    /// Writes a finished trial's network in the study's formats.
    ///
    /// # Errors
    /// If the network's files cannot be read, if an output cannot be written, or if no format can represent
    /// the network.
    fn export(&self, trial: TrialId) -> anyhow::Result<Written>;
}

/// Exports networks from a run folder to the current folder.
pub(crate) struct ModelExport {
    study: String,
    paths: RunPaths,
    formats: Vec<String>,
    exporters: ExporterRegistry,
}

/// The part of `[finish]` that lists the formats.
#[derive(Default, Deserialize)]
struct Formats {
    #[serde(default)]
    formats: Vec<String>,
}

impl ModelExport {
    /// Prepares exports in the formats of the config's `[finish]`. If there is no `[finish]`, the format is
    /// ONNX.
    pub(crate) fn new(config: &RunConfig, paths: &RunPaths, exporters: ExporterRegistry) -> Self {
        let named = config.finish.as_ref().and_then(|finish| finish.settings.read::<Formats>().ok());
        let mut formats = named.unwrap_or_default().formats;
        if formats.is_empty() {
            formats.push("onnx".to_owned());
        }
        Self { study: config.study.name.clone(), paths: paths.clone(), formats, exporters }
    }
}

impl Export for ModelExport {
    fn export(&self, trial: TrialId) -> anyhow::Result<Written> {
        let model = TrainedModel::load(&model_file(&self.paths, trial))?;
        let mut written = Written::default();
        for format in &self.formats {
            let exporter = self.exporters.build(format)?;
            match default_path(&self.study, trial, exporter.as_ref(), &model) {
                Ok(path) => {
                    let files = write_files(exporter.as_ref(), &model, &path, false)?;
                    let sizes = files.iter().map(|file| size(file)).collect::<anyhow::Result<Vec<u64>>>()?;
                    written.files.push((path, sizes.iter().sum()));
                }
                Err(error @ ExportError::Unsupported { .. }) => {
                    written.left_out.push(format!("`{format}`: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(!written.files.is_empty(), written.left_out.join("; "));
        Ok(written)
    }
}

/// Returns the path of a finished network's model file.
pub(crate) fn model_file(paths: &RunPaths, trial: TrialId) -> PathBuf {
    paths.model(trial).join(MODEL)
}

/// Returns the default output path. The path is in the current folder, and the file name consists of the
/// study's name and the trial.
pub(crate) fn default_path(
    study: &str,
    trial: TrialId,
    exporter: &dyn Exporter,
    model: &TrainedModel,
) -> Result<PathBuf, ExportError> {
    let name = format!("{study}-{trial}");
    let is_folder = exporter.folder(model)?.is_some();
    Ok(PathBuf::from(if is_folder { name } else { format!("{name}.{}", exporter.extension()) }))
}

/// Returns advice on how to finish a network that has no weights of its own.
pub(crate) fn how_to_finish(trial: TrialId, paths: &RunPaths) -> String {
    format!("`kiln finish {} {trial}` trains it when the search has ended", paths.root().display())
}

/// Returns the size of a newly written file in bytes.
pub(crate) fn size(file: &Path) -> anyhow::Result<u64> {
    Ok(fs::metadata(file).with_context(|| anyhow!("{}: cannot be read", file.display()))?.len())
}
