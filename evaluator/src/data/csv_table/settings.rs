//! The settings of a table in `[data]`.

use kiln_space::{Settings, SettingsError};
use serde::Deserialize;

use super::cell::CellFormat;
use super::escapes::Escapes;
use super::text::{Encoding, TextFormat};
use crate::data::Split;

/// The table `[data]` with `kind = "csv"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CsvSettings {
    /// File with a header line, plain or gzipped.
    pub(super) file: String,
    /// File of validation examples with the same columns.
    pub(super) validation_file: Option<String>,
    /// File of test examples with the same columns.
    pub(super) test_file: Option<String>,
    target: OneOrMany,
    #[serde(default)]
    pub(super) task: TaskKind,
    /// Columns that networks read. By default, these are all columns except the target.
    features: Option<Vec<String>>,
    /// Columns to skip.
    #[serde(default)]
    ignore: Vec<String>,
    /// Categorical features. Each category becomes an input that is 1 or 0.
    #[serde(default)]
    categorical: Vec<String>,
    /// Replacement for missing values.
    #[serde(default)]
    pub(super) missing: Missing,
    /// Further texts that mean a missing value.
    #[serde(default)]
    missing_values: Vec<String>,
    /// Column that determines the splits.
    #[serde(default)]
    split: DivisionSettings,
    /// Whether the first line contains column names. If it does not, columns are called `1`, `2` and so on.
    #[serde(default = "yes")]
    pub(super) header: bool,
    #[serde(default = "comma")]
    separator: char,
    /// Quote around cells that contain separators or line ends.
    #[serde(default = "double_quote")]
    quote: char,
    /// Character that escapes the next one, such as a quote. By default quotes are doubled instead.
    escape: Option<char>,
    #[serde(default = "point")]
    decimal: char,
    #[serde(default)]
    encoding: Encoding,
}

/// A setting that contains one name or a list of names.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "the name of a column, or a list of names")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Kind of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaskKind {
    /// A class name.
    #[default]
    Classification,
    /// Numbers.
    Regression,
}

/// Replacement for missing values of a feature. An additional input informs the network that the value was
/// missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// No replacement: tables with missing values are refused.
    #[default]
    Refuse,
    /// The mean over the training split. For categories, the most frequent category.
    Mean,
    /// The most frequent value of the training split.
    MostFrequent,
}

/// The column that determines the splits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DivisionSettings {
    /// Column with the split of each line (`train`, `validation` or `test`), or with its fold.
    column: Option<String>,
    /// Folds for validation. If `validation` or `test` is set, all other folds are for training.
    #[serde(default)]
    validation: Vec<Fold>,
    /// Folds for testing.
    #[serde(default)]
    test: Vec<Fold>,
    /// Column of groups. Lines of one group stay in one split.
    group: Option<String>,
    /// Column of times. Training gets the earliest lines, testing the latest.
    time: Option<String>,
}

/// A fold, identified by name or number.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a name or a whole number")]
enum Fold {
    Named(String),
    Counted(i64),
}

/// The column that determines the splits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum DivisionColumn {
    #[default]
    None,
    Split(SplitColumn),
    Group(String),
    Time(String),
}

/// A column with the split or the fold of each line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SplitColumn {
    name: String,
    /// Folds for validation. If both lists are empty, the column contains names of splits.
    validation: Vec<String>,
    test: Vec<String>,
}

impl SplitColumn {
    /// Returns the split that a cell of the column denotes. Returns `None` if the cell's text denotes no
    /// split.
    pub(super) fn split(&self, text: &str) -> Option<Split> {
        let is_in = |folds: &[String]| folds.iter().any(|fold| fold == text);
        match (is_in(&self.validation), is_in(&self.test)) {
            (true, _) => Some(Split::Validation),
            (false, true) => Some(Split::Test),
            (false, false) if self.validation.is_empty() && self.test.is_empty() => Split::named(text),
            (false, false) => Some(Split::Train),
        }
    }

    /// The folds in the settings.
    pub(super) fn folds(&self) -> impl Iterator<Item = &String> {
        self.validation.iter().chain(&self.test)
    }
}

/// The columns to read from each file, and the format of the file.
pub(super) struct Wanted {
    pub(super) targets: Vec<String>,
    pub(super) task: TaskKind,
    pub(super) features: Option<Vec<String>>,
    pub(super) ignore: Vec<String>,
    pub(super) categorical: Vec<String>,
    pub(super) division: DivisionColumn,
    pub(super) has_header: bool,
    pub(super) separator: u8,
    pub(super) quote: u8,
    pub(super) text: TextFormat,
    pub(super) cells: CellFormat,
}

