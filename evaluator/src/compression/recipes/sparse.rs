//! `unstructured-0.7` and `2:4`: trains a network while its smallest weights become zero.

use kiln_space::{Settings, SettingsError, Sparsity};
use serde::Deserialize;

use crate::compression::draft::Draft;
use crate::compression::error::CompressionError;
use crate::compression::recipe::{Recipe, RecipePart, number};
use crate::compression::retraining::{KEYS, Retraining};
use crate::compression::workshop::Workshop;

/// Share of the finish stage's learning rate with which a network learns to do without its zeros.
const RATE: f64 = 0.5;

pub(in crate::compression) const UNSTRUCTURED: RecipePart = RecipePart::new(
    "`unstructured-0.7`: 70 % of the weights of each layer become zero while the network is trained; files \
     store the zeros",
    unstructured,
)
.with_keys(&[KEYS])
.tested_with(&["unstructured-0.7", "unstructured-0.5:epochs=2;learning-rate=0.01"]);

pub(in crate::compression) const N_OF_M: RecipePart = RecipePart::new(
    "`2:4`: 2 of 4 neighboring input channels of each weight are kept; files store the zeros",
    n_of_m,
)
.with_keys(&[KEYS])
.tested_with(&["2:4", "1:4:epochs=2"]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SparseSettings {
    epochs: Option<u32>,
    learning_rate: Option<f64>,
}

struct Sparse {
    sparsity: Sparsity,
    retraining: Retraining,
}

fn unstructured(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let expected = "a share of zeros between 0 and 1, such as `unstructured-0.7`";
    let share = number(value.unwrap_or("nothing"), settings, (0.0, 1.0), expected)?;
    let permille = (share * 1000.0).round() as u16;
    if !(1..1000).contains(&permille) {
        let found = format!("`{share}`");
        return Err(SettingsError::value(settings.key("value"), found, "a share from 0.001 to 0.999"));
    }
    build(Sparsity::Unstructured { permille }, settings)
}

fn n_of_m(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let found = value.unwrap_or("nothing");
    let parts = found.split_once(':').and_then(|(n, m)| Some((n.parse::<u8>().ok()?, m.parse::<u8>().ok()?)));
    let parts = parts.filter(|(n, m)| *n >= 1 && n < m && *m <= 16);
    let expected = "a pattern `n:m` with 1 <= n < m <= 16, such as `2:4`";
    let (n, m) =
        parts.ok_or_else(|| SettingsError::value(settings.key("value"), format!("`{found}`"), expected))?;
    build(Sparsity::NOfM { n, m }, settings)
}

fn build(sparsity: Sparsity, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let SparseSettings { epochs, learning_rate } = settings.read()?;
    let retraining = Retraining { epochs, learning_rate, share_of_rate: RATE };
    retraining.check(settings)?;
    Ok(Box::new(Sparse { sparsity, retraining }))
}

impl Recipe for Sparse {
    fn apply(&self, mut draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        draft.require_single_precision(workshop.recipe)?;
        draft.set_sparsity(self.sparsity);
        if !draft.is_sparse() {
            let problem = format!("no layer has enough input channels for the pattern {}", self.sparsity);
            return Err(CompressionError::Unfit { recipe: workshop.recipe.to_owned(), problem });
        }
        draft.describe(&format!("zeros in weights: {}", self.sparsity));
        self.retraining.run(workshop, draft, false)
    }

    fn epochs(&self, epochs: u32) -> u32 {
        self.retraining.passes(epochs)
    }
}
