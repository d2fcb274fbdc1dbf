//! `f16`: stores weights in half precision. Layers compute in single precision.

use kiln_space::{NumberFormat, Op, Precision, Settings, SettingsError};
use serde::Deserialize;

use crate::compression::draft::Draft;
use crate::compression::error::CompressionError;
use crate::compression::recipe::{Recipe, RecipePart, no_value};
use crate::compression::workshop::Workshop;

pub(in crate::compression) const PART: RecipePart =
    RecipePart::new("weights in half precision, half the bytes; layers compute in single precision", build)
        .with_keys(&[""])
        .tested_with(&["f16"]);

/// The recipe has no settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

struct HalfPrecision;

fn build(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    no_value(value, settings)?;
    let NoSettings {} = settings.read()?;
    Ok(Box::new(HalfPrecision))
}

impl Recipe for HalfPrecision {
    fn apply(&self, mut draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        draft.require_single_precision(workshop.recipe)?;
        for layer in &mut draft.model.architecture.layers {
            if matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }) {
                layer.precision = Precision { weights: NumberFormat::F16, activations: NumberFormat::F32 };
            }
        }
        draft.describe("weights stored in half precision");
        Ok(draft)
    }
}
