//! The lines of a table, as numbers: names are numbered when they are first seen and put in order at the end.

use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::categories::Categories;
use super::columns::{Column, Columns, Wanted};
use crate::data::input_file::{InputFile, MAX_CLASSES, MAX_EXAMPLES, MAX_VALUES};
use crate::data::{DataError, Targets};

/// Most names in a column of features.
const MAX_CATEGORIES: usize = 1000;

/// What was read of one or two files with the same columns. The second may hold no names that the first has not.
#[derive(Default)]
pub(super) struct Rows {
    columns: Columns,
    features: Cells,
    targets: Cells,
    files: usize,
}

/// Some columns of all rows.
#[derive(Default)]
struct Cells {
    /// Names in each column, as far as it holds any.
    categories: Vec<Categories>,
    /// `[rows, columns]`: a number, or that of a name.
    values: Vec<f32>,
}

impl Rows {
    /// Lines read so far.
    pub(super) fn len(&self) -> usize {
        self.targets.values.len() / self.columns.targets.len().max(1)
    }

    /// Reads a file; the first one decides which names there are.
    pub(super) fn read(&mut self, path: &Path, wanted: &Wanted) -> Result<(), DataError> {
        let (path, text) = InputFile::open(path)?.into_text();
        let mut reader = ReaderBuilder::new().delimiter(wanted.separator).trim(Trim::All).from_reader(text);
        let header = reader.headers().map_err(|error| refused(&path, error))?.clone();
        self.columns = Columns::find(&path, &header, wanted)?;
        self.features.categories.resize(self.columns.features.len(), Categories::default());
        self.targets.categories.resize(self.columns.targets.len(), Categories::default());
        let before = self.len();
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| refused(&path, error))? {
            let line = record.position().map_or(0, csv::Position::line);
            let row = Row { path: &path, line, record: &record, may_add: self.files == 0 };
            row.append(&self.columns.features, &mut self.features, MAX_CATEGORIES)?;
            row.append(&self.columns.targets, &mut self.targets, MAX_CLASSES)?;
            let values = (self.features.values.len() + self.targets.values.len()) as u64;
            if values > MAX_VALUES || self.len() as u64 > MAX_EXAMPLES {
                let expected = format!("at most {MAX_VALUES} values and {MAX_EXAMPLES} lines in all");
                return Err(DataError::content(&path, format!("line {line}"), "more lines", expected));
            }
        }
        self.files += 1;
        if self.len() == before {
            return Err(DataError::content(&path, "line 2", "the end of the file", "one example a line"));
        }
        Ok(())
    }

    /// Names of the inputs, their values `[rows, inputs]`, and the targets.
    pub(super) fn finish(self, path: &Path) -> Result<(Vec<String>, Vec<f32>, Targets), DataError> {
        let rows = self.len();
        let Columns { features, targets } = self.columns;
        let (names, values) = expand(path, rows, &features, &self.features)?;
        let target = if let [Column { is_categorical: true, name, .. }] = targets.as_slice() {
            let (names, places) = self.targets.categories[0].sorted();
            if names.len() < 2 {
                let found = format!("one class `{}` in column `{name}`", names.join(""));
                return Err(DataError::content(path, "all lines", found, "at least two classes"));
            }
            Targets::Classes {
                names,
                labels: self.targets.values.iter().map(|id| places[*id as usize]).collect(),
            }
        } else {
            Targets::Values {
                names: targets.into_iter().map(|column| column.name).collect(),
                values: self.targets.values,
            }
        };
        Ok((names, values, target))
    }
}

/// One line of a file.
struct Row<'a> {
    path: &'a Path,
    line: u64,
    record: &'a StringRecord,
    may_add: bool,
}

impl Row<'_> {
    fn append(&self, columns: &[Column], cells: &mut Cells, most: usize) -> Result<(), DataError> {
        for (column, categories) in columns.iter().zip(&mut cells.categories) {
            let text = self.record.get(column.index).unwrap_or_default();
            let refuse = |expected: String| {
                let found =
                    if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(text)) };
                let place = format!("line {}, column `{}`", self.line, column.name);
                Err(DataError::content(self.path, place, found, expected))
            };
            let value = if !column.is_categorical {
                match text.parse::<f32>() {
                    Ok(value) if value.is_finite() => value,
                    _ => return refuse("a finite number".to_owned()),
                }
            } else if text.is_empty() {
                return refuse("a name".to_owned());
            } else if self.may_add {
                let id = categories.add(text);
                if categories.len() > most {
                    return refuse(format!("at most {most} different names in the column"));
                }
                id as f32
            } else {
                match categories.get(text) {
                    Some(id) => id as f32,
                    None => return refuse("a name that the training file has in this column".to_owned()),
                }
            };
            cells.values.push(value);
        }
        Ok(())
    }
}

/// Inputs by name, each name of a categorical column as one of its own, and their values `[rows, inputs]`.
fn expand(
    path: &Path,
    rows: usize,
    columns: &[Column],
    cells: &Cells,
) -> Result<(Vec<String>, Vec<f32>), DataError> {
    let sorted: Vec<Option<(Vec<String>, Vec<u32>)>> = columns
        .iter()
        .zip(&cells.categories)
        .map(|(column, categories)| column.is_categorical.then(|| categories.sorted()))
        .collect();
    let mut names = Vec::new();
    for (column, sorted) in columns.iter().zip(&sorted) {
        match sorted {
            None => names.push(column.name.clone()),
            Some((values, _)) => names.extend(values.iter().map(|value| format!("{}={value}", column.name))),
        }
    }
    if (rows * names.len()) as u64 > MAX_VALUES {
        let found = format!("{rows} lines of {} inputs", names.len());
        return Err(DataError::content(
            path,
            "all lines",
            found,
            format!("at most {MAX_VALUES} values in all"),
        ));
    }
    let mut values = Vec::with_capacity(rows * names.len());
    for row in cells.values.chunks_exact(columns.len()) {
        for (value, sorted) in row.iter().zip(&sorted) {
            match sorted {
                None => values.push(*value),
                Some((_, places)) => {
                    let place = places[*value as usize];
                    values.extend((0..places.len() as u32).map(|other| f32::from(u8::from(other == place))));
                }
            }
        }
    }
    Ok((names, values))
}

/// The start of a text that may be long.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        text.chars().take(40).chain("...".chars()).collect()
    }
}

/// What the reader of lines refuses, with its place.
fn refused(path: &Path, error: csv::Error) -> DataError {
    let line = |position: &Option<csv::Position>| {
        position.as_ref().map_or_else(|| "a line".to_owned(), |position| format!("line {}", position.line()))
    };
    match error.into_kind() {
        ErrorKind::Io(source) => InputFile::refused(path, source),
        ErrorKind::UnequalLengths { pos, expected_len, len } => DataError::content(
            path,
            line(&pos),
            format!("{len} columns"),
            format!("{expected_len} as in the header line"),
        ),
        ErrorKind::Utf8 { pos, err } => {
            DataError::content(path, line(&pos), err.to_string(), "text in UTF-8")
        }
        other => DataError::content(path, "a line", format!("{other:?}"), "comma-separated values"),
    }
}
