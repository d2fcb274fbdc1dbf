//! Reads a CSV file with a header, plain or gzipped, up to size limits.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use csv::{ErrorKind, Position, StringRecord};
use flate2::read::MultiGzDecoder;
use kiln_files::{FileError, LineCounter};
use kiln_space::SpaceError;

use crate::{CsvProblem, HwError};

/// Maximum size of a file in bytes, before and after decompression.
const BYTES_MAX: u64 = 1 << 28;
/// Maximum number of lines, without the header.
const LINES_MAX: usize = 1 << 20;
/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A table in memory.
pub(crate) struct CsvFile {
    path: String,
    header: StringRecord,
    /// Records with their line numbers.
    records: Vec<(u64, StringRecord)>,
}

/// A record of a table.
pub(crate) struct Row<'a> {
    file: &'a CsvFile,
    line: u64,
    record: &'a StringRecord,
}

impl CsvFile {
    pub(crate) fn read(path: &Path) -> Result<Self, HwError> {
        let file = path.display().to_string();
        let packed = kiln_files::read(path, BYTES_MAX)
            .map_err(|error| HwError::ReadMeasurements { file: file.clone(), error: Arc::new(error) })?;
        let bytes = if packed.starts_with(&GZIP) {
            limited(path, MultiGzDecoder::new(packed.as_slice()))?
        } else {
            packed
        };
        let csv = |error| HwError::Csv { file: file.clone(), problem: Arc::new(problem(error, &bytes)) };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
        let header = reader.headers().map_err(csv)?.clone();
        let mut lines = LineCounter::new(bytes.as_slice());
        let mut records = Vec::new();
        for record in reader.records() {
            if records.len() == LINES_MAX {
                return Err(HwError::LargeMeasurements { file, what: "lines", limit: LINES_MAX as u64 });
            }
            let record = record.map_err(csv)?;
            let byte = record.position().map_or(0, Position::byte);
            records.push((lines.line_at(byte).expect("memory can be read"), record));
        }
        Ok(Self { path: file, header, records })
    }

    /// Returns the index of a column.
    pub(crate) fn column(&self, name: &str) -> Result<usize, HwError> {
        self.header.iter().position(|known| known == name).ok_or_else(|| HwError::MissingColumn {
            file: self.path.clone(),
            column: name.to_owned(),
            known: self.header.iter().map(str::to_owned).collect(),
        })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.records.iter().map(|(line, record)| Row { file: self, line: *line, record })
    }
}

impl<'a> Row<'a> {
    /// Returns the field in the column with this index.
    pub(crate) fn field(&self, column: usize) -> &'a str {
        &self.record[column]
    }

    /// Returns the line in the file, from 1.
    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    /// Returns the error for an invalid field.
    pub(crate) fn refuse(&self, column: usize, expected: impl Into<String>) -> HwError {
        HwError::Field {
            file: self.file.path.clone(),
            line: self.line(),
            column: self.file.header[column].to_owned(),
            found: self.field(column).to_owned(),
            expected: expected.into(),
        }
    }

    /// Returns the error for a field that does not name a network. `name` is the field's value, or the value
    /// that the key file maps it to.
    pub(crate) fn refuse_network(&self, column: usize, name: &str, source: SpaceError) -> HwError {
        HwError::Network {
            file: self.file.path.clone(),
            line: self.line(),
            column: self.file.header[column].to_owned(),
            found: name.to_owned(),
            source: Box::new(source),
        }
    }
}

/// Describes why the bytes are not a table, with the line.
fn problem(error: csv::Error, bytes: &[u8]) -> CsvProblem {
    let line = |position: &Option<Position>| {
        let byte = position.as_ref().map_or(0, Position::byte);
        LineCounter::new(bytes).line_at(byte).expect("memory can be read")
    };
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            CsvProblem::Fields { line: line(pos), found: *len, expected: *expected_len }
        }
        ErrorKind::Utf8 { pos, .. } => CsvProblem::NotText { line: line(pos) },
        _ => CsvProblem::Parser(error),
    }
}

/// Reads `source` to its end, up to the size limit. `source` decompresses the gzipped file at `path`.
fn limited(path: &Path, source: impl Read) -> Result<Vec<u8>, HwError> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    if let Err(source) = source.take(BYTES_MAX + 1).read_to_end(&mut bytes) {
        let error = FileError::Io { path: path.to_owned(), action: "unpack", source };
        return Err(HwError::ReadMeasurements { file, error: Arc::new(error) });
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(HwError::LargeMeasurements { file, what: "bytes", limit: BYTES_MAX });
    }
    Ok(bytes)
}
