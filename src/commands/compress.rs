//! `kiln compress`: compresses a finished network by recipes, and compares the results.

mod latency;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, anyhow};
use kiln::assembly::Assembly;
use kiln::config::{Document, FinishTable, RunConfig, nearest};
use kiln_evaluator::{Compressed, CompressionError, Compressor, RecipeRegistry};
use kiln_export::TrainedModel;
use kiln_files::make_folder;
use kiln_search::{CostSet, EvalError, RunPaths, hold_folder};
use kiln_space::{Architecture, Settings};
use serde::Serialize;

use super::eval;
use crate::cli::{Common, CompressArguments};
use crate::exit::{Exit, Failure};
use crate::interrupt::StopFlag;
use crate::model_export::{MODEL, how_to_finish, model_file};
use crate::progress::work::WorkLines;
use crate::run::Run;
use crate::text_table::{Align, TextTable};
use crate::{output, reading, units};

/// Name of the folder with compressed networks, in a run folder or beside a model file.
const FOLDER: &str = "compressed";
/// The row of the network before any compression.
const UNCHANGED: &str = "none";

/// One row of the result: a compressed network, or the network before.
#[derive(Debug, Serialize)]
struct Row {
    recipe: String,
    #[serde(serialize_with = "output::serialize_path")]
    file: PathBuf,
    #[serde(flatten)]
    metrics: BTreeMap<String, f64>,
    /// Difference of the first metric to the network before.
    change: f64,
    file_bytes: Option<u64>,
    weight_bytes: u64,
    macs: u64,
    /// Predicted latency by device.
    latency_us: BTreeMap<String, f64>,
    /// Measured latency by runtime.
    measured_latency_us: BTreeMap<String, f64>,
}

/// A network to compress, and where the results go.
pub(super) struct Target {
    pub(super) model: PathBuf,
    config: RunConfig,
    paths: RunPaths,
    /// Folder that gets one folder for each recipe.
    folder: PathBuf,
}

impl Target {
    /// The finished network of a trial.
    pub(super) fn of_trial(run: &Path, trial: u64, common: &Common) -> Result<Self, Failure> {
        let run = Run::read(run, &common.runs)?;
        run.trial(trial)?;
        let model = model_file(&run.paths, trial);
        if !model.is_file() {
            let how = how_to_finish(trial, &run.paths);
            return Err(Failure::wrong(anyhow!(
                "trial {trial} is not finished, so it has no weights; {how}"
            )));
        }
        let folder = run.paths.root().join(FOLDER).join(trial.to_string());
        Ok(Self { model, config: run.config, paths: run.paths, folder })
    }

    fn of_file(model: &Path, config: Option<&Path>) -> Result<Self, Failure> {
        let model = eval::model_file(model)?;
        let config = config.map_or_else(|| eval::config_of(&model), |config| Ok(config.to_owned()))?;
        let beside = |path: &Path| path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        let (root, folder) = (beside(&config), beside(&model).join(FOLDER));
        let config = RunConfig::from_document(Document::read(&config)?, None)?;
        Ok(Self { model, config, paths: RunPaths::new(root), folder })
    }

    /// Builds the study, whose compressor works with the settings of `[finish]`.
    pub(super) fn assembly(&self, common: &Common) -> Result<(Assembly, Arc<Compressor>), Failure> {
        let mut config = self.config.clone();
        let empty = || FinishTable { networks: 1, measure: None, settings: Settings::empty("finish") };
        config.finish = Some(config.finish.take().unwrap_or_else(empty));
        let registries = reading::registries();
        let assembly = registries.build_at(config, common.data.as_deref(), self.paths.clone())?;
        let compressor = assembly.compressor.clone().ok_or_else(|| {
            Failure::wrong(anyhow!("the study's evaluator trains nothing, so it has no network to compress"))
        })?;
        Ok((assembly, compressor))
    }
}

