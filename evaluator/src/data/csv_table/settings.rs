//! What `[data]` says of a table.

use kiln_space::{Settings, SettingsError};
use serde::Deserialize;

use super::cell::CellFormat;
use super::escapes::Escapes;
use super::text::{Encoding, TextFormat};
use crate::data::Split;

/// `[data]` with `kind = "csv"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CsvSettings {
    /// File with a header line, plain or gzipped.
    pub(super) file: String,
    /// File of examples that judge networks during the search, with the same columns.
    pub(super) validation_file: Option<String>,
    /// File of test examples with the same columns.
    pub(super) test_file: Option<String>,
    target: OneOrMany,
    #[serde(default)]
    pub(super) task: TaskKind,
    /// Columns that networks read; all but the target unless stated.
    features: Option<Vec<String>>,
    /// Columns that are not read.
    #[serde(default)]
    ignore: Vec<String>,
    /// Features that hold names: each becomes one input for each name, 1 where it stands and 0 elsewhere.
    #[serde(default)]
    categorical: Vec<String>,
    /// What stands in for a missing value.
    #[serde(default)]
    pub(super) missing: Missing,
    /// Texts that stand for a missing value besides the usual ones.
    #[serde(default)]
    missing_values: Vec<String>,
    /// Who is in which split.
    #[serde(default)]
    split: DivisionSettings,
    /// Whether the first line holds the names of the columns; without them they are called `1`, `2` and so
    /// on.
    #[serde(default = "yes")]
    pub(super) header: bool,
    #[serde(default = "comma")]
    separator: char,
    /// What stands around a cell that holds separators or line ends.
    #[serde(default = "double_quote")]
    quote: char,
    /// What stands before a letter that means itself, such as a quote; unless stated quotes are doubled.
    escape: Option<char>,
    #[serde(default = "point")]
    decimal: char,
    #[serde(default)]
    encoding: Encoding,
}

/// One name, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "the name of a column, or a list of names")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What the target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaskKind {
    /// A name of a class.
    #[default]
    Classification,
    /// Numbers.
    Regression,
}

/// What stands in for a missing value of a feature. The network is told by an input of its own that it was
/// missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// Nothing: tables with gaps are refused.
    #[default]
    Refuse,
    /// The mean over the training split; of names the most frequent one.
    Mean,
    /// The most frequent value of the training split.
    MostFrequent,
}

/// Which column decides who is in which split.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DivisionSettings {
    /// Column that names the split of each line: `train`, `validation` or `test`, or else a fold.
    column: Option<String>,
    /// Folds of that column that are the validation split; with `validation` or `test` all other folds train.
    #[serde(default)]
    validation: Vec<Fold>,
    /// Folds of that column that are the test split.
    #[serde(default)]
    test: Vec<Fold>,
    /// Column whose equal values are never on two sides.
    group: Option<String>,
    /// Column of times: the past trains, the future tests.
    time: Option<String>,
}

/// A part of a table, as a column names or counts it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a name or a whole number")]
enum Fold {
    Named(String),
    Counted(i64),
}

/// By which column lines are divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum DivisionColumn {
    #[default]
    None,
    Split(SplitColumn),
    Group(String),
    Time(String),
}

/// A column that says in which split a line is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SplitColumn {
    name: String,
    /// Folds that are a split; where there are none, the column names the splits.
    validation: Vec<String>,
    test: Vec<String>,
}

impl SplitColumn {
    /// The split of a line with this text in the column; `None` for a text that names none.
    pub(super) fn split(&self, text: &str) -> Option<Split> {
        let is_in = |folds: &[String]| folds.iter().any(|fold| fold == text);
        match (is_in(&self.validation), is_in(&self.test)) {
            (true, _) => Some(Split::Validation),
            (false, true) => Some(Split::Test),
            (false, false) if self.validation.is_empty() && self.test.is_empty() => Split::named(text),
            (false, false) => Some(Split::Train),
        }
    }

    /// Folds that the settings name.
    pub(super) fn folds(&self) -> impl Iterator<Item = &String> {
        self.validation.iter().chain(&self.test)
    }
}

/// What is asked of each file.
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
    /// Name of the column.
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Split(column) => Some(&column.name),
            Self::Group(name) | Self::Time(name) => Some(name),
        }
    }
}

impl CsvSettings {
    /// What is asked of each file.
    ///
    /// # Errors
    /// [`SettingsError`] for settings that contradict each other.
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
            let expected = "one ASCII character that is no letter and no digit, such as `\"` or `'`";
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
            let expected = "`.` or `,`, and not what separates the columns";
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
