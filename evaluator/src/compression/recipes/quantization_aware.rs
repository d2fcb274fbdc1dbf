//! `qat-int8` and `qat-int4`: trains a network on the grids on which it will run.

use kiln_export::Calibrator;
use kiln_search::EvalError;
use kiln_space::{NumberFormat, Settings, SettingsError};
use serde::Deserialize;

use crate::compression::draft::Draft;
use crate::compression::error::CompressionError;
use crate::compression::quantization_aware::QuantizationAware;
use crate::compression::recipe::{Recipe, RecipePart, no_value};
use crate::compression::retraining::{KEYS, Retraining};
use crate::compression::workshop::Workshop;
use crate::training::form::Form;
use crate::training::pruning::PruningRules;

use super::post_training::calibrator;

/// A training that loses more than this on the validation split is dropped: points of accuracy, or percent of
/// the error.
const HARMFUL: f64 = 1.0;
/// Share of the finish stage's learning rate. Rounding is a small change of a trained network.
const RATE: f64 = 0.1;
/// Largest norm of a gradient. Batch norms keep their statistics here, so nothing limits the values of a
/// layer. Where channels have small variances, one large gradient can set all activations to zero, and then
/// no later gradient changes anything.
const CLIP_NORM: f64 = 1.0;

pub(in crate::compression) const INT8: RecipePart =
    RecipePart::new("trained on 8-bit weights and activations, with learned steps", |value, settings| {
        build(NumberFormat::Int8, value, settings)
    })
    .with_keys(&[KEYS, OWN_KEYS])
    .tested_with(&["qat-int8", "qat-int8:epochs=4;incremental=false;calibration=mse"]);

pub(in crate::compression) const INT4: RecipePart = RecipePart::new(
    "trained on 4-bit weights and 8-bit activations, with learned steps; ONNX files need operator set 21",
    |value, settings| build(NumberFormat::Int4, value, settings),
)
.with_keys(&[KEYS, OWN_KEYS])
.tested_with(&["qat-int4"]);

const OWN_KEYS: &str = r#"
[incremental]
type = "boolean"
description = "Whether the share of rounded layers grows in the first half of the epochs."
default = true

[calibration]
type = "string"
description = "How first ranges of activations are found: `min-max`, `percentile`, `mse` or `entropy`."
default = "min-max"
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AwareSettings {
    #[serde(default = "yes")]
    incremental: bool,
    calibration: Option<String>,
    epochs: Option<u32>,
    learning_rate: Option<f64>,
}

const fn yes() -> bool {
    true
}

struct Aware {
    format: NumberFormat,
    incremental: bool,
    calibrator: Calibrator,
    retraining: Retraining,
}

fn build(
    format: NumberFormat,
    value: Option<&str>,
    settings: &Settings,
) -> Result<Box<dyn Recipe>, SettingsError> {
    no_value(value, settings)?;
    let AwareSettings { incremental, calibration, epochs, learning_rate } = settings.read()?;
    let retraining = Retraining { epochs, learning_rate, share_of_rate: RATE, clip_norm: Some(CLIP_NORM) };
    retraining.check(settings)?;
    let calibrator = calibrator(calibration.as_deref(), settings)?;
    Ok(Box::new(Aware { format, incremental, calibrator, retraining }))
}

impl Recipe for Aware {
    fn apply(&self, mut draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        draft.require_single_precision(workshop.recipe)?;
        let epochs = self.retraining.passes(workshop.training.epochs);
        let ramp = if self.incremental { epochs / 2 } else { 1 };
        let (form, weights) =
            QuantizationAware::new(workshop, &draft.model, self.format, self.calibrator, ramp)?;
        let how = (Some(&form as &dyn Form), PruningRules::keeping_zeros());
        let start = form.result(&weights.detached(), draft.model.card.clone());
        let before = workshop.validation_error(&start)?;
        let card = draft.model.card.clone();
        // An error that is not finite is worse than any other.
        let after = match self.retraining.train(workshop, draft.stage, form.target(), weights, how) {
            Err(CompressionError::Eval(EvalError::Diverged { .. })) => f64::INFINITY,
            trained => {
                draft.model = form.result(&trained?, card);
                match workshop.validation_error(&draft.model) {
                    Err(CompressionError::NotFinite { .. }) => f64::INFINITY,
                    error => error?,
                }
            }
        };
        let grids = format!("{} weights and int8 activations", self.format);
        if workshop.loss(after, before) > HARMFUL {
            workshop.progress.warn(&format!(
                "{}: training made the rounded network worse on the validation split: error {after:.4} \
                 after {before:.4}; the network is kept as it was rounded without training; a smaller \
                 `learning-rate` or fewer epochs may help",
                workshop.recipe
            ));
            draft.model = start;
            draft.describe(&format!("rounded to {grids} without training, which made it worse"));
            return Ok(draft);
        }
        let more = self.retraining.describe(workshop);
        draft.describe(&format!("{more}, on {grids} with learned steps"));
        Ok(draft)
    }

    /// 2: gradients are clipped, and a training that harms is dropped.
    fn version(&self) -> u32 {
        2
    }

    fn epochs(&self, epochs: u32) -> u32 {
        self.retraining.passes(epochs)
    }
}
