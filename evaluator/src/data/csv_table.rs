//! Tables of comma-separated values: one example a line, one column that networks learn to give, or several numbers.

mod categories;
mod columns;
mod rows;

use std::path::Path;

use kiln_space::{Settings, SettingsError, Shape};
use serde::Deserialize;

use self::rows::Rows;
use super::input_file::name_of;
use super::preparation::{FIFTH, Offer, Preparation};
use super::{DataError, DataSet, RawData};

/// Names of inputs that a card lists; of more, only the number.
const NAMED_INPUTS: usize = 64;

/// `[data]` with `kind = "csv"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvSettings {
    /// File with a header line, plain or gzipped.
    file: String,
    /// File of test examples with the same columns.
    test_file: Option<String>,
    target: OneOrMany,
    #[serde(default)]
    task: TaskKind,
    /// Columns that networks read; all but the target unless stated.
    features: Option<Vec<String>>,
    /// Those of them that hold names: each becomes one input for each name, 1 where it stands and 0 elsewhere.
    #[serde(default)]
    categorical: Vec<String>,
    #[serde(default = "comma")]
    separator: char,
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

const fn comma() -> char {
    ','
}

pub(super) fn open(settings: &Settings, folder: Option<&Path>) -> Result<DataSet, DataError> {
    let offer = Offer { test: true, augment: false, validation: FIFTH };
    let (read, mut preparation): (CsvSettings, _) = Preparation::read(settings, offer)?;
    match (&read.test_file, preparation.test) {
        (Some(_), Some(share)) => {
            let expected = "`test`, a share to hold out, or `test_file`, but not both";
            return Err(SettingsError::value(settings.key("test"), share, expected).into());
        }
        (Some(_), None) => {}
        (None, _) => preparation.hold_out(),
    }
    let targets = match read.target {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    };
    if targets.is_empty() || (read.task == TaskKind::Classification && targets.len() > 1) {
        let expected = "one column, or with `task = \"regression\"` at least one";
        let found = format!("{} columns", targets.len());
        return Err(SettingsError::value(settings.key("target"), found, expected).into());
    }
    if !read.separator.is_ascii() || "\"\n\r".contains(read.separator) {
        let expected = "one ASCII character, such as `,`, `;` or a tab";
        return Err(SettingsError::value(
            settings.key("separator"),
            format!("{:?}", read.separator),
            expected,
        )
        .into());
    }
    let wanted = columns::Wanted {
        targets,
        task: read.task,
        features: read.features,
        categorical: read.categorical,
        separator: read.separator as u8,
    };
    let folder = folder.ok_or(DataError::NoFolder { kind: "csv" })?;
    let path = folder.join(&read.file);
    let mut rows = Rows::default();
    rows.read(&path, &wanted)?;
    let given = rows.len();
    if let Some(file) = &read.test_file {
        rows.read(&folder.join(file), &wanted)?;
    }
    let test = rows.len() - given;
    let (inputs, examples, targets) = rows.finish(&path)?;
    let input = if inputs.len() > NAMED_INPUTS {
        format!("{} columns of {}", inputs.len(), read.file)
    } else {
        inputs.join(", ")
    };
    let shape = Shape::vector(inputs.len());
    let name = Path::new(&read.file)
        .file_name()
        .map_or_else(|| name_of(folder), |name| name.to_string_lossy().into());
    preparation.finish(RawData { name, input, shape, examples, targets, test })
}