const fn yes() -> bool {
    true
}
const fn comma() -> char {
    ','
}
const fn double_quote() -> char {
    '"'
}
const fn point() -> char {
    '.'
}

impl DivisionColumn {
    /// Returns the name of the column. Returns `None` if no column determines the splits.
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Split(column) => Some(&column.name),
            Self::Group(name) | Self::Time(name) => Some(name),
        }
    }
}

impl CsvSettings {
    /// The columns to read from each file, and the format of the file.
    ///
    /// # Errors
    /// [`SettingsError`] for contradicting settings.
    pub(super) fn wanted(&self, settings: &Settings) -> Result<Wanted, SettingsError> {
        let refuse = |key: &str, found: String, expected: &str| {
            Err(SettingsError::value(settings.key(key), found, expected))
        };
        let targets = match &self.target {
            OneOrMany::One(name) => vec![name.clone()],
            OneOrMany::Many(names) => names.clone(),
        };
        if targets.is_empty() || (self.task == TaskKind::Classification && targets.len() > 1) {
            let expected = "one column, or with `task = \"regression\"` at least one";
            return refuse("target", format!("{} columns", targets.len()), expected);
        }
        if !self.quote.is_ascii() || self.quote.is_ascii_alphanumeric() || "\n\r".contains(self.quote) {
            let expected = "one ASCII character that is neither a letter nor a digit, such as `\"` or `'`";
            return refuse("quote", format!("{:?}", self.quote), expected);
        }
        if let Some(escape) = self.escape
            && (!escape.is_ascii() || escape == self.quote || "\n\r".contains(escape))
        {
            let expected =
                "one ASCII character other than `quote`, such as `\\`; quotes that are doubled need none";
            return refuse("escape", format!("{escape:?}"), expected);
        }
        if !self.separator.is_ascii()
            || "\n\r".contains(self.separator)
            || self.separator == self.quote
            || self.escape == Some(self.separator)
        {
            let expected = "one ASCII character, such as `,`, `;` or a tab";
            return refuse("separator", format!("{:?}", self.separator), expected);
        }
        if !matches!(self.decimal, '.' | ',') || self.decimal == self.separator {
            let expected = "`.` or `,`, and not the separator of columns";
            return refuse("decimal", format!("{:?}", self.decimal), expected);
        }
        if self.features.is_some() && !self.ignore.is_empty() {
            return refuse(
                "ignore",
                "a list".to_owned(),
                "no such list beside `features`, which names all that are read",
            );
        }
        let DivisionSettings { column, validation, test, group, time } = &self.split;
        let texts = |folds: &[Fold]| -> Vec<String> {
            let text = |fold: &Fold| match fold {
                Fold::Named(name) => name.clone(),
                Fold::Counted(number) => number.to_string(),
            };
            folds.iter().map(text).collect()
        };
        let (validation, test) = (texts(validation), texts(test));
        if column.is_none() && !(validation.is_empty() && test.is_empty()) {
            return refuse(
                "split",
                "folds without a column".to_owned(),
                "`column`, which says the fold of each line",
            );
        }
        if let Some(fold) = validation.iter().find(|fold| test.contains(fold)) {
            return refuse("split", format!("`{fold}` for validation and testing"), "each fold in one split");
        }
        let division = match (column, group, time) {
            (None, None, None) => DivisionColumn::None,
            (Some(name), None, None) => {
                DivisionColumn::Split(SplitColumn { name: name.clone(), validation, test })
            }
            (None, Some(group), None) => DivisionColumn::Group(group.clone()),
            (None, None, Some(time)) => DivisionColumn::Time(time.clone()),
            _ => return refuse("split", "several of them".to_owned(), "one of `column`, `group` and `time`"),
        };
        Ok(Wanted {
            targets,
            task: self.task,
            features: self.features.clone(),
            ignore: self.ignore.clone(),
            categorical: self.categorical.clone(),
            division,
            has_header: self.header,
            separator: self.separator as u8,
            quote: self.quote as u8,
            text: TextFormat {
                encoding: self.encoding,
                escapes: self.escape.map(|escape| Escapes {
                    escape: escape as u8,
                    quote: self.quote as u8,
                    separator: self.separator as u8,
                }),
            },
            cells: CellFormat { decimal: self.decimal, missing: self.missing_values.clone() },
        })
    }
}
