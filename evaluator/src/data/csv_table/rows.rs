//! Splits the lines of a file into cells.

use std::path::Path;

use csv::{ErrorKind, Position, StringRecord};

use super::cell::Cell;
use super::cells::{Cells, MAX_CATEGORIES, Met, NO_NAME};
use super::columns::Role;
use super::settings::{TaskKind, Wanted};
use super::text::{MAX_RECORD, line_of};
use crate::data::input_file::{InputFile, MAX_CLASSES};
use crate::data::{DataError, ReadingRules};

/// The file being read.
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) number: usize,
    pub(super) wanted: &'a Wanted,
    pub(super) rules: ReadingRules,
    /// Bytes read since the last record.
    pub(super) since_record: &'a std::cell::Cell<u64>,
}

impl File<'_> {
    /// Appends the cells of a line to their columns.
    pub(super) fn append(&self, record: &StringRecord, cells: &mut [Cells]) -> Result<(), DataError> {
        for cells in cells {
            let text = record.get(cells.column.index).unwrap_or_default().trim();
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

    pub(super) fn place(&self, record: &StringRecord) -> String {
        format!("line {}", self.line(record))
    }

    /// Converts an error of the CSV reader. `start` is the offset of the record.
    pub(super) fn refused(&self, error: csv::Error, start: u64) -> DataError {
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
                if len == 1 { "1 column".to_owned() } else { format!("{len} columns") },
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
