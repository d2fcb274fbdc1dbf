//! A parsed TOML file that records the line of every key, so that later errors can name the line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use kiln_space::SettingsProblem;
use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Place};

/// Size limit of a config file.
const MAX_BYTES: u64 = 1 << 20;

/// A parsed TOML file: its values as plain data, and the line of every key.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    path: PathBuf,
    root: Map<String, Value>,
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, is too large, is not UTF-8, is not valid TOML, or contains
    /// a key twice.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ConfigError::TooLarge { path: path.to_owned(), max_bytes: MAX_BYTES });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            ConfigError::NotUtf8 { path: path.to_owned(), line: line_at(error.as_bytes(), byte), byte }
        })?;
        Self::parse(path, &text)
    }

    /// Parses `text`. Error messages name `path` as the file.
    ///
    /// # Errors
    /// The same as for [`Document::read`], except for errors of reading the file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let parsed = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line_start =
                text.as_bytes()[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |i| i + 1);
            ConfigError::Syntax {
                path: path.to_owned(),
                line: line_at(text.as_bytes(), at),
                column: String::from_utf8_lossy(&text.as_bytes()[line_start..at]).chars().count() + 1,
                error: Box::new(error),
            }
        })?;
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let mut reader = Reader { path, breaks, lines: BTreeMap::new() };
        let root = reader.table("", parsed.get_ref())?;
        Ok(Self { path: path.to_owned(), root, lines: reader.lines })
    }

    /// Returns the file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the values. Each TOML table is a JSON object.
    #[must_use]
    pub const fn root(&self) -> &Map<String, Value> {
        &self.root
    }

    /// Sets a value in a top-level table, and creates the table if it is missing.
    pub fn set(&mut self, table: &str, key: &str, value: Value) {
        let table = self.root.entry(table).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(table) = table {
            table.insert(key.to_owned(), value);
        }
    }

    /// Returns the place of a key. If the key's own line is unknown, the place has the line of the nearest
    /// enclosing table.
    ///
    /// List positions may be written as `stages.1` or `stages[1]`.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        let key = normalized(key);
        let mut around = key.as_str();
        let line = loop {
            if let Some(line) = self.lines.get(around) {
                break Some(*line);
            }
            match around.rsplit_once('.') {
                Some((table, _)) => around = table,
                None => break None,
            }
        };
        Place { path: self.path.clone(), line, key }
    }

    /// Formats the values as TOML without comments. In each table, plain values precede nested tables.
    ///
    /// # Panics
    /// If [`Document::set`] was called with a null, because TOML has no null.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.root).expect("values that came from TOML can be written as TOML")
    }
}

/// Turns `stages[1].kernel` into `stages.1.kernel`.
fn normalized(key: &str) -> String {
    key.replace('[', ".").replace(']', "").trim_matches('.').to_owned()
}

/// Returns the line, counted from 1, of the byte at `offset`.
fn line_at(text: &[u8], offset: usize) -> usize {
    text[..offset].split(|byte| *byte == b'\n').count()
}

struct Reader<'a> {
    path: &'a Path,
    /// Offsets of all line ends.
    breaks: Vec<usize>,
    lines: BTreeMap<String, usize>,
}

impl Reader<'_> {
    /// Returns the line, counted from 1, of the byte at `offset`.
    fn line(&self, offset: usize) -> usize {
        self.breaks.partition_point(|line_end| *line_end < offset) + 1
    }

    fn table(&mut self, at: &str, table: &DeTable<'_>) -> Result<Map<String, Value>, ConfigError> {
        let mut object = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
            self.lines.insert(path.clone(), self.line(key.span().start));
            object.insert(name.to_owned(), self.value(&path, value.get_ref(), value.span())?);
        }
        Ok(object)
    }

    fn value(&mut self, at: &str, value: &DeValue<'_>, span: Range<usize>) -> Result<Value, ConfigError> {
        let refuse = |found: String, expected: &str| {
            let line = Some(self.line(span.start));
            let place = Place { path: self.path.to_owned(), line, key: at.to_owned() };
            Err(ConfigError::Value {
                place,
                problem: Box::new(SettingsProblem::Value { found, expected: expected.to_owned() }),
                nearest: None,
            })
        };
        match value {
            DeValue::String(text) => Ok(Value::String(text.as_ref().to_owned())),
            DeValue::Boolean(flag) => Ok(Value::Bool(*flag)),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => Ok(Value::Number(integer.into())),
                Err(_) => refuse(format!("{integer}"), "a whole number of at most 64 bits"),
            },
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Ok(Value::Number(number)),
                None => refuse(format!("`{float}`"), "a finite number"),
            },
            DeValue::Datetime(datetime) => {
                refuse(format!("the date `{datetime}`"), "text, a number, a list or a table")
            }
            DeValue::Array(values) => {
                let mut list = Vec::with_capacity(values.len());
                for (index, value) in values.iter().enumerate() {
                    let path = format!("{at}.{index}");
                    self.lines.insert(path.clone(), self.line(value.span().start));
                    list.push(self.value(&path, value.get_ref(), value.span())?);
                }
                Ok(Value::Array(list))
            }
            DeValue::Table(table) => Ok(Value::Object(self.table(at, table)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[study]
name = \"a\"

[space]
stem = { width = [8,
  16] }
[[space.stages]]
width = 16
[[space.stages]]
width = 32
stride.first = 2
";

    fn parse(text: &str) -> Result<Document, ConfigError> {
        Document::parse(Path::new("a.toml"), text)
    }

    #[test]
    fn place_gives_line_of_every_key() {
        let document = parse(TEXT).unwrap();
        let line = |key: &str| document.place(key).line;
        assert_eq!(line("study.name"), Some(2));
        assert_eq!(line("space.stem.width"), Some(5));
        assert_eq!(line("space.stem.width[1]"), Some(6));
        assert_eq!(line("space.stages[0].width"), Some(8));
        assert_eq!(line("space.stages.1.width"), Some(10));
        assert_eq!(line("space.stages.1"), Some(9));
        assert_eq!(line("space.stages.1.stride.first"), Some(11));
    }

    #[test]
    fn place_of_missing_key_is_its_table() {
        let document = parse(TEXT).unwrap();
        assert_eq!(document.place("study.seed").line, Some(1));
        assert_eq!(document.place("space.stages.1.kernel").line, Some(9));
        assert_eq!(document.place("search.trials").line, None);
    }

    #[test]
    fn document_round_trips_through_toml() {
        let document = parse(TEXT).unwrap();
        let again = parse(&document.to_toml()).unwrap();
        assert_eq!(document.root(), again.root());
    }

    #[test]
    fn infinity_date_and_large_integer_are_refused() {
        let message = |text| parse(text).unwrap_err().to_string();
        assert_eq!(message("\na = inf"), "a.toml:2: `a`: found `inf`, expected a finite number");
        assert!(message("a = 1979-05-27").contains("found the date `1979-05-27`"));
        assert!(message("a = 99999999999999999999").contains("64 bits"));
    }
}
