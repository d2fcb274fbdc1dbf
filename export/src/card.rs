//! Defines the model card. A card describes a network, its provenance and its measurements. Kiln writes the
//! card as JSON beside each exported file.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use kiln_files::{Checked, parse_document, seal_document};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CardVersion, ExportError, InputKind, InputRecord, PredictedBy, SplitSizes, TestResults};

/// A measured or predicted number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricRecord {
    /// Name, with the unit, such as `test_accuracy_percent` or `latency_us`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// How the value was obtained: data split and number of examples, or cost model, device, batch and
    /// threads.
    pub how: String,
    /// The cost model that predicted the value, if it is a predicted cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_by: Option<PredictedBy>,
}

/// How the exported graph preprocesses an input: `(raw - mean) / deviation` for each channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Meaning of a raw value, such as `grey level 0..255`.
    pub input: String,
    /// Mean of each channel over the training split, in raw units.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel over the training split, in raw units.
    pub deviation: Vec<f32>,
    /// Meaning of each channel. Empty in cards of earlier builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputRecord>,
    /// Offset that must be added, in double precision, to each output of the network. Empty if all offsets
    /// are 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_offsets: Vec<f64>,
    /// How files become examples: the kind of data, the settings that read the data, and the processing of
    /// images. Empty in cards of earlier builds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reading: BTreeMap<String, Value>,
    /// Version of the rules that turned files into values, classes and splits.
    #[serde(default = "first_rules")]
    pub reading_rules: u32,
}

/// Earlier builds had only one version of the rules and did not record it.
const fn first_rules() -> u32 {
    1
}

impl Preprocessing {
    /// Returns the offset that must be added to this output of the network.
    #[must_use]
    pub fn target_offset(&self, output: usize) -> f64 {
        self.target_offsets.get(output).copied().unwrap_or_default()
    }
}

/// Size of an exported graph before and after its optimization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphOptimization {
    /// Number of nodes with one or more nodes for each layer.
    pub nodes_before: u64,
    /// Number of nodes in the file.
    pub nodes: u64,
    /// Bytes that the file would have without optimization.
    pub bytes_before: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A compressed form of a network, in a folder of its own beside the card.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompressedRecord {
    /// The recipes, such as `structured-0.5+qat-int8`.
    pub recipe: String,
    /// The exported file, relative to the card. `None` if no format can express the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Size of that file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// Bytes of the weights in exported files, without names.
    pub weight_bytes: u64,
    /// Multiply-accumulates for one example.
    pub macs: u64,
    /// Metrics on the test split. Names contain the unit.
    pub metrics: BTreeMap<String, f64>,
}

/// What a network predicts: classes (classification) or values (regression).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// One logit for each class.
    #[default]
    Classes,
    /// Values, each in its own unit.
    Values,
}

impl Prediction {
    /// Returns the name of the outputs: `logits` or `values`.
    #[must_use]
    pub const fn outputs(self) -> &'static str {
        match self {
            Self::Classes => "logits",
            Self::Values => "values",
        }
    }

    /// Returns `classes` or `values`. Files list [`ModelCard::classes`] under this name.
    #[must_use]
    pub const fn subjects(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Values => "values",
        }
    }
}

