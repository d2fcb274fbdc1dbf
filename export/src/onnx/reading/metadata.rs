//! The model card, as far as the metadata of a file states it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::error::OnnxError;
use super::layers::Parts;
use crate::{ModelCard, Prediction, Preprocessing};

/// Returns the card of the network `parts`. Absent metadata leaves a field empty; absent names of classes are
/// numbers.
pub(super) fn card(
    metadata: &BTreeMap<&str, &str>,
    parts: &Parts,
    predicts: Prediction,
) -> Result<ModelCard, OnnxError> {
    let text = |key: &str| metadata.get(key).copied().unwrap_or_default().to_owned();
    let counts = parts.architecture.counts();
    let classes: Option<Vec<String>> = json(metadata, predicts.subjects(), "a JSON list of names")?;
    let outputs = parts.architecture.output().elements();
    let seed = metadata.get("seed").map_or(Ok(0), |seed| seed.parse());
    Ok(ModelCard {
        name: text("name"),
        genotype: text("genotype"),
        parameters: counts.parameters,
        macs: counts.macs,
        predicts,
        classes: classes.unwrap_or_else(|| (0..outputs).map(|output| output.to_string()).collect()),
        data: text("data"),
        training: text("training"),
        preprocessing: Preprocessing {
            input: text("input"),
            mean: parts.mean.clone(),
            deviation: parts.deviation.clone(),
            inputs: json(metadata, "inputs", "a JSON list of inputs")?.unwrap_or_default(),
            target_offsets: json(metadata, "target_offsets", "a JSON list of numbers")?.unwrap_or_default(),
            reading: json(metadata, "reading", "a JSON object")?.unwrap_or_default(),
            ..Preprocessing::default()
        },
        seed: seed.map_err(|_| OnnxError::Metadata { key: "seed", expected: "a whole number" })?,
        ..ModelCard::default()
    })
}

fn json<T: DeserializeOwned>(
    metadata: &BTreeMap<&str, &str>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<T>, OnnxError> {
    let read = metadata.get(key).map(|text| serde_json::from_str(text)).transpose();
    read.map_err(|_| OnnxError::Metadata { key, expected })
}
