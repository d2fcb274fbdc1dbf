//! An array of numbers with its shape.

use std::path::{Path, PathBuf};

use super::header;
use crate::data::DataError;
use crate::data::input_file::{InputFile, MAX_EXAMPLES, MAX_VALUES};

/// Bytes that are read at one time.
const CHUNK: usize = 1 << 20;

/// Finite numbers, row-major, with at least one axis and no empty one.
pub(super) struct Array {
    pub(super) path: PathBuf,
    pub(super) dimensions: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Array {
    /// Reads a file, plain or gzipped.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let mut file = InputFile::open(path)?;
        let (element, dimensions) = header::read(&mut file)?;
        let count = dimensions.iter().try_fold(1_u64, |count, size| count.checked_mul(*size as u64));
        let fits = |count: &u64| (1..=MAX_VALUES).contains(count);
        let Some(count) = count
            .filter(fits)
            .filter(|_| dimensions.first().is_some_and(|rows| *rows as u64 <= MAX_EXAMPLES))
        else {
            let expected = format!("1 to {MAX_VALUES} values in at most {MAX_EXAMPLES} rows");
            return Err(file.content("header", format!("shape {dimensions:?}"), expected));
        };
        let mut values = Vec::new();
        let chunk = CHUNK / element.size;
        while (values.len() as u64) < count {
            let wanted = (count - values.len() as u64).min(chunk as u64);
            let bytes = file.exactly(wanted * element.size as u64, "as many values as the header says")?;
            for bytes in bytes.chunks_exact(element.size) {
                let value = element.value(bytes);
                if !value.is_finite() {
                    let place = format!("element {}", values.len());
                    return Err(file.content(
                        place,
                        value.to_string(),
                        "a finite number in single precision",
                    ));
                }
                values.push(value);
            }
        }
        file.end()?;
        Ok(Self { path: file.path().to_owned(), dimensions, values })
    }

    /// Rows: the size of the first axis.
    pub(super) fn count(&self) -> usize {
        self.dimensions[0]
    }

    /// The array cannot be used as it is.
    pub(super) fn refused(&self, place: &str, found: String, expected: impl Into<String>) -> DataError {
        DataError::content(&self.path, place, found, expected)
    }

    /// Refuses an array whose rows have another shape than `other`'s.
    pub(super) fn check_like(&self, other: &Self) -> Result<(), DataError> {
        if self.dimensions[1..] == other.dimensions[1..] {
            return Ok(());
        }
        let expected = format!("rows of {:?} as in `{}`", &other.dimensions[1..], other.path.display());
        Err(self.refused("shape", format!("rows of {:?}", &self.dimensions[1..]), expected))
    }
}
