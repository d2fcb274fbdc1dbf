//! An evaluator that looks up outcomes in a table of published results. No network is trained.

mod columns;
mod error;
mod read;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_space::{Genotype, Settings};

pub(crate) use self::columns::Columns;
pub use self::error::{CsvFault, TableError};
pub use self::settings::{Direction, KeyFormat};

use self::settings::TableSettings;
use crate::contracts::{EvalError, Evaluator, Progress, Request};
use crate::trials::{Measurement, Outcome};

/// Looks up outcomes in a CSV file, plain or `.gz`. The table has one result for each genotype, so it
/// supports only full fidelity.
///
/// # Example
/// ```
/// use kiln_search::TableEvaluator;
/// use kiln_space::{Genotype, Settings};
/// use serde_json::json;
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("table.csv"), "genes,accuracy\n0-1,93.5\n1-0,90.0\n")?;
/// let settings = json!({
///     "file": "table.csv", "key": "genes", "key_format": "genotype", "signal": "accuracy",
/// });
/// let settings = Settings::new("evaluator", settings.as_object().cloned().unwrap_or_default());
/// let table = TableEvaluator::open(&settings, Some(folder.path()))?;
/// let found = table.get(&Genotype::new([0, 1])).and_then(|found| found.get("error_percent"));
/// assert_eq!(found, Some(6.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TableEvaluator {
    path: PathBuf,
    key_format: KeyFormat,
    fingerprint: String,
    rows: BTreeMap<Genotype, Measurement>,
}

impl TableEvaluator {
    /// Reads a table. `settings` contains these keys:
    /// - `file`: the table's path; relative paths start at `data_dir`;
    /// - `key`: the column that names the architecture, and `key_format`: `nasbench201` (the official cell
    ///   string), `genotype` (option indices joined by `-`) or `digits` (one digit each);
    /// - `signal`: the column on which the search runs, and `direction`: `maximize` (the default, for
    ///   accuracies in percent; the metric is 100 minus the value) or `minimize` (the metric is the value);
    /// - `metric`: name of the signal's metric, `error_percent` by default;
    /// - `report`: further metrics, each with the name of a column; `direction` also applies to these
    ///   metrics.
    ///
    /// A row without a value of the signal is ignored. If a field of a reported column is empty, the entry
    /// lacks the metric of that column.
    ///
    /// # Errors
    /// [`TableError`] that names the setting, or the file and the line.
    pub fn open(settings: &Settings, data_dir: Option<&Path>) -> Result<Self, TableError> {
        let read = TableSettings::read(settings)?;
        let path = read.path(settings, data_dir)?;
        let (bytes, hash) = read::bytes(&path)?;
        let rows = read::rows(&path, &bytes, &read)?;
        Ok(Self { path, key_format: read.key_format, fingerprint: read.fingerprint(&hash), rows })
    }

    /// Returns the entry of a genotype.
    #[must_use]
    pub fn get(&self, genotype: &Genotype) -> Option<&Measurement> {
        self.rows.get(genotype)
    }

    /// Returns all entries, in the order of their genotypes.
    pub fn entries(&self) -> impl Iterator<Item = (&Genotype, &Measurement)> {
        self.rows.iter()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Evaluator for TableEvaluator {
    fn prepare(&self, _: &dyn Progress) -> Result<(), EvalError> {
        Ok(())
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.fidelities().check(request.fidelity)?;
        match self.get(request.genotype) {
            Some(measurement) => Ok(Outcome::Measured(measurement.clone())),
            None => Err(EvalError::MissingEntry {
                path: self.path.clone(),
                entry: self.key_format.write(request.genotype),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
