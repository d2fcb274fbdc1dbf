//! Converts the columns of a table to network inputs. Means, frequencies and categories come from the
//! training split only.

use std::collections::BTreeMap;

use kiln_export::{InputKind, InputRecord};

use super::cells::{Cells, NO_NAME};
use super::columns::Role;
use super::settings::Missing;
use super::table::Table;
use crate::data::{NamesFrom, Opening, ReadingRules, offsets};

/// Lines per block of encoding.
const BLOCK: usize = 256;

/// Converts one column to inputs.
pub(super) struct Encoder<'a> {
    cells: &'a Cells,
    inputs: Vec<InputRecord>,
    /// For a categorical column, the input index of each category. The index is [`NO_NAME`] for a category
    /// that does not occur in the training split.
    places: Vec<u32>,
}

/// The inputs of a table and their values `[rows, inputs]`. Notes report lines with unseen categories.
pub(super) struct Encoded {
    pub(super) inputs: Vec<InputRecord>,
    pub(super) values: Vec<f32>,
    pub(super) notes: Vec<String>,
}

/// Encodes all features. Means, frequencies and categories come from the lines in `training`.
pub(super) fn encode(table: &Table, training: &[u32], missing: Missing, opening: &Opening<'_>) -> Encoded {
    let rules = opening.rules;
    let encoders: Vec<Encoder<'_>> =
        table.features().map(|cells| Encoder::new(cells, training, missing, opening)).collect();
    let mut inputs: Vec<InputRecord> = encoders.iter().flat_map(|encoder| encoder.inputs.clone()).collect();
    let width = inputs.len();
    let mut first = 0;
    for encoder in &encoders {
        if rules > ReadingRules::First {
            inputs[first].offset = encoder.offset(table.rows);
        }
        first += encoder.inputs.len();
    }
    let mut values = vec![0.0; table.rows.saturating_mul(width)];
    // Columns are written one by one, which is fast only while the lines of a block stay in the cache.
    for (block, lines) in values.chunks_mut(BLOCK * width).enumerate() {
        let mut first = 0;
        for encoder in &encoders {
            encoder.write(block * BLOCK, inputs[first].offset, &mut lines[first..], width);
            first += encoder.inputs.len();
        }
    }
    let notes = encoders.iter().filter_map(|encoder| encoder.unseen(table.rows)).collect();
    Encoded { inputs, values, notes }
}

impl<'a> Encoder<'a> {
    fn new(cells: &'a Cells, training: &[u32], missing: Missing, opening: &Opening<'_>) -> Self {
        if cells.column.role == Role::Category {
            Self::of_names(cells, training, opening)
        } else {
            Self::of_numbers(cells, training, missing)
        }
    }

    fn of_numbers(cells: &'a Cells, training: &[u32], missing: Missing) -> Self {
        let column = cells.column.name.clone();
        let has_gaps = cells.missing.count > 0;
        let known = training.iter().map(|row| cells.numbers[*row as usize]).filter(|value| !value.is_nan());
        let fill = match missing {
            Missing::MostFrequent => most_frequent(known),
            Missing::Mean | Missing::Refuse => mean(known),
        };
        let input = |name: String, kind| InputRecord { name, kind, unit: None, offset: 0.0 };
        let fill = has_gaps.then_some(fill);
        let mut inputs = vec![input(column.clone(), InputKind::Number { column: column.clone(), fill })];
        if has_gaps {
            inputs.push(input(format!("{column} is missing"), InputKind::Missing { column }));
        }
        Self { cells, inputs, places: Vec::new() }
    }

    fn of_names(cells: &'a Cells, training: &[u32], opening: &Opening<'_>) -> Self {
        let rules = opening.rules;
        let from_training = rules > ReadingRules::First && opening.names == NamesFrom::Training;
        let column = &cells.column.name;
        let (names, order) = cells.names.sorted(rules);
        let mut counts = vec![0_u64; names.len()];
        let known = training.iter().map(|row| cells.ids[*row as usize]).filter(|id| *id != NO_NAME);
        for id in known {
            counts[order[id as usize] as usize] += 1;
        }
        let has_gaps = cells.missing.count > 0;
        // `max_by_key` returns the last maximum, so iterate backwards to get the first of equally frequent
        // categories.
        let frequent = (0..names.len()).rev().max_by_key(|place| counts[*place]);
        let mut place_of = vec![NO_NAME; names.len()];
        let mut inputs = Vec::new();
        for (place, name) in names.iter().enumerate() {
            if counts[place] == 0 && from_training {
                continue;
            }
            place_of[place] = inputs.len() as u32;
            let fill = has_gaps && frequent == Some(place);
            let kind = InputKind::Category { column: column.clone(), category: name.clone(), fill };
            inputs.push(InputRecord { name: format!("{column}={name}"), kind, unit: None, offset: 0.0 });
        }
        if rules > ReadingRules::First {
            let kind = InputKind::Unseen { column: column.clone() };
            inputs.push(InputRecord { name: format!("{column} is unseen"), kind, unit: None, offset: 0.0 });
            if has_gaps {
                let kind = InputKind::Missing { column: column.clone() };
                inputs.push(InputRecord {
                    name: format!("{column} is missing"),
                    kind,
                    unit: None,
                    offset: 0.0,
                });
            }
        }
        let places = order.iter().map(|place| place_of[*place as usize]).collect();
        Self { cells, inputs, places }
    }

