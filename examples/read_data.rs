//! Writes the values that Kiln's readers read from files, so that a test can compare them with other
//! libraries:
//!
//! ```console
//! $ cargo run --release --example read_data -- jobs.json answers.json
//! ```
//!
//! `jobs.json` contains a list of objects with `name`, `folder` (the folder of the files) and `data` (the
//! table `[data]` of a config). For each name, the answers contain the values that were read, or under
//! `error` the reason why reading failed.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kiln_evaluator::data::{DataError, DataRegistry, DataSet, Opening, Split, Targets};
use kiln_space::Settings;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The files to read, with the settings for reading them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    name: String,
    folder: PathBuf,
    data: Map<String, Value>,
}

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [jobs, answers] = arguments.as_slice() else { anyhow::bail!("usage: read_data JOBS ANSWERS") };
    let text = fs::read_to_string(jobs).with_context(|| jobs.display().to_string())?;
    let list: Vec<Job> = serde_json::from_str(&text).with_context(|| jobs.display().to_string())?;
    let registry = DataRegistry::builtin();
    let mut read = BTreeMap::new();
    for Job { name, folder, data } in list {
        let answer = match open(&registry, data, &folder) {
            Ok(data) => describe(&data),
            Err(error) => json!({ "error": error.to_string() }),
        };
        anyhow::ensure!(read.insert(name.clone(), answer).is_none(), "two jobs are called `{name}`");
    }
    fs::write(answers, serde_json::to_string(&read)?).with_context(|| answers.display().to_string())
}

fn open(
    registry: &DataRegistry,
    mut data: Map<String, Value>,
    folder: &Path,
) -> Result<std::sync::Arc<DataSet>, DataError> {
    let kind = data.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    registry.open(&kind, &Opening::new(&Settings::new("data", data), Some(folder)))
}

/// Lists all values in the order of the files, together with the offsets that were subtracted from them.
fn describe(data: &DataSet) -> Value {
    let shape = data.shape();
    let examples = 0..data.targets().len() as u32;
    let inputs: Vec<f64> = examples
        .clone()
        .flat_map(|index| data.example(index).iter().enumerate())
        .map(|(at, value)| f64::from(*value) + data.offset(at / shape.positions()))
        .collect();
    let (labels, values): (Vec<u32>, Vec<f64>) = match data.targets() {
        Targets::Classes { labels, .. } => (labels.clone(), Vec::new()),
        Targets::Values { names, values, .. } => {
            let value =
                |(at, value): (usize, &f32)| f64::from(*value) + data.targets().offset(at % names.len());
            (Vec::new(), values.iter().enumerate().map(value).collect())
        }
    };
    let offset = |quantity: usize| data.targets().offset(quantity);
    let splits = [Split::Train, Split::Validation, Split::Test].map(|split| data.split(split));
    json!({
        "shape": [shape.channels, shape.height, shape.width],
        "names": data.inputs().iter().map(|input| input.name.as_str()).collect::<Vec<_>>(),
        "offsets": (0..shape.channels).map(|channel| data.offset(channel)).collect::<Vec<_>>(),
        "inputs": inputs,
        "outputs": data.targets().names(),
        "labels": labels,
        "values": values,
        "target_offsets": (0..data.targets().names().len()).map(offset).collect::<Vec<_>>(),
        "splits": splits,
        "notes": data.notes(),
    })
}
