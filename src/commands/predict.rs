//! `kiln predict`: prints a finished network's predictions for new examples.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use kiln_evaluator::data::{Example, NewExamples, ReadingRules, image_files};
use kiln_evaluator::predict;
use kiln_export::{Prediction, TrainedModel};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::eval;
use crate::cli::Common;
use crate::csv_table::CsvTable;
use crate::exit::{Exit, Failure};
use crate::{finished_files, output, reading};

/// Number of examples in a batch.
const CHUNK: usize = 1024;

pub(crate) fn run(model: &Path, files: &[PathBuf], common: &Common) -> Result<Exit, Failure> {
    let path = eval::model_file(model)?;
    finished_files::warn(&eval::problems(&path));
    let model = TrainedModel::load(&path).map_err(Failure::wrong)?;
    check(&model, &path)?;
    let files = listed(files)?;
    let shape = model.architecture.input;
    let read = NewExamples::read(&files, &model.card.preprocessing, shape, &reading::show);
    let read = read.map_err(Failure::wrong)?;
    for note in &read.notes {
        output::say(&format!("note: {note}"));
    }
    let outputs: Vec<f32> =
        read.values.chunks(CHUNK * shape.elements()).flat_map(|chunk| predict(&model, chunk)).collect();
    if outputs.iter().any(|value| !value.is_finite()) {
        let path = path.display();
        return Err(anyhow!("{path}: the network gives values that are not finite for these").into());
    }
    let width = model.architecture.output().elements();
    let predictions: Vec<Predicted> = read
        .examples
        .into_iter()
        .zip(outputs.chunks_exact(width))
        .map(|(e, row)| of(e, row, &model))
        .collect();
    if common.json {
        output::print_json(&json!({
            "model": output::path_text(&path), "name": model.card.name, "predictions": predictions,
        }))?;
    } else {
        output::print(&table(&predictions, &model).to_string())?;
    }
    Ok(Exit::Done)
}

/// Refuses a card that does not record how inputs are prepared. Earlier builds wrote such cards.
fn check(model: &TrainedModel, path: &Path) -> Result<(), Failure> {
    let preprocessing = &model.card.preprocessing;
    let is_old =
        preprocessing.reading.is_empty() || preprocessing.reading_rules != ReadingRules::CURRENT.number();
    if is_old {
        return Err(Failure::wrong(anyhow!(
            "{}: another build wrote the card of this network, which does not say how files are read; \
             finish the network again with this build (`kiln finish`)",
            path.display()
        )));
    }
    Ok(())
}

/// Lists the files to read. The images in a folder replace the folder.
fn listed(files: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut listed = Vec::new();
    for file in files {
        if file.is_dir() {
            listed.extend(image_files(file).map_err(Failure::wrong)?);
        } else {
            listed.push(file.clone());
        }
    }
    Ok(listed)
}

/// The prediction for one example.
#[derive(Debug, Serialize)]
struct Predicted {
    #[serde(serialize_with = "output::serialize_path")]
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// Predicted values by name. For classification, these are the probabilities of the classes.
    #[serde(flatten)]
    outputs: Outputs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outputs {
    Probabilities(Map<String, Value>),
    Values(Map<String, Value>),
}

impl Outputs {
    const fn by_name(&self) -> &Map<String, Value> {
        match self {
            Self::Probabilities(named) | Self::Values(named) => named,
        }
    }
}

fn of(example: Example, row: &[f32], model: &TrainedModel) -> Predicted {
    let (names, preprocessing) = (&model.card.classes, &model.card.preprocessing);
    let named = |values: Vec<f64>| names.iter().cloned().zip(values.into_iter().map(Value::from)).collect();
    let (class, outputs) = match model.card.predicts {
        Prediction::Classes => {
            let probabilities = softmax(row);
            let top = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            (top.map(|top| names[top].clone()), Outputs::Probabilities(named(probabilities)))
        }
        Prediction::Values => {
            let value = |(at, value): (usize, &f32)| f64::from(*value) + preprocessing.target_offset(at);
            (None, Outputs::Values(named(row.iter().enumerate().map(value).collect())))
        }
    };
    Predicted { file: example.file, row: example.place, class, outputs }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|share| share / sum).collect()
}

/// Makes one row for each example. The columns are the file, the row in the file, the class, and each
/// probability or value.
fn table(predictions: &[Predicted], model: &TrainedModel) -> CsvTable {
    let is_classes = model.card.predicts == Prediction::Classes;
    let column = |name: &String| if is_classes { format!("probability {name}") } else { name.clone() };
    let class = is_classes.then(|| "class".to_owned());
    let headings = ["file", "row"].map(str::to_owned).into_iter().chain(class);
    let mut table = CsvTable::new(headings.chain(model.card.classes.iter().map(column)));
    for predicted in predictions {
        let row = predicted.row.map_or_else(String::new, |row| row.to_string());
        let place = [output::path_text(&predicted.file), row].into_iter().chain(predicted.class.clone());
        let by_name = predicted.outputs.by_name();
        table.row(place.chain(model.card.classes.iter().map(|name| by_name[name].to_string())));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_for_large_logits() {
        let probabilities = softmax(&[1000.0, 1000.0, f32::MIN]);
        assert!((probabilities[0] - 0.5).abs() < 1e-12 && probabilities[2].abs() < 1e-12);
        let [small, large] = softmax(&[0.0, 1.0])[..] else { panic!("two") };
        assert!((large / small - std::f64::consts::E).abs() < 1e-6);
    }
}
