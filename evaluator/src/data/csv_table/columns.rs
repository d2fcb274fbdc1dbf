//! Selects the columns of a table by their names in the header.

use std::path::Path;

use super::settings::Wanted;
use crate::data::DataError;

/// Maximum number of columns.
const MAX_COLUMNS: usize = 65_536;
/// Maximum number of column names in an error.
const LISTED: usize = 12;

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Numeric network input.
    Number,
    /// Categorical network input.
    Category,
    /// Target of the network.
    Target,
    /// Determines the splits.
    Division,
}

/// A selected column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Position in a line.
    pub(super) index: usize,
    pub(super) role: Role,
    /// Whether the settings name it as a feature.
    pub(super) is_stated: bool,
}

/// The selected columns, features first, in the order of the network inputs.
pub(super) type Columns = Vec<Column>;

/// Finds the wanted columns among the column names of the file at `path`.
pub(super) fn find(path: &Path, names: &[String], wanted: &Wanted) -> Result<Columns, DataError> {
    let refuse = |found: String, expected: &str| Err(DataError::content(path, "line 1", found, expected));
    if names.len() > MAX_COLUMNS {
        return refuse(format!("{} columns", names.len()), &format!("at most {MAX_COLUMNS}"));
    }
    let place = |name: &str| {
        let mut places = names.iter().enumerate().filter(|(_, known)| *known == name);
        match (places.next(), places.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => {
                Err(DataError::content(path, "line 1", format!("two columns `{name}`"), "each name once"))
            }
            (None, _) => {
                let more = if names.len() > LISTED { ", ..." } else { "" };
                let known = names[..names.len().min(LISTED)].join("`, `");
                let is_data = wanted.has_header && names.iter().all(|name| name.parse::<f64>().is_ok());
                let hint = if is_data {
                    ", which are numbers: for a file without a header line set `header = false`, and refer \
                     to columns as \"1\", \"2\" and so on"
                } else {
                    ""
                };
                let expected = format!("a header line with it; there are `{known}`{more}{hint}");
                Err(DataError::content(path, "line 1", format!("no column `{name}`"), expected))
            }
        }
    };
    let is_target = |name: &str| wanted.targets.iter().any(|target| target == name);
    let is_ignored = |name: &str| wanted.ignore.iter().any(|ignored| ignored == name);
    let divides = |name: &str| wanted.division.column() == Some(name);
    for name in wanted.targets.iter().map(String::as_str).chain(wanted.division.column()) {
        place(name)?;
    }
    // An empty name in `ignore` ignores all columns without a name, so it need not be unique.
    for name in wanted.ignore.iter().filter(|name| !names.contains(name)) {
        place(name)?;
    }
    let features: Vec<(usize, &str, bool)> = match &wanted.features {
        Some(features) => features
            .iter()
            .map(|name| Ok((place(name)?, name.as_str(), true)))
            .collect::<Result<_, DataError>>()?,
        None => names
            .iter()
            .enumerate()
            .map(|(index, name)| (index, name.as_str(), false))
            .filter(|(_, name, _)| !is_target(name) && !is_ignored(name) && !divides(name))
            .collect(),
    };
    if let Some(name) =
        wanted.categorical.iter().find(|name| !features.iter().any(|(_, known, _)| known == name))
    {
        return refuse(format!("no feature `{name}`"), "a feature for each name in `categorical`");
    }
    if let Some((_, name, _)) = features.iter().find(|(_, name, _)| is_target(name)) {
        return refuse(format!("`{name}` as feature and target"), "each column in one part");
    }
    if features.is_empty() {
        return refuse("no column but the target".to_owned(), "at least one feature");
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some((_, name, _)) = features.iter().find(|(_, name, _)| !name.is_empty() && !seen.insert(*name)) {
        return refuse(format!("two columns `{name}`"), "each name once");
    }
    let mut columns: Columns = features
        .into_iter()
        .map(|(index, name, is_stated)| {
            let is_category = wanted.categorical.iter().any(|known| known == name);
            let role = if is_category { Role::Category } else { Role::Number };
            Column { name: name.to_owned(), index, role, is_stated }
        })
        .collect();
    let others = wanted.targets.iter().map(|name| (name.as_str(), Role::Target));
    for (name, role) in others.chain(wanted.division.column().map(|name| (name, Role::Division))) {
        columns.push(Column { name: name.to_owned(), index: place(name)?, role, is_stated: true });
    }
    Ok(columns)
}
