//! Examples without targets, for a trained network: image files, tables and arrays, read as its card says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_export::Preprocessing;
use kiln_space::{Settings, Shape};
use serde_json::Value;

use super::reading::ReadingProgress;
use super::{DataError, csv_table, images, npy};

/// Settings of `[data]` that say how a file is read; the others say which files there are, or divide them.
const OF_FILES: [&str; 11] = [
    "size",
    "color",
    "background",
    "channels",
    "header",
    "separator",
    "quote",
    "escape",
    "decimal",
    "encoding",
    "missing_values",
];

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

impl NewExamples {
    /// Reads files for a network that takes inputs of this shape: tables where its inputs are columns, else
    /// images where it was trained on images, and arrays of NumPy.
    ///
    /// # Errors
    /// [`DataError`] for files that cannot be read or lack an input, with the file and the place.
    pub fn read(
        files: &[PathBuf],
        preprocessing: &Preprocessing,
        shape: Shape,
        progress: ReadingProgress<'_>,
    ) -> Result<Self, DataError> {
        let mut read = Self::default();
        if preprocessing.inputs.iter().any(|input| input.kind.column().is_some()) {
            for file in files {
                csv_table::read_new(file, preprocessing, &mut read)?;
            }
            return Ok(read);
        }
        let is_array = |file: &&PathBuf| {
            let name = file.to_string_lossy().to_lowercase();
            [".npy", ".npy.gz", ".npz"].iter().any(|ending| name.ends_with(ending)) || name.contains(".npz:")
        };
        // Arrays and images keep the order in which they are named.
        let mut rest = files;
        while let Some(first) = rest.first() {
            if is_array(&first) {
                npy::read_new(first, preprocessing, shape, &mut read)?;
                rest = &rest[1..];
            } else {
                let count = rest.iter().take_while(|file| !is_array(file)).count();
                images::read_new(&rest[..count], preprocessing, shape, progress, &mut read)?;
                rest = &rest[count..];
            }
        }
        Ok(read)
    }
}

/// How a file of this kind of data becomes examples, for cards.
pub(super) fn reading(kind: &str, settings: &Settings, shape: Shape) -> BTreeMap<String, Value> {
    let stated =
        OF_FILES.iter().filter_map(|key| Some(((*key).to_owned(), settings.table().get(*key)?.clone())));
    let mut reading: BTreeMap<String, Value> = stated.collect();
    reading.insert("kind".to_owned(), kind.into());
    if kind == "images" {
        reading.insert("size".to_owned(), vec![shape.height, shape.width].into());
        for (key, text) in images::how(shape.channels) {
            reading.insert(key.to_owned(), text.into());
        }
    }
    reading
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
