//! Checks the columns of a table. One error lists everything that the user must decide. Notes report what the
//! user should know.

use std::collections::BTreeMap;

use super::cells::{Cells, MAX_CATEGORIES, NO_NAME};
use super::columns::Role;
use super::settings::Missing;
use super::table::Table;
use super::times;
use crate::data::{DataError, Targets};

/// Minimum number of lines for guesses about a column.
const FEWEST_ROWS: usize = 20;
/// If the squared correlation with the target exceeds this limit, the column is the target in another unit.
/// The margin below 1 covers rounding to single precision.
const LINEAR: f64 = 1.0 - 1e-10;
/// Number of rows that are checked first. Often these rows already decide the result, so the other rows need
/// not be checked.
const FIRST_ROWS: usize = 2000;
/// Maximum number of columns in a message.
const NAMED: usize = 40;

/// Open decisions and notes.
#[derive(Default)]
struct Findings {
    /// Columns with open decisions, described for the error.
    open: Vec<String>,
    /// Columns to suggest for the settings `categorical` and `ignore`.
    categorical: Vec<String>,
    ignore: Vec<String>,
    /// Whether values are missing without a setting for them.
    gaps: bool,
    notes: Vec<String>,
}

/// Refuses a table with open decisions and lists all of them in one error. Returns notes.
pub(super) fn check(table: &Table, targets: &Targets, missing: Missing) -> Result<Vec<String>, DataError> {
    let mut findings = Findings::default();
    for cells in table.features() {
        findings.look(cells, table, missing);
        if !cells.column.is_stated && !cells.column.name.is_empty() {
            findings.look_for_leaks(cells, targets);
        }
    }
    if findings.open.is_empty() {
        return Ok(findings.notes);
    }
    Err(DataError::Decisions {
        path: table.path().to_owned(),
        columns: findings.open.len(),
        list: findings.list(),
        settings: findings.settings(),
    })
}

impl Findings {
    fn look(&mut self, cells: &Cells, table: &Table, missing: Missing) {
        let (column, rows) = (&cells.column, table.rows);
        let name = if column.name.is_empty() {
            format!("column {}", column.index + 1)
        } else {
            format!("`{}`", column.name)
        };
        let (gaps, texts) = (cells.missing.count, cells.texts.count);
        if gaps == rows {
            self.open.push(format!("{name} (it is empty)"));
            self.ignore.push(column.name.clone());
            return;
        }
        if column.name.is_empty() && !column.is_stated {
            self.open.push(format!("{name} (it has no name, as the index of a data frame)"));
            self.ignore.push(String::new());
            return;
        }
        if texts > 0 {
            let (count, line, example) = (cells.names.len(), table.line(cells.texts), &cells.text);
            if times::seconds(example).is_some() {
                self.open.push(format!("{name} (it holds times, such as `{example}`)"));
                self.ignore.push(column.name.clone());
            } else if count > MAX_CATEGORIES || (count == rows && rows >= FEWEST_ROWS) {
                self.open.push(format!(
                    "{name} (text that is different in almost every line, such as `{example}` in line {line})"
                ));
                self.ignore.push(column.name.clone());
            } else if 2 * texts > rows - gaps {
                self.open.push(format!("{name} (text, {count} different, such as `{example}`)"));
                self.categorical.push(column.name.clone());
            } else {
                let s = if texts == 1 { "" } else { "s" };
                self.open.push(format!(
                    "{name} (numbers, but {texts} text{s}, the first `{example}` in line {line}; if that \
                     means a missing value, add it to `missing_values`)"
                ));
            }
            return;
        }
        if column.role == Role::Category
            && cells.names.len() == rows
            && rows >= FEWEST_ROWS
            && !column.is_stated
        {
            self.open.push(format!("{name} (a name that is different in every line)"));
            self.ignore.push(column.name.clone());
            return;
        }
        if gaps > 0 && missing == Missing::Refuse {
            let line = table.line(cells.missing);
            self.open.push(format!("{name} ({gaps} missing, the first in line {line})"));
            self.gaps = true;
            return;
        }
        if column.role == Role::Number && !column.is_stated && rows >= FEWEST_ROWS {
            self.look_at_numbers(&name, &column.name, &cells.numbers);
        }
    }

    /// Adds a note if a column counts lines, identifies lines, or contains times.
    fn look_at_numbers(&mut self, shown: &str, name: &str, numbers: &[f64]) {
        let is_whole = numbers.iter().all(|value| value.fract() == 0.0);
        let steps =
            numbers.windows(2).all(|pair| (pair[1] - pair[0] - (numbers[1] - numbers[0])).abs() < 1e-9);
        let rises = is_whole && steps && numbers.len() > 1 && (numbers[1] - numbers[0]).abs() > 0.0;
        if rises {
            self.notes.push(format!(
                "column {shown} counts the lines; if it is not a property of the examples, leave it out: \
                 `ignore = [\"{name}\"]`"
            ));
        } else if is_whole && all_different(numbers) {
            self.notes.push(format!(
                "column {shown} holds a different whole number in every line, like an identifier; to leave \
                 it out: `ignore = [\"{name}\"]`"
            ));
        } else if is_time_stamp(numbers) {
            self.notes.push(format!(
                "column {shown} looks like a time stamp; to let the past train and the future test: \
                 `split = {{ time = \"{name}\" }}`"
            ));
        }
    }