/// Description and provenance of a trained network. Cards of older builds lack some fields, which are then
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    // The version comes first, so that a newer card is refused for its version and not for an unknown key.
    /// Version of the card's format.
    #[serde(default = "CardVersion::first")]
    pub version: CardVersion,
    /// Study and trial, such as `quickstart/17`.
    pub name: String,
    /// The genotype's decisions. Maps the name of each decision to the chosen option.
    pub decisions: BTreeMap<String, String>,
    /// The genotype: genes joined by `-`.
    pub genotype: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-accumulates for one example.
    pub macs: u64,
    /// Meaning of the outputs. If the card does not state it, they are class logits.
    #[serde(default)]
    pub predicts: Prediction,
    /// Names of the classes, or of the predicted values, in output order.
    pub classes: Vec<String>,
    /// Description of the data set, with its sizes and a hash of its content.
    pub data: String,
    /// Description of the training: schedule, optimizer, and whether the weights were inherited.
    pub training: String,
    /// How the graph preprocesses raw input.
    pub preprocessing: Preprocessing,
    /// Measured and predicted numbers.
    pub metrics: Vec<MetricRecord>,
    /// Seed of the study.
    pub seed: u64,
    /// Program and library versions.
    pub versions: BTreeMap<String, String>,
    /// How thoroughly the search evaluated the architecture: `full`, `3 epochs` or `zero-cost proxy`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fidelity: String,
    /// Sizes of the splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitSizes>,
    /// Weight of each class in the loss, by name. The mean weight over the training examples is 1. Empty if
    /// all weights are equal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_weights: BTreeMap<String, f64>,
    /// Results on the test split for each class (classification) or predicted value (regression).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestResults>,
    /// What optimizing the graph saved, by export format. Empty in cards of earlier builds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub optimization: BTreeMap<String, GraphOptimization>,
    /// Compressed forms of the network, in the order of the recipes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compressed: Vec<CompressedRecord>,
    /// Day on which the network was finished, in UTC: `2026-11-29`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub date: String,
    /// System, processor and device class of the machine that finished the network.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
}

/// Maximum size of a card in bytes.
const CARD_LIMIT: u64 = 16 << 20;

impl ModelCard {
    /// Removes the figures that depend on the number formats of the network: everything measured on the test
    /// split, and all predicted costs. A conversion to other formats calls this, so that no card repeats the
    /// figures of another network.
    pub fn forget_measurements(&mut self) {
        self.metrics.clear();
        self.test = None;
        self.optimization.clear();
        self.compressed.clear();
    }

