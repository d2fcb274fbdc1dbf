//! The trait that every recipe implements.

use kiln_space::{Registration, Settings, SettingsError};

use super::draft::Draft;
use super::error::CompressionError;
use super::workshop::Workshop;

/// A way to compress a network.
pub(crate) trait Recipe: Send + Sync {
    /// Returns the compressed network. Equal drafts and workshops give equal networks.
    ///
    /// # Errors
    /// [`CompressionError`] when the recipe does not fit the network, a target cannot be met, or the user
    /// stopped the work.
    fn apply(&self, draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError>;

    /// Returns who teaches in the retrainings of all recipes that are combined with this one. `None` if this
    /// recipe brings no teacher.
    fn teaching(&self) -> Option<&Teaching> {
        None
    }

    /// Version of the bits of the results. A change of the algorithm raises it: networks that an older build
    /// compressed are then compressed again.
    fn version(&self) -> u32 {
        1
    }

    /// Number of passes over the training split, for `epochs` passes of the finish stage. 0 without training.
    fn epochs(&self, epochs: u32) -> u32 {
        let _ = epochs;
        0
    }
}

/// How the recipe `distill` teaches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Teaching {
    /// `uncompressed`, `supernet`, or the path of a network's file.
    pub(crate) teacher: String,
    pub(crate) temperature: f64,
    pub(crate) share: f64,
    pub(crate) features: f64,
}

/// Builds a recipe from its value, such as `0.5` in `structured-0.5`, and its settings.
pub(crate) type RecipeBuilder = fn(Option<&str>, &Settings) -> Result<Box<dyn Recipe>, SettingsError>;

/// The registry entry of a recipe.
pub(crate) type RecipePart = Registration<RecipeBuilder>;

/// Reads the value of a recipe that needs none.
///
/// # Errors
/// [`SettingsError`] if there is a value.
pub(crate) fn no_value(value: Option<&str>, settings: &Settings) -> Result<(), SettingsError> {
    match value {
        None => Ok(()),
        Some(value) => Err(SettingsError::value(settings.key("value"), format!("`{value}`"), "no value")),
    }
}

/// Reads the value of a recipe as a number in a range, whose ends are excluded.
///
/// # Errors
/// [`SettingsError`] if it is not such a number.
pub(crate) fn number(
    value: &str,
    settings: &Settings,
    (least, most): (f64, f64),
    expected: &str,
) -> Result<f64, SettingsError> {
    let number = value.parse::<f64>().ok().filter(|number| *number > least && *number < most);
    number.ok_or_else(|| SettingsError::value(settings.key("value"), format!("`{value}`"), expected))
}
