//! Converts arrays of targets: labels, names, one-hot rows, or values.

use kiln_space::SettingsError;
use serde::Deserialize;

use super::array::{Array, Content};
use crate::data::categories::Categories;
use crate::data::input_file::MAX_CLASSES;
use crate::data::labels::{Labeled, classes, is_label};
use crate::data::{DataError, Opening, ReadingRules, Targets, offsets};

/// Kind of the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaskKind {
    /// Labels.
    #[default]
    Classification,
    /// Numbers.
    Regression,
}

/// Converts the concatenated arrays of targets. `names` contains the names of the classes or values. If it is
/// empty, numbers become the names.
pub(super) fn read(
    task: TaskKind,
    names: &[String],
    arrays: Vec<Array>,
    opening: &Opening<'_>,
) -> Result<Labeled, DataError> {
    match task {
        TaskKind::Regression => values(names, arrays, opening),
        TaskKind::Classification if arrays.iter().any(|array| matches!(array.content, Content::Text(_))) => {
            named(names, &arrays, opening)
        }
        TaskKind::Classification => numbered(names, arrays, opening),
    }
}

/// Refuses a list of names with the wrong length.
fn check_names(names: &[String], count: usize, opening: &Opening<'_>) -> Result<(), SettingsError> {
    if names.is_empty() || names.len() == count {
        return Ok(());
    }
    let expected = format!("{count} names, one for each class or value in the files");
    let settings = opening.settings;
    Err(SettingsError::value(settings.key("names"), format!("{} names", names.len()), &expected))
}

fn values(names: &[String], arrays: Vec<Array>, opening: &Opening<'_>) -> Result<Labeled, DataError> {
    let first = &arrays[0];
    let count = match first.dimensions.as_slice() {
        [_] => 1,
        [_, count] if *count <= MAX_CLASSES => *count,
        other => return Err(first.refused("shape", format!("{other:?}"), "`(n,)` or `(n, values)`")),
    };
    check_names(names, count, opening)?;
    let path = first.path.clone();
    let mut values = Vec::new();
    for array in arrays {
        values.extend(array.into_numbers()?);
    }
    let constant = |quantity: &usize| {
        values
            .iter()
            .skip(*quantity)
            .step_by(count)
            .all(|value| value.to_bits() == values[*quantity].to_bits())
    };
    if opening.rules > ReadingRules::First
        && let Some(quantity) = (0..count).find(constant)
    {
        let found = format!("{} in every row of column {quantity}", values[quantity]);
        let expected = "a target that varies; nothing can be learned from a constant";
        return Err(DataError::content(&path, "all elements", found, expected));
    }
    let (values, offsets) = offsets::to_single(&values, count, opening.rules);
    let names =
        if names.is_empty() { (0..count).map(|number| number.to_string()).collect() } else { names.to_vec() };
    Ok(Labeled { targets: Targets::Values { names, values, offsets }, notes: Vec::new() })
}

/// Whether the array has one entry per row.
fn is_column(array: &Array) -> bool {
    matches!(array.dimensions.as_slice(), [_] | [_, 1])
}

/// Each distinct name is a class.
fn named(names: &[String], arrays: &[Array], opening: &Opening<'_>) -> Result<Labeled, DataError> {
    let mut categories = Categories::default();
    let mut ids = Vec::new();
    let last = &arrays[arrays.len() - 1];
    for array in arrays {
        let Content::Text(texts) = &array.content else {
            return Err(array.refused("header", "numbers".to_owned(), "names, as in the other array"));
        };
        if !is_column(array) {
            return Err(array.refused("shape", format!("{:?}", array.dimensions), "`(n,)`: one name a row"));
        }
        ids.extend(texts.iter().map(|text| categories.add(text)));
    }
    let (found, places) = categories.sorted(opening.rules);
    if !(2..=MAX_CLASSES).contains(&found.len()) {
        let expected = format!("2 to {MAX_CLASSES} different names");
        return Err(last.refused("all elements", format!("{} of them", found.len()), expected));
    }
    if !names.is_empty() {
        let expected = "no such list: the array itself holds the names of the classes";
        let found = format!("{} names", names.len());
        return Err(SettingsError::value(opening.settings.key("names"), found, expected).into());
    }
    let labels = ids.into_iter().map(|id| places[id as usize]).collect();
    Ok(Labeled { targets: Targets::Classes { names: found, labels }, notes: Vec::new() })
}

/// Labels are whole numbers or one-hot rows.
fn numbered(names: &[String], arrays: Vec<Array>, opening: &Opening<'_>) -> Result<Labeled, DataError> {
    let mut labels = Vec::new();
    let (path, mut columns) = (arrays[0].path.clone(), None);
    for array in arrays {
        match array.dimensions.as_slice() {
            [_] | [_, 1] => labels.extend(of_column(array)?),
            [_, count] if opening.rules > ReadingRules::First && *count <= MAX_CLASSES => {
                columns = Some(*count);
                labels.extend(of_one_hot(array)?);
            }
            other => {
                let found = format!("{other:?}");
                let expected =
                    "`(n,)`: one label for each example, or `(n, classes)`: rows of one 1 among zeros";
                return Err(array.refused("shape", found, expected));
            }
        }
    }
    if labels.iter().all(|label| *label == labels[0]) {
        let found = format!("the label {} everywhere", labels[0]);
        return Err(DataError::content(&path, "all elements", found, "labels of at least two classes"));
    }
    if let Some(columns) = columns {
        // Every column is a class, even one that no row selects.
        check_names(names, columns, opening)?;
        let numbers = || (0..columns).map(|class| class.to_string()).collect();
        let names = if names.is_empty() { numbers() } else { names.to_vec() };
        return Ok(classes(labels, names, (opening.settings, "names"), opening.rules)?);
    }
    Ok(classes(labels, names.to_vec(), (opening.settings, "names"), opening.rules)?)
}

fn of_column(array: Array) -> Result<Vec<u32>, DataError> {
    let path = array.path.clone();
    let values = array.into_numbers()?;
    match values.iter().position(|value| !is_label(*value)) {
        None => Ok(values.into_iter().map(|value| value as u32).collect()),
        Some(index) => {
            let expected = format!("a label: a whole number from 0 to {}", MAX_CLASSES - 1);
            let found = values[index].to_string();
            Err(DataError::content(&path, format!("element {index}"), found, expected))
        }
    }
}

fn of_one_hot(array: Array) -> Result<Vec<u32>, DataError> {
    let (path, columns) = (array.path.clone(), array.dimensions[1]);
    let values = array.into_numbers()?;
    let label = |(row, values): (usize, &[f64])| {
        let is_one = |value: f64| value.to_bits() == 1_f64.to_bits();
        let ones: Vec<usize> = (0..columns).filter(|column| is_one(values[*column])).collect();
        let others = values.iter().filter(|value| **value != 0.0).count();
        match ones.as_slice() {
            [label] if others == 1 => Ok(*label as u32),
            _ => {
                let found = format!("{} ones and {} other numbers", ones.len(), others - ones.len());
                let expected = "one 1 among zeros; of scores make labels with `argmax(axis=1)`";
                Err(DataError::content(&path, format!("row {row}"), found, expected))
            }
        }
    };
    values.chunks_exact(columns).enumerate().map(label).collect()
}
