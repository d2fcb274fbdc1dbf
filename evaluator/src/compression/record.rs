//! What is known of a compressed network. Its folder contains it as `result.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_files::{Content, read_document, write_document};
use serde::{Deserialize, Serialize};

use super::error::CompressionError;

/// Name of the file with the record in a compressed network's folder.
const FILE: &str = "result.json";
/// Maximum size in bytes of a record.
const LONGEST_BYTES: u64 = 16 << 20;

/// A compressed network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compressed {
    /// The recipes, such as `structured-0.5+qat-int8`.
    pub recipe: String,
    /// Hash of everything that the network depends on: the network before, the recipes, data and settings.
    pub identity: String,
    /// Metrics on the test split. Names contain the unit.
    pub metrics: BTreeMap<String, f64>,
    /// Name of the first exported file in the folder. `None` if no format can express the network.
    pub file: Option<String>,
    /// Size of that file in bytes.
    pub file_bytes: Option<u64>,
    /// Bytes of the weights in exported files, without names.
    pub weight_bytes: u64,
    /// Multiply-accumulates for one example.
    pub macs: u64,
    /// All files in the folder except the record.
    pub files: BTreeMap<String, Content>,
}

impl Compressed {
    /// Returns the record in a folder, if the folder has the network with this identity and all its files are
    /// as they were written. Otherwise, the network must be compressed again.
    #[must_use]
    pub fn found(folder: &Path, identity: &str) -> Option<Self> {
        let record: Self = read_document(&folder.join(FILE), LONGEST_BYTES).ok()?.content;
        let is_whole = |(name, content): (&String, &Content)| {
            Content::of_file(&folder.join(name)).is_ok_and(|found| found == *content)
        };
        (record.identity == identity && record.files.iter().all(is_whole)).then_some(record)
    }

    /// Adds the contents of the files in a folder, and writes the record.
    ///
    /// # Errors
    /// [`CompressionError::Files`] when a file cannot be read or written.
    pub(super) fn write(&mut self, folder: &Path, files: &[PathBuf]) -> Result<(), CompressionError> {
        for file in files {
            let name = file.strip_prefix(folder).unwrap_or(file);
            self.files.insert(name.display().to_string(), Content::of_file(file)?);
        }
        write_document(&folder.join(FILE), self)?;
        Ok(())
    }

    /// Names of all files in the folder, the record among them.
    #[must_use]
    pub fn file_names(&self) -> Vec<String> {
        self.files.keys().cloned().chain([FILE.to_owned()]).collect()
    }
}