    /// Checks that every number is finite, and that every standard deviation and every class weight is
    /// positive.
    ///
    /// # Errors
    /// [`ExportError::CardValue`] for the first invalid number.
    pub fn check(&self) -> Result<(), ExportError> {
        let refuse = |field: String, value: f64, expected| ExportError::CardValue { field, value, expected };
        let Preprocessing { mean, deviation, .. } = &self.preprocessing;
        for (i, value) in mean.iter().enumerate() {
            if !value.is_finite() {
                return Err(refuse(format!("preprocessing.mean.{i}"), (*value).into(), "a finite number"));
            }
        }
        for (i, value) in deviation.iter().enumerate() {
            if !(value.is_finite() && *value > 0.0) {
                let field = format!("preprocessing.deviation.{i}");
                return Err(refuse(field, (*value).into(), "a positive number"));
            }
        }
        for (i, input) in self.preprocessing.inputs.iter().enumerate() {
            let fill = match &input.kind {
                InputKind::Number { fill: Some(fill), .. } => *fill,
                _ => 0.0,
            };
            for (part, value) in [("offset", input.offset), ("fill", fill)] {
                if !value.is_finite() {
                    return Err(refuse(format!("preprocessing.inputs.{i}.{part}"), value, "a finite number"));
                }
            }
        }
        for (i, offset) in self.preprocessing.target_offsets.iter().enumerate() {
            if !offset.is_finite() {
                return Err(refuse(format!("preprocessing.target_offsets.{i}"), *offset, "a finite number"));
            }
        }
        for metric in &self.metrics {
            if !metric.value.is_finite() {
                return Err(refuse(format!("metrics.{}", metric.name), metric.value, "a finite number"));
            }
        }
        for (class, weight) in &self.class_weights {
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(refuse(format!("class_weights.{class}"), *weight, "a positive number"));
            }
        }
        self.test.as_ref().map_or(Ok(()), |test| test.check(&self.classes))
    }

    /// Writes the card as indented JSON. The last key, `check`, is a hash of the text before it.
    ///
    /// # Errors
    /// [`ExportError`] when a number is not finite or writing fails.
    pub fn write(&self, out: &mut dyn io::Write) -> Result<(), ExportError> {
        self.check()?;
        out.write_all(&seal_document(self))?;
        Ok(())
    }

    /// Writes the card to `path`, completely or not at all.
    ///
    /// # Errors
    /// [`ExportError`] when a number is not finite or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ExportError> {
        self.check()?;
        Ok(kiln_files::write_document(path, self)?)
    }

    /// Reads and checks a card. Cards of older builds carry no hash.
    ///
    /// # Errors
    /// [`ExportError`] when the card is longer than 16 MiB, was changed, is not a card, or contains an
    /// invalid number.
    pub fn read(input: &mut dyn io::Read) -> Result<Checked<Self>, ExportError> {
        let mut text = Vec::new();
        input.take(CARD_LIMIT + 1).read_to_end(&mut text).map_err(ExportError::Read)?;
        let bytes = text.len() as u64;
        if bytes > CARD_LIMIT {
            return Err(ExportError::TooLarge { format: "the model card", bytes, limit: CARD_LIMIT });
        }
        let card: Checked<Self> = parse_document(Path::new("the model card"), &text)?;
        card.content.check()?;
        Ok(card)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn card_reads_back_as_written() {
        for (name, model) in testing::sample_models() {
            let mut text = Vec::new();
            model.card.write(&mut text).unwrap();
            let read = Checked { content: model.card, is_checked: true };
            assert_eq!(ModelCard::read(&mut text.as_slice()).unwrap(), read, "{name}");
        }
    }

    #[test]
    fn write_refuses_numbers_that_are_not_finite() {
        let mut card = testing::perceptron().card;
        card.metrics[0].value = f64::NAN;
        let mut text = Vec::new();
        assert_eq!(
            card.write(&mut text).unwrap_err().to_string(),
            "`metrics.test_accuracy_percent` of the model card is `NaN`, expected a finite number"
        );
        assert!(text.is_empty());
        let mut card = testing::perceptron().card;
        card.preprocessing.inputs[1].offset = f64::INFINITY;
        assert_eq!(
            card.check().unwrap_err().to_string(),
            "`preprocessing.inputs.1.offset` of the model card is `inf`, expected a finite number"
        );
        let mut card = testing::perceptron().card;
        card.preprocessing.target_offsets = vec![f64::NAN];
        assert!(card.check().unwrap_err().to_string().starts_with("`preprocessing.target_offsets.0` of"));
    }

    #[test]
    fn read_refuses_unknown_fields_and_truncated_files() {
        let mut text = Vec::new();
        testing::perceptron().card.write(&mut text).unwrap();
        let cut = &text[..text.len() / 2];
        assert!(matches!(ModelCard::read(&mut &*cut), Err(ExportError::Files(_))));
        let other = String::from_utf8(text).unwrap().replacen("\"seed\"", "\"sead\"", 1);
        assert!(matches!(ModelCard::read(&mut other.as_bytes()), Err(ExportError::Files(_))));
    }

    #[test]
    fn read_accepts_card_without_version_and_refuses_newer_version() {
        let card = testing::perceptron().card;
        assert_eq!(card.version, CardVersion::CURRENT);
        let text = serde_json::to_string(&card).unwrap();
        let current = "{\"version\":3,";
        assert!(text.starts_with(current), "{text}");
        let read = |text: &str| ModelCard::read(&mut text.as_bytes());
        let old = read(&text.replacen(current, "{", 1)).unwrap().content;
        assert_eq!(old, ModelCard { version: CardVersion::FIRST, ..card });
        for version in ["0", "4"] {
            let other = text.replacen(current, &format!("{{\"version\":{version},\"news\":1,"), 1);
            let said = read(&other).unwrap_err().to_string();
            let expected = format!("has version {version}, and this build reads versions 1 to 3");
            assert!(said.contains(&expected), "{said}");
        }
    }

    #[test]
    fn read_refuses_card_beyond_limit() {
        let error = ModelCard::read(&mut io::repeat(b' ')).unwrap_err();
        assert!(matches!(error, ExportError::TooLarge { .. }), "{error}");
    }
}
