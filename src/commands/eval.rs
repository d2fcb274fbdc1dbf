//! `kiln eval`: evaluates a finished network on the test split of a data set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::anyhow;
use kiln::assembly::Registries;
use kiln::config::{Document, RESOLVED, RunConfig};
use kiln_evaluator::data::{NamesFrom, Split};
use kiln_evaluator::{Matched, Score, predict, score};
use kiln_export::{InputKind, TrainedModel, plain_text};
use kiln_search::{RunPaths, StudyRecord};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::model_export::MODEL;
use crate::{finished_files, output, reading, test_results, units};

pub(crate) fn run(model: &Path, config: Option<&Path>, common: &Common) -> Result<Exit, Failure> {
    let path = model_file(model)?;
    finished_files::warn(&problems(&path));
    let model = TrainedModel::load(&path).map_err(Failure::wrong)?;
    let config = config.map_or_else(|| config_of(&path), |config| Ok(config.to_owned()))?;
    let config = RunConfig::from_document(Document::read(&config)?, None)?;
    let rules = reading::rules_of(&model, &path)?;
    // The study's own data contain only names that the network was trained on. Other data may contain new
    // names.
    let is_own = config.document.root().contains_key(RESOLVED);
    let names = if is_own { NamesFrom::Training } else { NamesFrom::AllExamples };
    let data = reading::registries().data_by(&config, common.data.as_deref(), (rules, names))?;
    let file = config.document.path().display();
    let data = data.ok_or_else(|| Failure::wrong(anyhow!("{file}: there is no table `[data]`")))?;
    reading::say_notes(Some(data.as_ref()));
    let matched = Matched::new(&model, &data)
        .map_err(|why| Failure::wrong(anyhow::Error::new(why).context(path.display().to_string())))?;
    if model.card.preprocessing.inputs.is_empty() {
        output::say(&format!(
            "warning: {}: the card of an earlier build names no inputs; they are taken in the order of the \
             data",
            path.display()
        ));
    }

    let resolved = config.document.root().get(RESOLVED).and_then(|resolved| resolved.get("data")?.as_str());
    if resolved.is_some_and(|hash| hash != data.hash()) {
        output::say(&format!("warning: {file}: the study used data with other content"));
    }
    let examples = data.split(Split::Test);
    let raw: Vec<f32> = examples.iter().flat_map(|index| matched.input(data.example(*index))).collect();
    for (column, count) in unseen(&model, &raw) {
        output::say(&format!(
            "note: column `{column}`: {count} of {} test examples have a name that the network was not \
             trained on",
            examples.len()
        ));
    }
    let began = Instant::now();
    let outputs = predict(&model, &raw);
    let seconds = began.elapsed().as_secs_f64();
    let Score { metrics, results } = score(&outputs, &data, Split::Test, &matched).ok_or_else(|| {
        anyhow!("{}: the network gives values that are not finite on these data", path.display())
    })?;
    let speed = examples.len() as f64 / seconds.max(f64::MIN_POSITIVE);
    if common.json {
        let metrics: BTreeMap<&str, f64> = metrics.into_iter().collect();
        output::print_json(&json!({
            "model": output::path_text(&path), "name": model.card.name, "data": data.describe(),
            "examples": examples.len(),
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

/// Returns, for each categorical column, the number of test examples whose name does not occur in the
/// training data.
fn unseen<'a>(model: &'a TrainedModel, raw: &[f32]) -> Vec<(&'a str, usize)> {
    let inputs = &model.card.preprocessing.inputs;
    let of_unseen = inputs.iter().enumerate().filter_map(|(at, input)| match &input.kind {
        InputKind::Unseen { column } => Some((at, column.as_str())),
        _ => None,
    });
    let count = |at: usize| raw.iter().skip(at).step_by(inputs.len()).filter(|value| **value > 0.5).count();
    of_unseen.map(|(at, column)| (column, count(at))).filter(|(_, count)| *count > 0).collect()
}

/// Returns the path of the model file. If `named` is a folder, this is the model file in the folder.
/// Otherwise, it is `named` itself.
pub(super) fn model_file(named: &Path) -> Result<PathBuf, Failure> {
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
        Some(format) if is_exported(format) => Err(Failure::wrong(anyhow!(
            "{}: `{format}` files are for other runtimes; name the `{MODEL}` beside them in the run folder",
            named.display()
        ))),
        _ => Ok(named.to_owned()),
    }
}

/// Whether an export format writes files with this file name extension.
fn is_exported(extension: &str) -> bool {
    Registries::builtin().exporters.entries().any(|(_, part)| (part.build)().extension() == extension)
}

/// Returns problems with the network's files if the model file is in a run folder:
/// `RUN/models/<trial>/model.kiln`.
pub(super) fn problems(model: &Path) -> Vec<String> {
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
        // The folder is not a run folder, or its journal has a problem that other commands report.
        Err(error) => vec![format!("the network's files are not checked: {error}")],
    }
}

/// Returns the path of the config in the run folder that contains a model file:
/// `RUN/models/<trial>/model.kiln`.
pub(super) fn config_of(model: &Path) -> Result<PathBuf, Failure> {
    let run = model.canonicalize().ok();
    let config = run.as_deref().and_then(|path| Some(path.ancestors().nth(3)?.join("config.toml")));
    config.filter(|config| config.is_file()).ok_or_else(|| {
        Failure::wrong(anyhow!(
            "{}: not in a run folder, so its data set is not known; name a config with a table `[data]` by \
             `--config`",
            model.display()
        ))
    })
}
