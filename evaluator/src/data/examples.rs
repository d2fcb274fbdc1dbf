//! Examples without targets, and the reading settings in the card of a network.

use std::path::{Path, PathBuf};

use kiln_export::Preprocessing;

use super::error::DataError;

/// Origin of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The file.
    pub file: PathBuf,
    /// Position in a file of several examples, from 1: the row of a table (without its header) or of an
    /// array.
    pub place: Option<u64>,
}

/// Examples without targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewExamples {
    /// Origin of each example.
    pub examples: Vec<Example>,
    /// Values as network inputs, minus the offsets of the inputs.
    pub values: Vec<f32>,
    /// Remarks about the files, one sentence each.
    pub notes: Vec<String>,
}

/// A setting of the card; the default if the card does not state it.
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
