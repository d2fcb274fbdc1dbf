//! Tables of comma-separated values. Each line is an example. The target is one column, or several numeric
//! columns.

mod cell;
mod cells;
mod columns;
mod decisions;
mod encoding;
mod escapes;
mod letters;
mod new_lines;
mod rows;
mod settings;
mod table;
mod text;
mod times;

use std::path::Path;

use kiln_space::{SettingsError, Shape};

use self::cells::{Cells, NO_NAME};
use self::columns::Role;
use self::encoding::{Encoded, encode};
pub(super) use self::new_lines::read_new;
use self::settings::{CsvSettings, DivisionColumn, TaskKind, Wanted};
use self::table::Table;
use super::input_file::{MAX_VALUES, name_of};
use super::preparation::{self, FIFTH, Offer, Preparation};
use super::{
    DataError, DataPart, DataSample, DataSet, Division, Given, Opening, RawData, ReadingRules, Split,
    Targets, offsets,
};

/// Maximum number of inputs that the description lists by name.
const NAMED_INPUTS: usize = 64;

/// The registry entry of this kind of data set.
pub(super) const PART: DataPart = DataPart::new("a table of comma-separated values", open)
    .with_keys(&[preparation::KEYS, preparation::TEST_KEYS, KEYS])
    .tested_with(DataSample {
        settings: r#"{ "file": "flowers.csv", "target": "kind", "categorical": ["color"] }"#,
        files: sample,
    });

/// Schema of the settings that only this kind of data set has.
const KEYS: &str = include_str!("csv_table/keys.toml");

/// Returns the files of a small data set, with which tests check the laws of data sets.
fn sample() -> Vec<(String, Vec<u8>)> {
    let line = |index: usize| {
        let (color, kind) = (["red", "blue"][index % 2], ["rose", "iris", "lily"][index % 3]);
        format!("{}.5,{color},{kind}\n", index * 7 % 40)
    };
    let text = "length,color,kind\n".to_owned() + &(0..90).map(line).collect::<String>();
    vec![("flowers.csv".to_owned(), text.into_bytes())]
}