    /// Adds a note if a column reveals the target. Such a column fulfills one of three conditions: each
    /// repeated value occurs with one class only, the classes occupy disjoint ranges of the column's values,
    /// or the target is a linear function of the column.
    fn look_for_leaks(&mut self, cells: &Cells, targets: &Targets) {
        let name = &cells.column.name;
        let is_category = cells.column.role == Role::Category;
        let (tells, what) = match targets {
            _ if targets.len() < FEWEST_ROWS => (false, ""),
            Targets::Classes { labels, .. } if is_category => {
                (tells_by_name(&cells.ids, labels, cells.names.len()), "the class")
            }
            Targets::Classes { labels, names } => {
                (tells_by_value(&cells.numbers, labels, names.len()), "the class")
            }
            Targets::Values { names, values, .. } if !is_category => {
                let quantity = |at: usize| values.iter().skip(at).step_by(names.len());
                ((0..names.len()).any(|at| is_linear(&cells.numbers, quantity(at))), "a target")
            }
            Targets::Values { .. } => (false, ""),
        };
        if tells {
            self.notes.push(format!(
                "column `{name}` alone determines {what}; if it is not known where the network is used, \
                 leave it out: `ignore = [\"{name}\"]`"
            ));
        }
    }

    fn list(&self) -> String {
        let named = self.open.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = self.open.len().saturating_sub(NAMED);
        if more > 0 { format!("{named} and {more} more") } else { named }
    }

    /// Suggested settings, ready to paste into the config.
    fn settings(&self) -> String {
        let list = |key: &str, names: &[String]| {
            let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            (!names.is_empty()).then(|| format!("{key} = [{}]", quoted.join(", ")))
        };
        let settings: Vec<String> = [
            list("categorical", &self.categorical),
            list("ignore", &self.ignore),
            self.gaps.then(|| "missing = \"mean\" (or \"most_frequent\")".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if settings.is_empty() {
            String::new()
        } else {
            format!("; settings that decide it: {}", settings.join(", "))
        }
    }
}

/// Whether all values are distinct. Most columns repeat a value among the first rows, so check these first.
fn all_different(numbers: &[f64]) -> bool {
    let differ = |numbers: &[f64]| {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.windows(2).all(|pair| pair[0].to_bits() != pair[1].to_bits())
    };
    differ(&numbers[..numbers.len().min(FIRST_ROWS)]) && differ(numbers)
}

/// Whether all values are plausible seconds or milliseconds since 1970, between 1990 and 2100.
fn is_time_stamp(numbers: &[f64]) -> bool {
    const RANGE: std::ops::Range<f64> = 631_152_000.0..4_102_444_800.0;
    [1.0, 1000.0].iter().any(|unit| numbers.iter().all(|value| RANGE.contains(&(value / unit))))
}

fn tells_by_name(ids: &[u32], labels: &[u32], names: usize) -> bool {
    let mut class: BTreeMap<u32, u32> = BTreeMap::new();
    let known = ids.iter().zip(labels).filter(|(id, _)| **id != NO_NAME);
    // Names that rarely repeat determine the class by chance.
    2 * names <= labels.len()
        && known.clone().all(|(id, label)| *class.entry(*id).or_insert(*label) == *label)
}

/// Whether the target is a linear function of the column, except for rounding.
fn is_linear<'a>(numbers: &[f64], target: impl Iterator<Item = &'a f32>) -> bool {
    let pairs: Vec<(f64, f64)> = numbers
        .iter()
        .copied()
        .zip(target.map(|value| f64::from(*value)))
        .filter(|(x, _)| !x.is_nan())
        .collect();
    let count = pairs.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for pair in &pairs {
        let (dx, dy) = (pair.0 - x, pair.1 - y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    xx > 0.0 && yy > 0.0 && xy * xy > LINEAR * xx * yy
}

/// Whether the classes occupy disjoint ranges of the values. In most columns the first rows already
/// contradict, so check these first.
fn tells_by_value(numbers: &[f64], labels: &[u32], classes: usize) -> bool {
    let first = numbers.len().min(FIRST_ROWS);
    lie_in_a_row(&numbers[..first], &labels[..first], classes) && lie_in_a_row(numbers, labels, classes)
}

fn lie_in_a_row(numbers: &[f64], labels: &[u32], classes: usize) -> bool {
    let mut pairs: Vec<(f64, u32)> = numbers.iter().copied().zip(labels.iter().copied()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let changes = pairs.windows(2).filter(|pair| pair[0].1 != pair[1].1);
    let (mut count, mut overlaps) = (0, false);
    for pair in changes {
        count += 1;
        overlaps |= pair[0].0.to_bits() == pair[1].0.to_bits();
    }
    !overlaps && classes > 1 && count < classes
}
