//! `ptq-int8` and `int4`: rounds a network after its training. Layers that lose too much stay as they are.

use std::collections::BTreeSet;

use kiln_export::{Calibration, Calibrator, QuantizationOptions, TrainedModel};
use kiln_space::{LayerId, NumberFormat, Settings, SettingsError};
use serde::Deserialize;

use crate::compression::draft::Draft;
use crate::compression::error::CompressionError;
use crate::compression::observation;
use crate::compression::recipe::{Recipe, RecipePart, no_value};
use crate::compression::sensitivity;
use crate::compression::workshop::Workshop;

pub(in crate::compression) const INT8: RecipePart =
    RecipePart::new("rounds weights and activations to 8 bits after training", |value, settings| {
        build(NumberFormat::Int8, value, settings)
    })
    .with_keys(&[OWN_KEYS])
    .tested_with(&["ptq-int8", "ptq-int8:max-loss=0.3;calibration=entropy", "ptq-int8:symmetric=true"]);

pub(in crate::compression) const INT4: RecipePart = RecipePart::new(
    "rounds weights to 4 bits and activations to 8 bits after training; ONNX files need operator set 21",
    |value, settings| build(NumberFormat::Int4, value, settings),
)
.with_keys(&[OWN_KEYS])
.tested_with(&["int4", "int4:bias-correction=true;equalization=true"]);

const OWN_KEYS: &str = r#"
[calibration]
type = "string"
description = "How activations are calibrated: `min-max`, `percentile`, `percentile-99.9`, `mse`, `entropy`."
default = "min-max"

[examples]
type = "integer"
minimum = 1
description = "Training examples that ranges are taken from; `calibration` of `[finish]` unless stated."

[symmetric]
type = "boolean"
description = "Whether the zero point of every activation is 0, as some accelerators demand."
default = false

[bias-correction]
type = "boolean"
description = "Whether biases are corrected by the expected errors of rounded weights."
default = false

[equalization]
type = "boolean"
description = "Whether channels are scaled first, so that consecutive layers have similar ranges."
default = false

[max-loss]
type = "number"
exclusiveMinimum = 0
description = """\
Largest loss on the validation split, in points of accuracy or percent of the error; the layers that lose \
most stay in single precision until it is met."""
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RoundingSettings {
    calibration: Option<String>,
    examples: Option<usize>,
    #[serde(default)]
    symmetric: bool,
    #[serde(default)]
    bias_correction: bool,
    #[serde(default)]
    equalization: bool,
    max_loss: Option<f64>,
}

struct PostTraining {
    options: QuantizationOptions,
    examples: Option<usize>,
    max_loss: Option<f64>,
}

/// Reads the setting `calibration`.
///
/// # Errors
/// [`SettingsError`] for an unknown calibrator.
pub(super) fn calibrator(name: Option<&str>, settings: &Settings) -> Result<Calibrator, SettingsError> {
    let Some(name) = name else { return Ok(Calibrator::default()) };
    name.parse().map_err(|_| {
        let expected = "`min-max`, `percentile`, `percentile-99.9`, `mse` or `entropy`";
        SettingsError::value(settings.key("calibration"), format!("`{name}`"), expected)
    })
}

fn build(
    weights: NumberFormat,
    value: Option<&str>,
    settings: &Settings,
) -> Result<Box<dyn Recipe>, SettingsError> {
    no_value(value, settings)?;
    let read: RoundingSettings = settings.read()?;
    if let Some(loss) = read.max_loss.filter(|loss| !(*loss > 0.0 && loss.is_finite())) {
        return Err(SettingsError::value(settings.key("max-loss"), loss, "a positive number"));
    }
    let options = QuantizationOptions {
        calibration: calibrator(read.calibration.as_deref(), settings)?,
        symmetric: read.symmetric,
        bias_correction: read.bias_correction,
        equalization: read.equalization,
        weights,
        keep: BTreeSet::new(),
    };
    Ok(Box::new(PostTraining { options, examples: read.examples, max_loss: read.max_loss }))
}

impl Recipe for PostTraining {
    fn apply(&self, mut draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        draft.require_single_precision(workshop.recipe)?;
        let rounder = Rounder::new(self, &draft.model, workshop)?;
        let whole = rounder.rounded(&BTreeSet::new())?;
        let (rounded, kept) = match self.max_loss {
            None => (whole, Vec::new()),
            Some(limit) => within(limit, &draft, whole, &rounder, workshop)?,
        };
        draft.model = TrainedModel { card: draft.model.card, ..rounded };
        let (weights, calibration) = (self.options.weights, self.options.calibration);
        let mut what =
            format!("rounded to {weights} weights and int8 activations, calibration {calibration}");
        if !kept.is_empty() {
            what = format!("{what}; in single precision: {}", kept.join(", "));
        }
        draft.describe(&what);
        Ok(draft)
    }
}

/// Leaves the layers with the largest losses in single precision, one after another, until the loss of
/// the whole network is at most `limit`. Returns the network, and the names of these layers.
fn within(
    limit: f64,
    draft: &Draft,
    whole: TrainedModel,
    rounder: &Rounder<'_>,
    workshop: &Workshop<'_>,
) -> Result<(TrainedModel, Vec<String>), CompressionError> {
    let before = workshop.validation_error(&draft.model)?;
    let loss = |model: &TrainedModel| {
        Ok::<_, CompressionError>(workshop.loss(workshop.validation_error(model)?, before))
    };
    let mut best = loss(&whole)?;
    if best <= limit {
        return Ok((whole, Vec::new()));
    }
    let mut layers = sensitivity::measure(draft, workshop)?;
    layers.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    let names: Vec<String> = layers.into_iter().map(|layer| layer.layer).collect();
    // At least one layer is rounded. Otherwise the recipe would do nothing.
    for count in 1..names.len() {
        workshop.check_stop()?;
        let kept: BTreeSet<String> = names[..count].iter().cloned().collect();
        let model = rounder.rounded(&kept)?;
        let found = loss(&model)?;
        if found <= limit {
            return Ok((model, names[..count].to_vec()));
        }
        best = best.min(found);
    }
    let unit = workshop.unit_of_loss();
    Err(CompressionError::Unreachable {
        recipe: workshop.recipe.to_owned(),
        target: format!("a loss of at most {limit} {unit} on the validation split"),
        reached: format!("{best:.3}"),
    })
}

/// Rounds one network with different layers in single precision. The calibration is the same for all.
struct Rounder<'a> {
    options: &'a QuantizationOptions,
    model: &'a TrainedModel,
    calibration: Calibration,
}

impl<'a> Rounder<'a> {
    fn new(
        recipe: &'a PostTraining,
        model: &'a TrainedModel,
        workshop: &Workshop<'_>,
    ) -> Result<Self, CompressionError> {
        // Equalization changes weights but not number formats, so one calibration serves every choice of
        // layers.
        let prepared = recipe.options.prepared(model)?;
        let all: Vec<LayerId> = prepared.architecture.ids().collect();
        let count = recipe.examples.unwrap_or(workshop.calibration);
        let calibration = observation::calibration(&prepared, &all, workshop.data, count, workshop.device);
        Ok(Self { options: &recipe.options, model, calibration })
    }

    /// Rounds all layers except those in `keep`.
    fn rounded(&self, keep: &BTreeSet<String>) -> Result<TrainedModel, CompressionError> {
        let options = QuantizationOptions { keep: keep.clone(), ..self.options.clone() };
        Ok(options.quantized(&options.prepared(self.model)?, &self.calibration)?)
    }
}
