//! Reads a table and checks its size and content.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use csv::{ErrorKind, Position, StringRecord};
use flate2::read::MultiGzDecoder;
use kiln_files::LineCounter;
use kiln_space::Genotype;

use super::error::{CsvFault, TableError};
use super::settings::TableSettings;
use crate::trials::Measurement;

/// Maximum size of a table in bytes, packed and unpacked.
const LIMIT: u64 = 1 << 30;
/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Returns the unpacked content of a file, and the hash of the file.
pub(super) fn bytes(path: &Path) -> Result<(Vec<u8>, blake3::Hash), TableError> {
    let damaged = |source| TableError::Packed { path: path.to_owned(), source };
    let packed =
        kiln_files::read(path, LIMIT).map_err(|source| TableError::File { path: path.to_owned(), source })?;
    let hash = blake3::hash(&packed);
    let bytes = if packed.starts_with(&GZIP) {
        limited(path, MultiGzDecoder::new(packed.as_slice()), damaged)?
    } else {
        packed
    };
    Ok((bytes, hash))
}

fn limited(
    path: &Path,
    source: impl Read,
    failed: impl Fn(std::io::Error) -> TableError,
) -> Result<Vec<u8>, TableError> {
    let mut bytes = Vec::new();
    source.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(TableError::TooLarge { path: path.to_owned(), limit: LIMIT });
    }
    Ok(bytes)
}

/// Parses the entries of a table.
pub(super) fn rows(
    path: &Path,
    bytes: &[u8],
    settings: &TableSettings,
) -> Result<BTreeMap<Genotype, Measurement>, TableError> {
    let csv = |error| refused(path, bytes, error);
    let mut counter = LineCounter::new(bytes);
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(csv)?.clone();
    let key = column(path, &header, &settings.key)?;
    let signal = (settings.metric.as_str(), column(path, &header, &settings.signal)?);
    let mut metrics = vec![signal];
    for (metric, name) in &settings.report {
        metrics.push((metric, column(path, &header, name)?));
    }
    let mut rows = BTreeMap::new();
    let mut lines: BTreeMap<Genotype, u64> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(csv)?;
        let line = line(&mut counter, record.position());
        let genotype = settings.key_format.parse(&record[key]).map_err(|source| TableError::Key {
            path: path.to_owned(),
            line,
            column: settings.key.clone(),
            found: record[key].to_owned(),
            expected: settings.key_format.expected(),
            source: source.map(Box::new),
        })?;
        if let Some(first) = lines.insert(genotype.clone(), line) {
            return Err(TableError::Duplicate {
                path: path.to_owned(),
                line,
                entry: record[key].to_owned(),
                first,
            });
        }
        let mut values = BTreeMap::new();
        for &(metric, column) in &metrics {
            if let Some(value) = number(path, line, &header, &record, column)? {
                values.insert(metric.to_owned(), settings.direction.minimized(value));
            }
        }
        if values.contains_key(&settings.metric) {
            let measurement = Measurement::new(values).expect("only finite numbers are read");
            rows.insert(genotype, measurement);
        }
    }
    if rows.is_empty() {
        return Err(TableError::Empty { path: path.to_owned(), column: settings.signal.clone() });
    }
    Ok(rows)
}

/// Returns the line on which a record begins. Call this function for the records in their order.
pub(super) fn line(counter: &mut LineCounter<&[u8]>, position: Option<&Position>) -> u64 {
    counter.line_at(position.map_or(0, Position::byte)).expect("memory can be read")
}

/// Returns the error that states why the bytes are not a table, with the line number.
pub(super) fn refused(path: &Path, bytes: &[u8], error: csv::Error) -> TableError {
    let line = |position: Option<Position>| line(&mut LineCounter::new(bytes), position.as_ref());
    let fault = match error.into_kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            CsvFault::Fields { line: line(pos), found: len, expected: expected_len }
        }
        ErrorKind::Utf8 { pos, .. } => CsvFault::Utf8 { line: line(pos) },
        ErrorKind::Io(error) => CsvFault::Io(error),
        other => CsvFault::Other(other),
    };
    TableError::Csv { path: path.to_owned(), fault }
}

fn column(path: &Path, header: &StringRecord, name: &str) -> Result<usize, TableError> {
    header.iter().position(|known| known == name).ok_or_else(|| {
        let known: Vec<String> = header.iter().map(str::to_owned).collect();
        TableError::missing_column(path, name, &known)
    })
}

/// Parses a finite number. Returns `None` for an empty field.
fn number(
    path: &Path,
    line: u64,
    header: &StringRecord,
    record: &StringRecord,
    column: usize,
) -> Result<Option<f64>, TableError> {
    let text = record[column].trim();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(TableError::Number {
            path: path.to_owned(),
            line,
            column: header[column].to_owned(),
            found: text.to_owned(),
        }),
    }
}
