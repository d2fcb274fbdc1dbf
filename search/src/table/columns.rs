//! Reads selected columns of a table, to join tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_files::LineCounter;
use kiln_space::SpaceError;

use super::error::TableError;
use super::read;

/// The rows of a CSV file by their key. The rows contain the fields of selected columns as text.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    path: PathBuf,
    header: Vec<String>,
    names: Vec<String>,
    rows: BTreeMap<String, (u64, Vec<String>)>,
}

impl Columns {
    /// Reads the columns whose names are `wanted`. The column `key` contains the keys of the rows.
    ///
    /// # Errors
    /// [`TableError`] for a file that cannot be read, for a missing key column, and for a key that occurs
    /// twice.
    pub(crate) fn read(path: &Path, key: &str, wanted: impl Fn(&str) -> bool) -> Result<Self, TableError> {
        let (bytes, _) = read::bytes(path)?;
        let csv = |error| read::refused(path, &bytes, error);
        let mut counter = LineCounter::new(bytes.as_slice());
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header: Vec<String> = reader.headers().map_err(csv)?.iter().map(str::to_owned).collect();
        let key_at = header.iter().position(|name| name == key);
        let key_at = key_at.ok_or_else(|| TableError::missing_column(path, key, &header))?;
        let places: Vec<usize> = (0..header.len()).filter(|at| wanted(&header[*at])).collect();
        let names = places.iter().map(|at| header[*at].clone()).collect();
        let mut rows: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
        for record in reader.records() {
            let record = record.map_err(csv)?;
            let line = read::line(&mut counter, record.position());
            let fields = places.iter().map(|at| record[*at].trim().to_owned()).collect();
            if let Some((first, _)) = rows.insert(record[key_at].to_owned(), (line, fields)) {
                let (path, entry) = (path.to_owned(), record[key_at].to_owned());
                return Err(TableError::Duplicate { path, line, entry, first });
            }
        }
        Ok(Self { path: path.to_owned(), header, names, rows })
    }

    /// Returns the names of the columns that were read, in the order of the file.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the names of all columns in the file.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// Returns the keys and fields of all rows, ordered by key.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.rows.iter().map(|(key, (_, fields))| (key.as_str(), fields.as_slice()))
    }

    /// Returns the index of a column among the columns that were read.
    ///
    /// # Errors
    /// [`TableError::MissingColumn`].
    pub(crate) fn position(&self, name: &str) -> Result<usize, TableError> {
        let found = self.names.iter().position(|known| known == name);
        found.ok_or_else(|| TableError::missing_column(&self.path, name, &self.header))
    }

    /// Returns the finite number in a row and column.
    ///
    /// # Errors
    /// [`TableError::MissingRow`] for a missing row, [`TableError::Number`] for a field that is not a finite
    /// number.
    pub(crate) fn number(&self, key: &str, column: usize) -> Result<f64, TableError> {
        let Some((line, fields)) = self.rows.get(key) else {
            return Err(TableError::MissingRow { path: self.path.clone(), key: key.to_owned() });
        };
        let found = &fields[column];
        found.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| TableError::Number {
            path: self.path.clone(),
            line: *line,
            column: self.names[column].clone(),
            found: found.clone(),
        })
    }

    /// Returns the error for a row whose key is not the name of an architecture.
    pub(crate) fn bad_key(&self, key: &str, found: &str, source: SpaceError) -> TableError {
        TableError::Key {
            path: self.path.clone(),
            line: self.rows.get(key).map_or(0, |(line, _)| *line),
            column: "arch".to_owned(),
            found: found.to_owned(),
            expected: "a cell like `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`",
            source: Some(Box::new(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_columns_rows_and_numbers_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            Columns::read(&path, "index", |name| name.starts_with('a'))
        };
        let message =
            |error: TableError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
        assert_eq!(message(read("a,b\n1,2\n").unwrap_err()), "t.csv: no column `index`; there are `a`, `b`");
        assert!(message(read("index,a\n1,2\n1,3\n").unwrap_err()).contains("stands on line 2 already"));
        let columns = read("index,ab,b,a\n7,1.5,x,\n").unwrap();
        assert_eq!(columns.names(), ["ab", "a"]);
        assert!((columns.number("7", 0).unwrap() - 1.5).abs() < 1e-12);
        assert_eq!(
            message(columns.number("7", 1).unwrap_err()),
            "t.csv:2: `a` is ``, expected a finite number"
        );
        assert_eq!(
            message(columns.number("8", 0).unwrap_err()),
            "t.csv: no row `8`, which the other table has"
        );
        assert!(message(columns.position("b").unwrap_err()).contains("no column `b`"));
    }
}