fn open(opening: &Opening<'_>) -> Result<DataSet, DataError> {
    let offer = Offer { test: true, augment: false, validation: FIFTH };
    let (read, mut preparation): (CsvSettings, _) = Preparation::read(opening, offer)?;
    let (settings, rules) = (opening.settings, opening.rules);
    let wanted = read.wanted(settings)?;
    let files = [
        ("validation", &read.validation_file, preparation.stated_validation),
        ("test", &read.test_file, preparation.test),
    ];
    for (key, file, share) in files {
        if let (Some(_), Some(share)) = (file, share) {
            let expected = format!("`{key}`, a share to hold out, or `{key}_file`, but not both");
            return Err(SettingsError::value(settings.key(key), share, &expected).into());
        }
    }
    let folder = opening.folder.ok_or(DataError::NoFolder { kind: "csv" })?;
    let mut table = Table::default();
    let mut splits = Vec::new();
    let parts = [
        (Some(&read.file), None),
        (read.validation_file.as_ref(), Some(Split::Validation)),
        (read.test_file.as_ref(), Some(Split::Test)),
    ];
    for (file, split) in parts {
        let Some(file) = file else { continue };
        table.read(&folder.join(file), &wanted, rules)?;
        splits.resize(table.rows, split);
    }
    refuse_new_names(&table, &splits, rules)?;
    let (targets, mut notes) = targets(&table, &wanted, rules)?;
    if rules > ReadingRules::First {
        notes.extend(decisions::check(&table, &targets, read.missing)?);
    }
    let given = given(&table, &wanted.division, splits)?;
    let stated = [
        ("validation", preparation.stated_validation, Split::Validation),
        ("test", preparation.test, Split::Test),
    ];
    for (key, share, split) in stated {
        if let Some(share) = share.filter(|_| given.has(split)) {
            let expected = "no share, because the files or the column in `split` determine these lines";
            return Err(SettingsError::value(settings.key(key), share, expected).into());
        }
    }
    if !given.has(Split::Test) {
        preparation.hold_out();
    }
    let splits = preparation.divide(&targets, &given);
    let training: Vec<u32> = match rules {
        // The first rules took the categories of all lines of the first file, regardless of their splits.
        ReadingRules::First => (0..table.rows as u32).collect(),
        ReadingRules::Second => splits[Split::Train as usize].clone(),
    };
    let Encoded { inputs, values: examples, notes: unseen } =
        encode(&table, &training, read.missing, opening);
    notes.extend(unseen);
    notes.append(&mut table.notes);
    if (table.rows * inputs.len()) as u64 > MAX_VALUES {
        let found = format!("{} lines of {} inputs", table.rows, inputs.len());
        let expected = format!("at most {MAX_VALUES} values in all");
        return Err(DataError::content(table.path(), "all lines", found, expected));
    }
    let input = if inputs.len() > NAMED_INPUTS {
        format!("{} columns of {}", inputs.len(), read.file)
    } else {
        inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let shape = Shape::vector(inputs.len());
    let name = Path::new(&read.file)
        .file_name()
        .map_or_else(|| name_of(folder), |name| name.to_string_lossy().into());
    let raw = RawData { name, input, shape, examples, inputs, targets, given, notes };
    preparation.finish_divided(raw, splits)
}

/// Reads the targets. Also returns notes about the targets.
fn targets(table: &Table, wanted: &Wanted, rules: ReadingRules) -> Result<(Targets, Vec<String>), DataError> {
    let columns: Vec<_> = table.of(Role::Target).collect();
    if wanted.task == TaskKind::Classification {
        let cells = columns[0];
        let (names, places) = cells.names.sorted(rules);
        if names.len() < 2 {
            let found = format!("one class `{}` in column `{}`", names.join(""), cells.column.name);
            return Err(DataError::content(table.path(), "all lines", found, "at least two classes"));
        }
        let labels = cells.ids.iter().map(|id| places[*id as usize]).collect();
        return Ok((Targets::Classes { names, labels }, Vec::new()));
    }
    let mut values = Vec::with_capacity(table.rows * columns.len());
    for row in 0..table.rows {
        values.extend(columns.iter().map(|cells| cells.numbers[row]));
    }
    let mut notes = Vec::new();
    for cells in &columns {
        let is_constant = cells.numbers.iter().all(|value| value.to_bits() == cells.numbers[0].to_bits());
        if is_constant && rules > ReadingRules::First {
            let found = format!("{} in every line of column `{}`", cells.numbers[0], cells.column.name);
            let expected = "a target that varies; nothing can be learned from a constant";
            return Err(DataError::content(table.path(), "all lines", found, expected));
        }
    }
    let (values, offsets) = offsets::to_single(&values, columns.len(), rules);
    let names: Vec<String> = columns.iter().map(|cells| cells.column.name.clone()).collect();
    for (name, offset) in names.iter().zip(&offsets).filter(|(_, offset)| **offset != 0.0) {
        notes.push(format!(
            "target `{name}` varies too little around {offset} for single precision: networks output the \
             difference to {offset}, which their cards state"
        ));
    }
    Ok((Targets::Values { names, values, offsets }, notes))
}

/// Returns the splits that files or a column specify, and how to divide the other lines.
fn given(table: &Table, column: &DivisionColumn, mut splits: Vec<Option<Split>>) -> Result<Given, DataError> {
    let Some(cells) = table.of(Role::Division).next() else {
        if splits.iter().all(Option::is_none) {
            splits.clear();
        }
        return Ok(Given { splits, division: Division::Shares });
    };
    let (names, places) = cells.names.sorted(ReadingRules::CURRENT);
    let refuse = |found: String, expected: &str| {
        let place = format!("column `{}`", cells.column.name);
        Err(DataError::content(table.path(), place, found, expected))
    };
    if cells.missing.count > 0 && !matches!(column, DivisionColumn::Split(_)) {
        let line = table.line(cells.missing);
        return refuse(
            format!("nothing in line {line}"),
            "a value in every line, as it decides who is in which split",
        );
    }
    let name_of = |id: &u32| names[places[*id as usize] as usize].as_str();
    match column {
        DivisionColumn::Split(column) => {
            if let Some(fold) = column.folds().find(|fold| !names.contains(fold)) {
                return refuse(format!("no line with `{fold}`"), "lines of every fold that `split` names");
            }
            for (split, id) in splits.iter_mut().zip(&cells.ids).filter(|(_, id)| **id != NO_NAME) {
                let name = name_of(id);
                *split = Some(match column.split(name) {
                    Some(split) => split,
                    None => {
                        return refuse(
                            format!("`{name}`"),
                            "`train`, `validation`, `test`, or nothing where the split is open",
                        );
                    }
                });
            }
            Ok(Given { splits, division: Division::Shares })
        }
        DivisionColumn::Group(_) => {
            let groups: Vec<u32> = cells.ids.iter().map(|id| places[*id as usize]).collect();
            let mut sides = vec![None; names.len()];
            for (group, split) in groups.iter().zip(&splits) {
                if *sides[*group as usize].get_or_insert(*split) != *split {
                    return refuse(
                        format!("the group `{}` in two files", names[*group as usize]),
                        "each group in one file, as it must not be on two sides of a split",
                    );
                }
            }
            Ok(Given { splits, division: Division::Groups(groups) })
        }
        DivisionColumn::Time(_) => {
            let time = |name: &String| {
                name.parse::<f64>().ok().filter(|t| t.is_finite()).or_else(|| times::seconds(name))
            };
            let mut times = Vec::with_capacity(names.len());
            for name in &names {
                match time(name) {
                    Some(time) => times.push(time),
                    None => {
                        return refuse(
                            format!("`{name}`"),
                            "a number, or a date such as `2024-05-31` or `2024-05-31T12:00`",
                        );
                    }
                }
            }
            let times = cells.ids.iter().map(|id| times[places[*id as usize] as usize]).collect();
            Ok(Given { splits, division: Division::Times(times) })
        }
        DivisionColumn::None => Ok(Given { splits, division: Division::Shares }),
    }
}

/// Refuses classes that occur only in a validation or test file, because no network can learn them. The first
/// reading rules also refused new categories of features.
fn refuse_new_names(table: &Table, splits: &[Option<Split>], rules: ReadingRules) -> Result<(), DataError> {
    let first = splits.iter().take_while(|split| split.is_none()).count();
    let refused = |cells: &&Cells| match cells.column.role {
        Role::Target => true,
        Role::Category => rules == ReadingRules::First,
        Role::Number | Role::Division => false,
    };
    for cells in table.cells.iter().filter(refused).filter(|cells| !cells.ids.is_empty()) {
        // Categories are numbered by first appearance.
        let known = cells.ids[..first].iter().max().map_or(0, |id| id + 1);
        if let Some(new) = cells.ids[first..].iter().find(|id| **id != NO_NAME && **id >= known) {
            let place = format!("column `{}`", cells.column.name);
            let found = format!("`{}`", cells.names.name(*new));
            let expected = "only names that the training file has in this column";
            return Err(DataError::content(table.path(), place, found, expected));
        }
    }
    Ok(())
}
