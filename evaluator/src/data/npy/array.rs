//! An array of numbers or names with its shape.

use std::path::{Path, PathBuf};

use super::archive;
use super::header::{self, Element, Header};
use crate::data::DataError;
use crate::data::input_file::{InputFile, MAX_EXAMPLES, MAX_VALUES};

/// Bytes per read.
const CHUNK: usize = 1 << 20;

/// An array in row-major order with at least one axis, no empty axis, and finite numbers.
pub(super) struct Array {
    pub(super) path: PathBuf,
    pub(super) dimensions: Vec<usize>,
    pub(super) content: Content,
}

/// The elements of an array.
pub(super) enum Content {
    /// Numbers of a type that single precision represents exactly.
    Single(Vec<f32>),
    /// Numbers of a type that may need double precision.
    Double(Vec<f64>),
    /// Names.
    Text(Vec<String>),
}

impl Array {
    /// Reads the array that a setting names in a folder: a file, plain or gzipped, or an array in an archive.
    pub(super) fn read(folder: &Path, (key, setting): (&str, &str)) -> Result<Self, DataError> {
        let mut file = match archive::place(setting, key) {
            Some((file, name, is_stated)) => archive::open(&folder.join(file), name, is_stated)?,
            None => InputFile::open(&folder.join(setting))?,
        };
        let Header { element, is_fortran, shape: dimensions } = header::read(&mut file)?;
        let count = dimensions.iter().try_fold(1_u64, |count, size| count.checked_mul(*size as u64));
        let fits = |count: &u64| (1..=MAX_VALUES).contains(count);
        let Some(count) = count
            .filter(fits)
            .filter(|_| dimensions.first().is_some_and(|rows| *rows as u64 <= MAX_EXAMPLES))
        else {
            let expected = format!("1 to {MAX_VALUES} values in at most {MAX_EXAMPLES} rows");
            return Err(file.content("header", format!("shape {dimensions:?}"), expected));
        };
        let content = if element.is_text() {
            Content::Text(elements(&mut file, element, count, |bytes| {
                element
                    .text(bytes)
                    .ok_or_else(|| ("a name that is not text".to_owned(), "text in UTF-8 or UTF-32"))
            })?)
        } else if element.is_single() {
            Content::Single(elements(&mut file, element, count, |bytes| Ok(finite(element, bytes)? as f32))?)
        } else {
            Content::Double(elements(&mut file, element, count, |bytes| finite(element, bytes))?)
        };
        file.end()?;
        let content = if is_fortran { content.in_rows(&dimensions) } else { content };
        Ok(Self { path: file.path().to_owned(), dimensions, content })
    }

    /// Number of rows: the size of the first axis.
    pub(super) fn count(&self) -> usize {
        self.dimensions[0]
    }

    /// An error for an array that cannot be used.
    pub(super) fn refused(&self, place: &str, found: String, expected: impl Into<String>) -> DataError {
        DataError::content(&self.path, place, found, expected)
    }

    /// Refuses an array whose rows have a different shape than the rows of `other`.
    pub(super) fn check_like(&self, other: &Self) -> Result<(), DataError> {
        if self.dimensions[1..] == other.dimensions[1..] {
            return Ok(());
        }
        let expected = format!("rows of {:?} as in `{}`", &other.dimensions[1..], other.path.display());
        Err(self.refused("shape", format!("rows of {:?}", &self.dimensions[1..]), expected))
    }

    /// The numbers in double precision. Refuses names.
    pub(super) fn into_numbers(self) -> Result<Vec<f64>, DataError> {
        match self.content {
            Content::Single(values) => Ok(values.into_iter().map(f64::from).collect()),
            Content::Double(values) => Ok(values),
            Content::Text(_) => {
                Err(DataError::content(&self.path, "header", "names", "numbers; names can only be classes"))
            }
        }
    }
}

/// The actual and the expected value, for an error.
type Wrong = (String, &'static str);

fn finite(element: Element, bytes: &[u8]) -> Result<f64, Wrong> {
    let value = element.value(bytes);
    if (value as f32).is_finite() {
        return Ok(value);
    }
    Err((value.to_string(), "a finite number in single precision"))
}

/// Reads all elements in file order.
fn elements<T>(
    file: &mut InputFile,
    element: Element,
    count: u64,
    value: impl Fn(&[u8]) -> Result<T, Wrong>,
) -> Result<Vec<T>, DataError> {
    let mut values = Vec::new();
    let chunk = (CHUNK / element.size).max(1);
    while (values.len() as u64) < count {
        let wanted = (count - values.len() as u64).min(chunk as u64);
        let bytes = file.exactly(wanted * element.size as u64, "as many values as the header says")?;
        for bytes in bytes.chunks_exact(element.size) {
            match value(bytes) {
                Ok(value) => values.push(value),
                Err((found, expected)) => {
                    return Err(file.content(format!("element {}", values.len()), found, expected));
                }
            }
        }
    }
    Ok(values)
}

impl Content {
    /// Converts column-major to row-major order.
    fn in_rows(self, dimensions: &[usize]) -> Self {
        match self {
            Self::Single(values) => Self::Single(rows(&values, dimensions)),
            Self::Double(values) => Self::Double(rows(&values, dimensions)),
            Self::Text(values) => Self::Text(rows(&values, dimensions)),
        }
    }
}

fn rows<T: Clone>(columns: &[T], dimensions: &[usize]) -> Vec<T> {
    // The first axis varies fastest in the file.
    let mut steps = Vec::with_capacity(dimensions.len());
    let mut step = 1;
    for size in dimensions {
        steps.push(step);
        step *= size;
    }
    let mut place = vec![0; dimensions.len()];
    let mut values = Vec::with_capacity(columns.len());
    for _ in 0..columns.len() {
        let at: usize = place.iter().zip(&steps).map(|(at, step)| at * step).sum();
        values.push(columns[at].clone());
        for axis in (0..dimensions.len()).rev() {
            place[axis] += 1;
            if place[axis] < dimensions[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_converts_column_major_to_row_major() {
        // [[1, 2, 3], [4, 5, 6]] column after column.
        assert_eq!(rows(&[1, 4, 2, 5, 3, 6], &[2, 3]), [1, 2, 3, 4, 5, 6]);
        let cube: Vec<usize> = (0..24).collect();
        let found = rows(&cube, &[2, 3, 4]);
        assert_eq!(found[..5], [0, 6, 12, 18, 2], "the last axis varies fastest");
    }
}
