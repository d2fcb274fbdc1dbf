//! The lines of one or more files with the same columns. Columns are found by name in each file.

use std::path::{Path, PathBuf};

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};

use super::cell::Cell;
use super::columns::{self, Column, Columns, Role};
use super::settings::{TaskKind, Wanted};
use super::text::{MAX_RECORD, TableText, TextFormat, line_of};
use crate::data::categories::Categories;
use crate::data::input_file::{InputFile, MAX_CLASSES, MAX_EXAMPLES, MAX_VALUES};
use crate::data::{DataError, ReadingRules};

/// Maximum number of categories in a feature.
pub(super) const MAX_CATEGORIES: usize = 1000;
/// Number of a missing category.
pub(super) const NO_NAME: u32 = u32::MAX;

/// The cells of one column.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) column: Column,
    /// Numbers, NaN if missing; empty for categorical columns.
    pub(super) numbers: Vec<f64>,
    /// Category numbers, [`NO_NAME`] if missing; empty for numeric columns.
    pub(super) ids: Vec<u32>,
    /// The categories of a categorical column, or the texts in a numeric column (up to a limit).
    pub(super) names: Categories,
    /// Missing cells.
    pub(super) missing: Met,
    /// Text cells in a numeric column.
    pub(super) texts: Met,
    /// The first text in a numeric column.
    pub(super) text: String,
}

/// Number of occurrences, and the place of the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) count: usize,
    file: usize,
    byte: u64,
}

/// The content of all files read so far.
#[derive(Default)]
pub(super) struct Table {
    pub(super) cells: Vec<Cells>,
    pub(super) rows: usize,
    files: Vec<PathBuf>,
    format: TextFormat,
    /// Remarks about the files, one sentence each.
    pub(super) notes: Vec<String>,
}

impl Cells {
    fn new(column: Column) -> Self {
        Self {
            column,
            numbers: Vec::new(),
            ids: Vec::new(),
            names: Categories::default(),
            missing: Met::default(),
            texts: Met::default(),
            text: String::new(),
        }
    }
}

impl Table {
    /// Columns with this role, in order.
    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &Cells> {
        self.cells.iter().filter(move |cells| cells.column.role == role)
    }

    /// Columns of network inputs, in order.
    pub(super) fn features(&self) -> impl Iterator<Item = &Cells> {
        self.cells.iter().filter(|cells| matches!(cells.column.role, Role::Number | Role::Category))
    }

    /// The first file.
    pub(super) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// The line of the first occurrence. It is counted on demand, from the start of the file.
    pub(super) fn line(&self, met: Met) -> u64 {
        self.files.get(met.file).map_or(0, |path| line_of(path, self.format, met.byte))
    }

    /// Appends the lines of a file.
    pub(super) fn read(
        &mut self,
        path: &Path,
        wanted: &Wanted,
        rules: ReadingRules,
    ) -> Result<(), DataError> {
        let (path, text) = TableText::open(path, wanted.text)?;
        let since_record = text.since_record();
        let file = File { path: &path, number: self.files.len(), wanted, rules, since_record: &since_record };
        if text.is_utf_16() {
            self.notes.push(format!("{}: the text is UTF-16", path.display()));
        }
        self.format = wanted.text;
        let mut reader = ReaderBuilder::new()
            .delimiter(wanted.separator)
            .quote(wanted.quote)
            .trim(Trim::All)
            .has_headers(wanted.has_header)
            .from_reader(text);
        let first = reader.headers().map_err(|error| file.refused(error, 0))?.clone();
        let names: Vec<String> = if wanted.has_header {
            first.iter().map(str::to_owned).collect()
        } else {
            (1..=first.len()).map(|number| number.to_string()).collect()
        };
        let found = columns::find(&path, &names, wanted)?;
        self.take_columns(found, &path)?;
        let before = self.rows;
        let mut record = StringRecord::new();
        loop {
            let start = reader.position().byte();
            since_record.set(0);
            if !reader.read_record(&mut record).map_err(|error| file.refused(error, start))? {
                break;
            }
            file.append(&record, &mut self.cells)?;
            self.rows += 1;
            if (self.rows as u64).saturating_mul(self.cells.len() as u64) > MAX_VALUES
                || self.rows as u64 > MAX_EXAMPLES
            {
                let expected = format!("at most {MAX_VALUES} values and {MAX_EXAMPLES} lines in all");
                return Err(DataError::content(&path, file.place(&record), "more lines", expected));
            }
        }
        if self.rows == before {
            let found = "the end of the file";
            return Err(DataError::content(&path, "line 2", found, "one example a line"));
        }
        self.files.push(path);
        Ok(())
    }

    /// The first file determines the columns and their order. Other files may have them in another order.
    fn take_columns(&mut self, found: Columns, path: &Path) -> Result<(), DataError> {
        if self.cells.is_empty() {
            self.cells = found.into_iter().map(Cells::new).collect();
            return Ok(());
        }
        for cells in &mut self.cells {
            let name = &cells.column.name;
            let same = found.iter().find(|column| column.name == *name && column.role == cells.column.role);
            let Some(same) = same else {
                let expected = "the columns of the first file";
                return Err(DataError::content(path, "line 1", format!("no column `{name}`"), expected));
            };
            cells.column.index = same.index;
        }
        if let Some(other) =
            found.iter().find(|column| !self.cells.iter().any(|c| c.column.name == column.name))
        {
            let found = format!("a column `{}`", other.name);
            return Err(DataError::content(path, "line 1", found, "only the columns of the first file"));
        }
        Ok(())
    }
}

