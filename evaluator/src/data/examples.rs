//! Examples without targets, and the reading settings on a network's model card.

use std::path::{Path, PathBuf};

use kiln_export::Preprocessing;

use super::error::DataError;

/// Origin of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The file.
    pub file: PathBuf,
    /// Position in a file with several examples, counted from 1: the row of a table (without its header) or
    /// of an array.
    pub place: Option<u64>,
}

/// Examples without targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewExamples {
    /// Origin of each example.
    pub examples: Vec<Example>,
    /// Values of the network inputs, minus the offsets of the inputs.
    pub values: Vec<f32>,
    /// Notes about the files, one sentence each.
    pub notes: Vec<String>,
}

/// Reads a setting from the model card. Returns the default if the card does not contain it.
pub(super) fn setting<T: serde::de::DeserializeOwned + Default>(
    preprocessing: &Preprocessing,
    key: &str,
    file: &Path,
) -> Result<T, DataError> {
    let Some(value) = preprocessing.reading.get(key) else { return Ok(T::default()) };
    serde_json::from_value(value.clone()).map_err(|error| {
        let expected = "a card as this program writes it";
        DataError::content(file, "the network's card", format!("`{key}` is {value} ({error})"), expected)
    })
}
