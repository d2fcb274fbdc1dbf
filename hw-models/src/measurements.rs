//! Reads tables of measured latencies.

mod csv_file;
mod repeats;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_space::spaces::NasBench201;
use kiln_space::{Genotype, SearchSpace, SpaceError};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

pub(crate) use self::csv_file::{CsvFile, Row};
use self::repeats::Pool;
pub use self::repeats::Repeats;
use crate::{HwError, Measured};

/// The number that published tables write for "not measured". Other tables leave the field empty.
pub(crate) const NOT_MEASURED: f64 = -1.0;

/// Unit of a column with latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyUnit {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
}

/// A second file that maps a column of the measurements to networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// CSV file, plain or gzipped, with the column that identifies networks.
    pub path: PathBuf,
    /// Column that both files share.
    pub on: String,
}

/// A CSV file of measurements, plain or gzipped, and the meaning of its columns.
///
/// A network is identified by its genes joined by `-`, or by a cell of NAS-Bench-201 in the notation of the
/// published tables (`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`). An empty latency or -1 means "not measured".
/// Such rows are counted and skipped. Rows with the same genotype are repeated measurements of one network.
/// The network then counts once, with the median latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Column that identifies networks.
    pub key: String,
    /// The file that contains the column `key`, if the measurements do not contain it.
    pub key_file: Option<KeyFile>,
    /// Column of the latencies.
    pub latency_column: String,
    /// Unit of the latencies.
    pub unit: LatencyUnit,
}

/// The measured networks of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurements {
    /// Networks with a latency, in order of first appearance.
    pub measured: Vec<Measured>,
    /// Number of rows without a latency.
    pub not_measured: usize,
    /// Statistics of repeated measurements; `None` if no network was measured twice.
    pub repeats: Option<Repeats>,
}

impl LatencyUnit {
    pub(crate) const fn us(self) -> f64 {
        match self {
            Self::Us => 1.0,
            Self::Ms => 1e3,
        }
    }
}

impl MeasurementFile {
    /// Reads the measurements. `space` decodes their networks.
    ///
    /// # Errors
    /// [`HwError`] that names the file. If a field is invalid, it also names the line and the column. Invalid
    /// fields are a latency that is not positive, a key that is not a network of the space, and a key without
    /// a row in the key file.
    pub fn read(&self, space: &dyn SearchSpace) -> Result<Measurements, HwError> {
        let table = CsvFile::read(&self.path)?;
        let latency = table.column(&self.latency_column)?;
        let named = self.key_file.as_ref().map(|file| Names::read(file, &self.key)).transpose()?;
        let key = table.column(self.key_file.as_ref().map_or(&self.key, |file| &file.on))?;
        let mut pool = Pool::default();
        let mut not_measured = 0;
        for row in table.rows() {
            let field = row.field(key);
            let text = row.field(latency);
            let value = if text.is_empty() { NOT_MEASURED } else { text.parse().unwrap_or(f64::NAN) };
            if value.total_cmp(&NOT_MEASURED).is_eq() {
                not_measured += 1;
                continue;
            }
            let latency_us = value * self.unit.us();
            if !(latency_us.is_finite() && latency_us > 0.0) {
                return Err(row.refuse(latency, "a number above 0, or -1 or nothing if not measured"));
            }
            let name = match &named {
                None => field,
                Some(names) => names
                    .get(field)
                    .ok_or_else(|| row.refuse(key, format!("a value that {} has", names.file)))?,
            };
            let genotype = genotype(name).map_err(|source| row.refuse_network(key, name, source))?;
            pool.add(genotype, latency_us, |genotype| {
                space.decode(genotype).map_err(|source| row.refuse_network(key, name, source))
            })?;
        }
        let repeats = pool.repeats();
        Ok(Measurements { measured: pool.measured(), not_measured, repeats })
    }

    /// Returns the file name without its folder.
    #[must_use]
    pub fn name(&self) -> String {
        file_name(&self.path)
    }
}

impl Measurements {
    /// Draws `count` networks uniformly, or all networks if there are fewer. Returns the drawn networks and
    /// the remaining networks, both in their original order.
    #[must_use]
    pub fn draw(self, count: usize, seed: u64) -> (Vec<Measured>, Vec<Measured>) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut left = self.measured.len();
        let mut wanted = count.min(left);
        self.measured.into_iter().partition(|_| {
            // Selection sampling takes each network with probability `wanted / left`.
            let taken = rng.random_range(0..left) < wanted;
            left -= 1;
            wanted -= usize::from(taken);
            taken
        })
    }
}

/// Maps values of the shared column to the names of networks.
pub(crate) struct Names {
    file: String,
    names: BTreeMap<String, String>,
}

impl Names {
    pub(crate) fn read(file: &KeyFile, key: &str) -> Result<Self, HwError> {
        let table = CsvFile::read(&file.path)?;
        let (on, key) = (table.column(&file.on)?, table.column(key)?);
        let mut names = BTreeMap::new();
        for row in table.rows() {
            if names.insert(row.field(on).to_owned(), row.field(key).to_owned()).is_some() {
                return Err(row.refuse(on, "a value that occurs once"));
            }
        }
        Ok(Self { file: file_name(&file.path), names })
    }

    /// The name of the file.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn get(&self, value: &str) -> Option<&str> {
        self.names.get(value).map(String::as_str)
    }
}

/// Parses a genotype from genes joined by `-` or from a cell of NAS-Bench-201.
///
/// # Errors
/// [`SpaceError::Notation`] when the text is neither a list of genes nor a cell.
///
/// # Example
/// ```
/// let genotype = kiln_hw_models::genotype("0-12-3")?;
/// assert_eq!(genotype.genes(), [0, 12, 3]);
/// # Ok::<(), kiln_space::SpaceError>(())
/// ```
pub fn genotype(text: &str) -> Result<Genotype, SpaceError> {
    if text.starts_with('|') {
        return NasBench201::genotype_from_arch(text);
    }
    let genes: Result<Vec<u8>, _> = text.split('-').map(str::parse).collect();
    genes.map(Genotype::new).map_err(|_| SpaceError::Notation {
        found: text.to_owned(),
        expected: "option indices joined by `-`, such as `0-2-1`, or a cell \
            `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`",
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