/// The file being read.
struct File<'a> {
    path: &'a Path,
    number: usize,
    wanted: &'a Wanted,
    rules: ReadingRules,
    /// Bytes read since the last record.
    since_record: &'a std::cell::Cell<u64>,
}

impl File<'_> {
    fn append(&self, record: &StringRecord, cells: &mut [Cells]) -> Result<(), DataError> {
        for cells in cells {
            let text = record.get(cells.column.index).unwrap_or_default();
            match cells.column.role {
                Role::Category => self.append_name(text, record, cells, MAX_CATEGORIES)?,
                Role::Target if self.wanted.task == TaskKind::Classification => {
                    self.append_name(text, record, cells, MAX_CLASSES)?;
                }
                Role::Number | Role::Target => self.append_number(text, record, cells)?,
                Role::Division => self.append_name(text, record, cells, usize::MAX)?,
            }
        }
        Ok(())
    }

    fn append_number(&self, text: &str, record: &StringRecord, cells: &mut Cells) -> Result<(), DataError> {
        if self.rules == ReadingRules::First {
            let Some(value) = text.parse::<f32>().ok().filter(|value| value.is_finite()) else {
                return Err(self.unexpected(text, record, cells, "a finite number"));
            };
            cells.numbers.push(f64::from(value));
            return Ok(());
        }
        match self.wanted.cells.read(text) {
            Cell::Number(value) => cells.numbers.push(value),
            Cell::Missing if cells.column.role == Role::Target => {
                return Err(self.unexpected(
                    text,
                    record,
                    cells,
                    "a number, because training needs every target",
                ));
            }
            Cell::Text(_) if cells.column.role == Role::Target => {
                return Err(self.unexpected(text, record, cells, "a finite number"));
            }
            Cell::Missing => {
                self.count(&mut cells.missing, record);
                cells.numbers.push(f64::NAN);
            }
            Cell::Text(text) => {
                if cells.texts.count == 0 {
                    cells.text = shortened(text);
                }
                self.count(&mut cells.texts, record);
                if cells.names.len() <= MAX_CATEGORIES {
                    cells.names.add(text);
                }
                cells.numbers.push(f64::NAN);
            }
        }
        Ok(())
    }

    fn append_name(
        &self,
        text: &str,
        record: &StringRecord,
        cells: &mut Cells,
        most: usize,
    ) -> Result<(), DataError> {
        let is_first = self.rules == ReadingRules::First;
        if is_first && text.is_empty() {
            return Err(self.unexpected(text, record, cells, "a name"));
        }
        let is_feature = cells.column.role == Role::Category;
        // A class may be called `none`, so only an empty cell means a missing class.
        let is_missing = if is_feature { self.wanted.cells.is_missing(text) } else { text.is_empty() };
        if !is_first && is_missing {
            if cells.column.role == Role::Target {
                let expected = "the name of a class, because training needs every target";
                return Err(self.unexpected(text, record, cells, expected));
            }
            self.count(&mut cells.missing, record);
            cells.ids.push(NO_NAME);
            return Ok(());
        }
        cells.ids.push(cells.names.add(text));
        if cells.names.len() > most {
            let place = format!("{}, column `{}`", self.place(record), cells.column.name);
            let found = format!("more than {most} different names, such as `{}`", shortened(text));
            let expected =
                "fewer, as each is an input or a class of its own; leave the column out, or join names";
            return Err(DataError::content(self.path, place, found, expected));
        }
        Ok(())
    }

    fn count(&self, met: &mut Met, record: &StringRecord) {
        if met.count == 0 {
            met.file = self.number;
            met.byte = record.position().map_or(0, Position::byte);
        }
        met.count += 1;
    }

    fn unexpected(&self, text: &str, record: &StringRecord, cells: &Cells, expected: &str) -> DataError {
        let found = if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(text)) };
        let place = format!("{}, column `{}`", self.place(record), cells.column.name);
        DataError::content(self.path, place, found, expected)
    }

    fn line(&self, record: &StringRecord) -> u64 {
        record.position().map_or(0, |position| self.line_at(position))
    }

    fn line_at(&self, position: &Position) -> u64 {
        line_of(self.path, self.wanted.text, position.byte())
    }

    fn place(&self, record: &StringRecord) -> String {
        format!("line {}", self.line(record))
    }

    /// Converts an error of the CSV reader. `start` is the offset of the record.
    fn refused(&self, error: csv::Error, start: u64) -> DataError {
        let line = |position: &Option<Position>| {
            position.as_ref().map_or_else(|| "a line".to_owned(), |at| format!("line {}", self.line_at(at)))
        };
        match error.into_kind() {
            ErrorKind::Io(_) if self.since_record.get() > MAX_RECORD => {
                let place = format!("line {}", line_of(self.path, self.wanted.text, start));
                let found = format!("no end of the record within {MAX_RECORD} bytes");
                let expected =
                    "one example a line; the file may have no line ends, or a quote that is never closed";
                DataError::content(self.path, place, found, expected)
            }
            ErrorKind::Io(source) => InputFile::refused(self.path, source),
            ErrorKind::UnequalLengths { pos, expected_len, len } => DataError::content(
                self.path,
                line(&pos),
                format!("{len} columns"),
                format!("{expected_len} as in the first line"),
            ),
            ErrorKind::Utf8 { pos, err } => {
                let expected = "text in UTF-8 (or UTF-16 with its mark); for a file from Windows or old \
                    spreadsheets set `encoding = \"windows-1252\"` or `\"latin-1\"`";
                DataError::content(self.path, line(&pos), err.to_string(), expected)
            }
            other => DataError::content(self.path, "a line", format!("{other:?}"), "comma-separated values"),
        }
    }
}

/// The start of a long text.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        text.chars().take(40).chain("...".chars()).collect()
    }
}