    /// The offset of the column's first input. Inputs that are 0 or 1 need no offset.
    fn offset(&self, rows: usize) -> f64 {
        match &self.inputs[0].kind {
            InputKind::Number { fill, .. } => offsets::of_column(rows, |row| self.number(row, *fill)),
            _ => 0.0,
        }
    }

    fn number(&self, row: usize, fill: Option<f64>) -> f64 {
        let number = self.cells.numbers[row];
        if number.is_nan() { fill.unwrap_or_default() } else { number }
    }

    /// Writes this column's inputs for the lines from `row` on. `values` contains zeros, `width` per line.
    fn write(&self, row: usize, offset: f64, values: &mut [f32], width: usize) {
        if let InputKind::Number { fill, .. } = &self.inputs[0].kind {
            for (row, inputs) in (row..).zip(values.chunks_mut(width)) {
                inputs[0] = (self.number(row, *fill) - offset) as f32;
                if self.inputs.len() > 1 {
                    inputs[1] = f32::from(u8::from(self.cells.numbers[row].is_nan()));
                }
            }
            return;
        }
        let sets = |wanted: fn(&InputKind) -> bool| {
            (0..self.inputs.len()).filter(|at| wanted(&self.inputs[*at].kind)).collect::<Vec<_>>()
        };
        let unseen = sets(|kind| matches!(kind, InputKind::Unseen { .. }));
        let missing =
            sets(|kind| matches!(kind, InputKind::Missing { .. } | InputKind::Category { fill: true, .. }));
        for (id, inputs) in self.cells.ids[row..].iter().zip(values.chunks_mut(width)) {
            let place = if *id == NO_NAME { NO_NAME } else { self.places[*id as usize] };
            let known = [place as usize];
            let set = match place {
                _ if *id == NO_NAME => missing.as_slice(),
                NO_NAME => unseen.as_slice(),
                _ => &known,
            };
            for at in set {
                inputs[*at] = 1.0;
            }
        }
    }

    /// Reports lines whose category does not occur in the training split.
    fn unseen(&self, rows: usize) -> Option<String> {
        let unseen = |id: &u32| *id != NO_NAME && self.places[*id as usize] == NO_NAME;
        let count = self.cells.ids.iter().filter(|id| unseen(id)).count();
        let has_input = self.inputs.iter().any(|input| matches!(input.kind, InputKind::Unseen { .. }));
        (count > 0 && has_input).then(|| {
            let name = &self.cells.column.name;
            format!(
                "column `{name}`: {count} of {rows} lines have a name that no training example has; they \
                 share one input"
            )
        })
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    // Sum differences from the first value, which avoids cancellation if the mean is far from zero.
    let (mut origin, mut sum, mut count) = (None, 0.0, 0_u64);
    for value in values {
        sum += value - *origin.get_or_insert(value);
        count += 1;
    }
    origin.unwrap_or_default() + sum / count.max(1) as f64
}

/// The most frequent value. If several are equally frequent, returns the smallest of them.
fn most_frequent(values: impl Iterator<Item = f64>) -> f64 {
    let mut counts: BTreeMap<u64, (u64, f64)> = BTreeMap::new();
    for value in values {
        // Maps the value to a key with the same order: flips all bits of a negative number, and only the sign
        // bit of another number.
        let bits = value.to_bits();
        let key = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        counts.entry(key).or_insert((0, value)).0 += 1;
    }
    let most = counts.values().map(|(count, _)| *count).max().unwrap_or_default();
    counts.values().find(|(count, _)| *count == most).map_or(0.0, |(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_is_exact_far_from_zero_and_most_frequent_prefers_smallest() {
        assert!((mean([1.7e9 + 0.25, 1.7e9 + 0.75].into_iter()) - 1.7e9 - 0.5).abs() < 1e-6);
        assert!((most_frequent([3.0, -1.0, 3.0, -1.0, 2.0].into_iter()) + 1.0).abs() < 1e-12);
    }
}