pub(crate) fn run(arguments: &CompressArguments, common: &Common) -> Result<Exit, Failure> {
    let combinations = RecipeRegistry::builtin().read_list(&arguments.recipe).map_err(failure)?;
    let target = match (&arguments.run, arguments.trial, &arguments.model) {
        (Some(run), Some(trial), None) => Target::of_trial(run, trial, common)?,
        (None, None, Some(model)) => Target::of_file(model, arguments.config.as_deref())?,
        _ => {
            let expected = "expected a run folder and a trial, or `--model FILE`";
            return Err(Failure::wrong(anyhow!(expected)));
        }
    };
    let model = TrainedModel::load(&target.model).map_err(Failure::wrong)?;
    let (assembly, compressor) = target.assembly(common)?;
    let stop = StopFlag::listen()?.flag();
    let progress = WorkLines::new(Arc::clone(&stop));
    let before = compressor.measure(&model).map_err(failure)?;
    make_folder(&target.folder).map_err(Failure::unwritable)?;
    let held = hold_folder(&target.folder)
        .with_context(|| format!("{}: cannot be locked", target.folder.display()))?;
    if held.is_none() {
        let folder = target.folder.display();
        return Err(Failure::wrong(anyhow!(
            "{folder}: another process compresses this network; wait for it"
        )));
    }
    let costs = assembly.costs.clone();
    let run_folder = combinations.iter().any(kiln_evaluator::Combination::needs_supernet).then(|| {
        let folder = reading::open_run(&target.paths, &assembly.config.document.to_toml())?;
        assembly.evaluator.prepare(&progress).map_err(|error| failure(error.into()))?;
        Ok::<_, Failure>(folder)
    });
    let _run_folder = run_folder.transpose()?;
    let mut compressed = Vec::new();
    for combination in &combinations {
        let name = combination.folder();
        let place = target.folder.join(&name);
        let training = target.folder.join(format!(".{name}.training"));
        let done = compressor.compress(&model, combination, (&place, &training), &progress);
        match done {
            Ok(record) => compressed.push((record, place)),
            Err(CompressionError::Eval(EvalError::Interrupted)) => {
                output::say("interrupted; run the same command again to continue");
                return Ok(Exit::Interrupted);
            }
            Err(error) => return Err(failure(error)),
        }
    }
    drop(progress);
    let rows = rows(&model, &before.metrics, &target, &compressed, (&costs, arguments.seconds, &stop))?;
    let first = before.metrics.first().map_or("", |(name, _)| *name);
    if common.json {
        output::print_json(&rows)?;
    } else {
        output::print(&table(&rows, first).to_string())?;
    }
    Ok(Exit::Done)
}

