//! Examples without targets, and how the card of the network says that their files are read.

use std::path::{Path, PathBuf};

use kiln_export::Preprocessing;

use super::error::DataError;

/// Where an example comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its file.
    pub file: PathBuf,
    /// Its place in a file of several examples: of the rows of a table (without its header) or array, counted
    /// from 1.
    pub place: Option<u64>,
}

/// Examples without targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewExamples {
    /// Where each comes from.
    pub examples: Vec<Example>,
    /// Their values as the network takes them, less the offsets of its inputs.
    pub values: Vec<f32>,
    /// What a person should know of them, a sentence each.
    pub notes: Vec<String>,
}

/// One of the settings that a card keeps, or the default where it keeps none.
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
