//! The lines of one or more files with the same columns. Columns are found by name in each file.

use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};

use super::cells::{Cells, Met};
use super::columns::{self, Columns, Role};
use super::rows::File;
use super::settings::Wanted;
use super::text::{TableText, TextFormat, line_of};
use crate::data::input_file::{MAX_EXAMPLES, MAX_VALUES};
use crate::data::{DataError, ReadingRules};

/// The rows of all files that were read so far.
#[derive(Default)]
pub(super) struct Table {
    pub(super) cells: Vec<Cells>,
    pub(super) rows: usize,
    files: Vec<PathBuf>,
    format: TextFormat,
    /// Notes about the files, one sentence each.
    pub(super) notes: Vec<String>,
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

    /// Returns the line number of the first occurrence in `met`. It counts lines from the start of the file
    /// each time.
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
            .has_headers(wanted.has_header)
            .from_reader(text);
        let first = reader.headers().map_err(|error| file.refused(error, 0))?.clone();
        let names: Vec<String> = if wanted.has_header {
            first.iter().map(|name| name.trim().to_owned()).collect()
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