/// Makes the rows: first the network before, then each compressed network.
fn rows(
    model: &TrainedModel,
    before: &[(&'static str, f64)],
    target: &Target,
    compressed: &[(Compressed, PathBuf)],
    (costs, seconds, stop): (&CostSet, u64, &AtomicBool),
) -> Result<Vec<Row>, Failure> {
    let (first, value) = before.first().copied().unwrap_or_default();
    let folder = target.model.parent().unwrap_or_else(|| Path::new("."));
    let exported = folder.join("model.onnx");
    let file = if exported.is_file() { exported } else { target.model.clone() };
    let file_bytes = std::fs::metadata(&file).ok().map(|found| found.len());
    let mut rows = vec![Row {
        recipe: UNCHANGED.to_owned(),
        file,
        metrics: before.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        change: 0.0,
        file_bytes,
        weight_bytes: model.weight_bytes(),
        macs: model.architecture.counts().macs,
        latency_us: predicted(&model.architecture, costs),
        measured_latency_us: BTreeMap::new(),
    }];
    for (record, place) in compressed {
        let model = TrainedModel::load(&place.join(MODEL)).map_err(Failure::wrong)?;
        let metrics = record.metrics.clone();
        rows.push(Row {
            recipe: record.recipe.clone(),
            file: place.join(record.file.as_deref().unwrap_or(MODEL)),
            change: metrics.get(first).map_or(0.0, |found| found - value),
            metrics,
            file_bytes: record.file_bytes,
            weight_bytes: record.weight_bytes,
            macs: record.macs,
            latency_us: predicted(&model.architecture, costs),
            measured_latency_us: BTreeMap::new(),
        });
    }
    if seconds > 0 {
        let folders = std::iter::once(folder).chain(compressed.iter().map(|(_, place)| place.as_path()));
        let folders: Vec<&Path> = folders.collect();
        for (runtime, latencies) in latency::measured(&folders, seconds, stop)? {
            for (row, latency) in rows.iter_mut().zip(latencies) {
                row.measured_latency_us.extend(latency.map(|latency| (runtime.clone(), latency)));
            }
        }
    }
    Ok(rows)
}

/// Predicts the latency on each device. A device whose model cannot predict this network is left out.
pub(super) fn predicted(architecture: &Architecture, costs: &CostSet) -> BTreeMap<String, f64> {
    let latency = |(device, model): &(String, Arc<dyn kiln_hw_models::CostModel>)| {
        let estimate = model.network(architecture).ok()?;
        Some((device.clone(), estimate.latency_us.value)).filter(|(_, latency)| latency.is_finite())
    };
    costs.devices().iter().filter_map(latency).collect()
}

fn table(rows: &[Row], first: &str) -> TextTable {
    let (heading, _) = units::shown(first, 0.0);
    let devices: Vec<&String> = rows.first().map(|row| row.latency_us.keys().collect()).unwrap_or_default();
    let runtimes: Vec<&String> =
        rows.first().map(|row| row.measured_latency_us.keys().collect()).unwrap_or_default();
    let fixed = ["recipe", &heading, "change", "file", "weights", "MACs"].map(str::to_owned);
    let predicted = devices.iter().map(|device| format!("predicted µs {device}"));
    let measured = runtimes.iter().map(|runtime| format!("measured µs {runtime}"));
    let headings = fixed.into_iter().chain(predicted).chain(measured).chain(["path".to_owned()]);
    let align = |(index, heading): (usize, String)| {
        let is_text = index == 0 || heading == "path";
        (heading, if is_text { Align::Left } else { Align::Right })
    };
    let mut table = TextTable::new(headings.enumerate().map(align));
    let known =
        |value: Option<&f64>| value.map_or_else(|| "–".to_owned(), |value| units::significant(*value));
    for row in rows {
        let value = row.metrics.get(first).map_or_else(String::new, |value| units::shown(first, *value).1);
        let mut cells = vec![
            row.recipe.clone(),
            value,
            if row.recipe == UNCHANGED { String::new() } else { format!("{:+.2}", row.change) },
            row.file_bytes.map_or_else(|| "–".to_owned(), |bytes| units::bytes(bytes as f64)),
            units::bytes(row.weight_bytes as f64),
            units::count(row.macs as f64),
        ];
        cells.extend(devices.iter().map(|device| known(row.latency_us.get(*device))));
        cells.extend(runtimes.iter().map(|runtime| known(row.measured_latency_us.get(*runtime))));
        cells.push(output::path_shown(&row.file));
        table.row(cells);
    }
    table
}

/// Converts an error of compression to a failure with its exit code. Names the nearest recipe.
pub(super) fn failure(error: CompressionError) -> Failure {
    if !error.is_callers() {
        return anyhow::Error::new(error).into();
    }
    let advice = match &error {
        CompressionError::UnknownRecipe(unknown) => {
            nearest(&unknown.found, unknown.known.iter().map(String::as_str))
        }
        _ => None,
    };
    match advice {
        Some(nearest) => Failure::wrong(anyhow!("{error}; did you mean `{nearest}`?")),
        None => Failure::wrong(error),
    }
}
