//! `codebook-16`: clusters the weights of each layer, so that the file has a list of values and small
//! indices.

use kiln_export::{CODEBOOK_MAX, with_codebooks};
use kiln_space::{Settings, SettingsError};
use serde::Deserialize;

use crate::compression::draft::Draft;
use crate::compression::error::CompressionError;
use crate::compression::recipe::{Recipe, RecipePart};
use crate::compression::workshop::Workshop;

pub(in crate::compression) const PART: RecipePart =
    RecipePart::new("`codebook-16`: at most 16 different weights in each layer, found by clustering", build)
        .with_keys(&[""])
        .tested_with(&["codebook-16", "codebook-256"]);

/// The recipe has no settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

struct Codebook {
    values: usize,
}

fn build(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let found = value.unwrap_or("nothing");
    let values = found.parse::<usize>().ok().filter(|values| (2..=CODEBOOK_MAX).contains(values));
    let expected = "a number of values from 2 to 256, such as `codebook-16`";
    let values =
        values.ok_or_else(|| SettingsError::value(settings.key("value"), format!("`{found}`"), expected))?;
    let NoSettings {} = settings.read()?;
    Ok(Box::new(Codebook { values }))
}

impl Recipe for Codebook {
    fn apply(&self, mut draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        draft.require_single_precision(workshop.recipe)?;
        draft.model = with_codebooks(&draft.model, self.values)?;
        draft.describe(&format!("weights clustered to at most {} values in each layer", self.values));
        Ok(draft)
    }
}
