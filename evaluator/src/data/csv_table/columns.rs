//! Which columns of a table are read, by their names in the header line.

use std::path::Path;

use super::TaskKind;
use crate::data::DataError;

/// Most columns of a table.
const MAX_COLUMNS: usize = 65_536;
/// Names of columns that an error lists.
const LISTED: usize = 12;

/// What the settings ask for.
pub(super) struct Wanted {
    pub(super) targets: Vec<String>,
    pub(super) task: TaskKind,
    pub(super) features: Option<Vec<String>>,
    pub(super) categorical: Vec<String>,
    pub(super) separator: u8,
}

/// A column that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Place in a line.
    pub(super) index: usize,
    /// Whether it holds names and not numbers.
    pub(super) is_categorical: bool,
}

/// The columns that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) features: Vec<Column>,
    pub(super) targets: Vec<Column>,
}

impl Columns {
    /// Finds the wanted columns in the header line of the file at `path`.
    pub(super) fn find(path: &Path, header: &csv::StringRecord, wanted: &Wanted) -> Result<Self, DataError> {
        if header.len() > MAX_COLUMNS {
            let expected = format!("at most {MAX_COLUMNS}");
            return Err(DataError::content(path, "line 1", format!("{} columns", header.len()), expected));
        }
        let names: Vec<&str> = header.iter().collect();
        let column = |name: &str, is_categorical: bool| {
            let mut places = names.iter().enumerate().filter(|(_, known)| **known == name);
            match (places.next(), places.next()) {
                (Some((index, _)), None) => Ok(Column { name: name.to_owned(), index, is_categorical }),
                (Some(_), Some(_)) => {
                    Err(DataError::content(path, "line 1", format!("two columns `{name}`"), "each name once"))
                }
                (None, _) => {
                    let more = if names.len() > LISTED { ", ..." } else { "" };
                    let known = names[..names.len().min(LISTED)].join("`, `");
                    Err(DataError::content(
                        path,
                        "line 1",
                        format!("no column `{name}`"),
                        format!("a header line with it; there are `{known}`{more}"),
                    ))
                }
            }
        };
        let is_class = wanted.task == TaskKind::Classification;
        let targets = wanted.targets.iter().map(|name| column(name, is_class)).collect::<Result<_, _>>()?;
        let features: Vec<&str> = match &wanted.features {
            Some(features) => features.iter().map(String::as_str).collect(),
            None => names
                .iter()
                .filter(|name| !wanted.targets.iter().any(|target| target == *name))
                .copied()
                .collect(),
        };
        if let Some(name) = wanted.categorical.iter().find(|name| !features.contains(&name.as_str())) {
            return Err(DataError::content(
                path,
                "line 1",
                format!("no feature `{name}`"),
                "a feature for each name in `categorical`",
            ));
        }
        if let Some(name) = features.iter().find(|name| wanted.targets.iter().any(|target| target == *name)) {
            return Err(DataError::content(
                path,
                "line 1",
                format!("`{name}` as feature and target"),
                "each column in one part",
            ));
        }
        let is_categorical = |name: &str| wanted.categorical.iter().any(|known| known == name);
        let features: Vec<Column> =
            features.iter().map(|name| column(name, is_categorical(name))).collect::<Result<_, _>>()?;
        if features.is_empty() {
            return Err(DataError::content(
                path,
                "line 1",
                "no column but the target",
                "at least one feature",
            ));
        }
        Ok(Self { features, targets })
    }
}
