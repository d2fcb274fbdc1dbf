//! `kiln eval`: a finished network on the test split of a data set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::anyhow;
use kiln::assembly::Registries;
use kiln::config::{Document, RESOLVED, RunConfig};
use kiln_evaluator::data::{DataSet, Split};
use kiln_evaluator::{Score, predict, score};
use kiln_export::{TrainedModel, plain_text};
use kiln_search::{RunPaths, StudyRecord};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::model_export::MODEL;
use crate::{finished_files, output, test_results, units};

pub(crate) fn run(model: &Path, config: Option<&Path>, common: &Common) -> Result<Exit, Failure> {
    let path = model_file(model)?;
    finished_files::warn(&problems(&path));
    let model = TrainedModel::load(&path).map_err(Failure::wrong)?;
    let config = config.map_or_else(|| config_of(&path), |config| Ok(config.to_owned()))?;
    let config = RunConfig::from_document(Document::read(&config)?, None)?;
    let data = Registries::builtin().data(&config, common.data.as_deref())?;
    let file = config.document.path().display();
    let data = data.ok_or_else(|| Failure::wrong(anyhow!("{file}: there is no table `[data]`")))?;
    check(&model, &data).map_err(|why| Failure::wrong(anyhow!("{}: {why}", path.display())))?;

    let resolved = config.document.root().get(RESOLVED).and_then(|resolved| resolved.get("data")?.as_str());
    if resolved.is_some_and(|hash| hash != data.hash()) {
        output::say(&format!("warning: {file}: the study was run on data with another content"));
    }
    let examples = data.split(Split::Test);
    let raw: Vec<f32> = examples.iter().flat_map(|index| data.example(*index)).copied().collect();
    let began = Instant::now();
    let outputs = predict(&model, &raw);
    let seconds = began.elapsed().as_secs_f64();
    let Score { metrics, results } = score(&outputs, &data, Split::Test).ok_or_else(|| {
        anyhow!("{}: the network gives values that are no finite numbers on these data", path.display())
    })?;
    let speed = examples.len() as f64 / seconds.max(f64::MIN_POSITIVE);
    if common.json {
        let metrics: BTreeMap<&str, f64> = metrics.into_iter().collect();
        output::print_json(&json!({
            "model": output::path_text(&path), "name": model.card.name, "data": data.describe(), "examples": examples.len(),
            "metrics": metrics, "results": results, "seconds": seconds, "examples_per_second": speed,
        }))?;
    } else {
        let mut lines = vec![
            format!("model     {} ({})", plain_text(&model.card.name), output::path_shown(&path)),
            format!("data      {}", plain_text(&data.describe())),
        ];
        lines.extend(metrics.iter().map(|(name, value)| {
            let (heading, value) = units::shown(name, *value);
            format!("{heading}: {value}")
        }));
        lines.push(format!(
            "{} test examples in {seconds:.2} s: {speed:.0} examples/s on the CPU",
            examples.len()
        ));
        output::print(&format!("{}{}", lines.join("\n"), test_results::text(&results)))?;
    }
    Ok(Exit::Done)
}

/// The model file: the one named, or that in the folder named.
fn model_file(named: &Path) -> Result<PathBuf, Failure> {
    if named.is_dir() {
        let inside = named.join(MODEL);
        let found = inside.is_file();
        return if found {
            Ok(inside)
        } else {
            Err(Failure::wrong(anyhow!("{}: there is no `{MODEL}` in this folder", named.display())))
        };
    }
    match named.extension().and_then(|extension| extension.to_str()) {
        Some(format @ ("onnx" | "safetensors" | "rs")) => Err(Failure::wrong(anyhow!(
            "{}: `{format}` files are for other runtimes; name the `{MODEL}` that stands beside them in the run folder",
            named.display()
        ))),
        _ => Ok(named.to_owned()),
    }
}

/// What is to be said of the network's files, where they lie in a run folder: `RUN/models/<trial>/model.kiln`.
fn problems(model: &Path) -> Vec<String> {
    let Ok(path) = model.canonicalize() else { return Vec::new() };
    let trial = path.ancestors().nth(1).and_then(|folder| folder.file_name()?.to_str()?.parse::<u64>().ok());
    let (Some(run), Some(trial)) = (path.ancestors().nth(3), trial) else { return Vec::new() };
    let paths = RunPaths::new(run);
    if paths.model(trial).join(MODEL) != path {
        return Vec::new();
    }
    match StudyRecord::read(&paths) {
        Ok(record) => match record.finished.get(&trial) {
            Some((finished, _)) => finished_files::problems(&paths, [finished]),
            None => {
                vec![format!("{}: the journal does not say that trial {trial} was finished", run.display())]
            }
        },
        // Not a run folder, or one whose journal another command is better to be asked about.
        Err(error) => vec![format!("the network's files are not checked: {error}")],
    }
}

/// The config of the run folder that a model file lies in: `RUN/models/<trial>/model.kiln`.
fn config_of(model: &Path) -> Result<PathBuf, Failure> {
    let run = model.canonicalize().ok();
    let config = run.as_deref().and_then(|path| Some(path.ancestors().nth(3)?.join("config.toml")));
    config.filter(|config| config.is_file()).ok_or_else(|| {
        Failure::wrong(anyhow!(
            "{}: not in a run folder, so its data set is not known; name a config with a table `[data]` by `--config`",
            model.display()
        ))
    })
}

/// Whether a network takes and gives what these data have.
fn check(model: &TrainedModel, data: &DataSet) -> Result<(), String> {
    let (takes, has) = (model.architecture.input, data.shape());
    if takes != has {
        return Err(format!("the network takes inputs of {takes}, but the data have {has}"));
    }
    let (knows, names) = (&model.card.classes, data.targets().names());
    if knows.as_slice() != names {
        return Err(format!("the network gives {}, but the data have {}", list(knows), list(names)));
    }
    Ok(())
}

/// Names for people, cut where they are many.
fn list(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > first.len() { ", ..." } else { "" };
    format!("{} outputs ({}{more})", names.len(), first.join(", "))
}
