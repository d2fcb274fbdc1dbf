//! `distill`: a network learns the outputs of a teacher. Combined with other recipes, it teaches their
//! trainings.

use kiln_space::{Settings, SettingsError};
use serde::Deserialize;

use crate::compression::draft::Draft;
use crate::compression::error::CompressionError;
use crate::compression::recipe::{Recipe, RecipePart, Teaching, no_value};
use crate::compression::retraining::{KEYS, Retraining};
use crate::compression::teachers::UNCOMPRESSED;
use crate::compression::workshop::Workshop;
use crate::training::pruning::PruningRules;

/// Share of the finish stage's learning rate.
const RATE: f64 = 0.5;

pub(in crate::compression) const PART: RecipePart =
    RecipePart::new("learns the outputs of a teacher too, by default of the network before", build)
        .with_keys(&[KEYS, OWN_KEYS])
        .tested_with(&["distill", "distill:teacher=a.kiln;temperature=2;share=0.9;features=1;epochs=3"]);

const OWN_KEYS: &str = r#"
[teacher]
type = "string"
description = "`uncompressed` (the network before), `supernet` (its largest subnet), or a model or ONNX file."
default = "uncompressed"

[temperature]
type = "number"
exclusiveMinimum = 0
description = "The logits of both networks are divided by it before they become probabilities."
default = 4

[share]
type = "number"
exclusiveMinimum = 0
maximum = 1
description = "Share of the loss that comes from the teacher."
default = 0.5

[features]
type = "number"
minimum = 0
description = "Weight of the difference between the features before the last layer."
default = 0
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DistillSettings {
    #[serde(default = "uncompressed")]
    teacher: String,
    #[serde(default = "temperature")]
    temperature: f64,
    #[serde(default = "share")]
    share: f64,
    #[serde(default)]
    features: f64,
    epochs: Option<u32>,
    learning_rate: Option<f64>,
}

fn uncompressed() -> String {
    UNCOMPRESSED.to_owned()
}
const fn temperature() -> f64 {
    4.0
}
const fn share() -> f64 {
    0.5
}

struct Distill {
    teaching: Teaching,
    retraining: Retraining,
}

fn build(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    no_value(value, settings)?;
    let read: DistillSettings = settings.read()?;
    let DistillSettings { teacher, temperature, share, features, epochs, learning_rate } = read;
    if !(temperature > 0.0 && temperature <= 100.0) {
        let key = settings.key("temperature");
        return Err(SettingsError::value(key, temperature, "more than 0, at most 100"));
    }
    if !(share > 0.0 && share <= 1.0) {
        return Err(SettingsError::value(settings.key("share"), share, "more than 0, at most 1"));
    }
    if !(features >= 0.0 && features.is_finite()) {
        return Err(SettingsError::value(settings.key("features"), features, "a number, at least 0"));
    }
    let retraining = Retraining { epochs, learning_rate, share_of_rate: RATE, clip_norm: None };
    retraining.check(settings)?;
    Ok(Box::new(Distill { teaching: Teaching { teacher, temperature, share, features }, retraining }))
}

impl Recipe for Distill {
    fn apply(&self, draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        if workshop.others_train {
            return Ok(draft);
        }
        draft.require_single_precision(workshop.recipe)?;
        self.retraining.run(workshop, draft, PruningRules::keeping_zeros())
    }

    /// 2: the network before the compression teaches unless stated.
    fn version(&self) -> u32 {
        2
    }

    fn teaching(&self) -> Option<&Teaching> {
        Some(&self.teaching)
    }
}
