//! Reads examples without targets for a trained network: image files, tables and arrays, by the rules on the
//! network's model card.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_export::Preprocessing;
use kiln_space::{Settings, Shape};
use serde_json::Value;

use super::reading::ReadingProgress;
use super::{DataError, NewExamples, csv_table, images, npy};

/// Settings of `[data]` that affect how a file is read. The other settings select or divide files.
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

impl NewExamples {
    /// Reads files for a network with this input shape. If the network's inputs are columns, the files are
    /// tables. Otherwise they are images or NumPy arrays.
    ///
    /// # Errors
    /// [`DataError`] with file and place, for a file that cannot be read or lacks an input.
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
        // Arrays and images keep the order of the arguments.
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

/// Describes, for model cards, how a file of this kind of data becomes examples.
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
