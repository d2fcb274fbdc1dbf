//! Tables of measured latencies, read into networks.

mod csv_file;
mod repeats;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_space::spaces::NasBench201;
use kiln_space::{Genotype, SearchSpace, SpaceError};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use self::csv_file::CsvFile;
use self::repeats::Pool;
pub use self::repeats::Repeats;
use crate::{HwError, Measured};

/// How a number that means "not measured" is written in published tables, where the field is not just empty.
const NOT_MEASURED: f64 = -1.0;

/// Unit of a column of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyUnit {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
}

/// A second file, that says which network a row of the measurements stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// CSV file, plain or gzipped, with the column that names networks.
    pub path: PathBuf,
    /// Column that both files have.
    pub on: String,
}

/// A CSV file of measurements, plain or gzipped, and which of its columns mean what.
///
/// Networks are named by their genes joined by `-`, or by a cell of NAS-Bench-201 as its tables write it
/// (`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`). A latency that is empty or -1 was not measured: the row is
/// counted and left out. Rows that name the same genotype are repeated measurements of one network, which
/// counts once, with their median.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementFile {
    /// The file.
    pub path: PathBuf,
    /// Column that names networks.
    pub key: String,
    /// Where `key` is, when it is no column of the file itself.
    pub key_file: Option<KeyFile>,
    /// Column of the latencies.
    pub latency_column: String,
    /// Their unit.
    pub unit: LatencyUnit,
}

/// Measured networks of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurements {
    /// Networks with a latency, in the order in which the file first measures them.
    pub measured: Vec<Measured>,
    /// Rows without a latency.
    pub not_measured: usize,
    /// Networks that were measured more than once, if there are any.
    pub repeats: Option<Repeats>,
}

impl LatencyUnit {
    const fn us(self) -> f64 {
        match self {
            Self::Us => 1.0,
            Self::Ms => 1e3,
        }
    }
}

impl MeasurementFile {
    /// Reads the measurements of networks of a space.
    ///
    /// # Errors
    /// [`HwError`] naming file, and line and column where it is a field: a latency that is no positive number, a key that is no
    /// network of the space, a row that the key file does not know.
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
                return Err(row.refuse(latency, "a number above 0, or -1 or nothing where none was measured"));
            }
            let name = match &named {
                None => field,
                Some(names) => names
                    .get(field)
                    .ok_or_else(|| row.refuse(key, format!("one that stands in {}", names.file)))?,
            };
            let genotype = genotype(name).map_err(|source| row.refuse_network(key, name, source))?;
            pool.add(genotype, latency_us, |genotype| {
                space.decode(genotype).map_err(|source| row.refuse_network(key, name, source))
            })?;
        }
        let repeats = pool.repeats();
        Ok(Measurements { measured: pool.measured(), not_measured, repeats })
    }

    /// The name of the file, without its folder.
    #[must_use]
    pub fn name(&self) -> String {
        file_name(&self.path)
    }
}

impl Measurements {
    /// Draws `count` networks (all, if there are fewer), every one as likely; the others come second. Both keep their order.
    #[must_use]
    pub fn draw(self, count: usize, seed: u64) -> (Vec<Measured>, Vec<Measured>) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut left = self.measured.len();
        let mut wanted = count.min(left);
        self.measured.into_iter().partition(|_| {
            // Selection sampling: each is taken with the share of those still wanted among those left.
            let taken = rng.random_range(0..left) < wanted;
            left -= 1;
            wanted -= usize::from(taken);
            taken
        })
    }
}

/// The names of networks by a column that another file has too.
struct Names {
    file: String,
    names: BTreeMap<String, String>,
}

impl Names {
    fn read(file: &KeyFile, key: &str) -> Result<Self, HwError> {
        let table = CsvFile::read(&file.path)?;
        let (on, key) = (table.column(&file.on)?, table.column(key)?);
        let mut names = BTreeMap::new();
        for row in table.rows() {
            if names.insert(row.field(on).to_owned(), row.field(key).to_owned()).is_some() {
                return Err(row.refuse(on, "a value that stands there once"));
            }
        }
        Ok(Self { file: file_name(&file.path), names })
    }

    fn get(&self, value: &str) -> Option<&str> {
        self.names.get(value).map(String::as_str)
    }
}

/// The genotype that a text names: genes joined by `-`, or a cell of NAS-Bench-201.
///
/// # Errors
/// [`SpaceError::Notation`] when it is neither.
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
        expected: "option indices joined by `-`, such as `0-2-1`, or a cell `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`",
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
