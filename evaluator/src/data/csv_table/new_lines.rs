//! Converts lines of a table without targets to inputs of a trained network. Columns and categories come from
//! the network's card.

use std::path::Path;

use kiln_export::{InputKind, InputRecord, Preprocessing};

use super::cell::CellFormat;
use super::cells::{Cells, NO_NAME};
use super::columns::Role;
use super::escapes::Escapes;
use super::settings::{DivisionColumn, TaskKind, Wanted};
use super::table::Table;
use super::text::{Encoding, TextFormat};
use crate::data::examples::setting;
use crate::data::{DataError, Example, NewExamples, ReadingRules};

/// Appends the lines of a file. Columns that the network does not read are ignored.
pub(in crate::data) fn read_new(
    file: &Path,
    preprocessing: &Preprocessing,
    read: &mut NewExamples,
) -> Result<(), DataError> {
    let inputs = &preprocessing.inputs;
    let wanted = wanted(preprocessing, file)?;
    let mut table = Table::default();
    table.read(file, &wanted, ReadingRules::CURRENT)?;
    if let Some(cells) = table.features().find(|cells| cells.texts.count > 0) {
        let place = format!("line {}, column `{}`", table.line(cells.texts), cells.column.name);
        let (found, expected) = (format!("`{}`", cells.text), "a number, as the network was trained on");
        return Err(DataError::content(table.path(), place, found, expected));
    }
    read.notes.append(&mut table.notes);
    let columns: Vec<Input<'_>> = inputs.iter().map(|input| Input::new(input, inputs, &table)).collect();
    for input in &columns {
        input.check(&table)?;
    }
    for row in 0..table.rows {
        read.values.extend(columns.iter().map(|input| (input.value(row) - input.record.offset) as f32));
        read.examples.push(Example { file: table.path().to_owned(), place: Some(row as u64 + 1) });
    }
    for input in columns.iter().filter(|input| matches!(input.record.kind, InputKind::Unseen { .. })) {
        let count = (0..table.rows).filter(|row| input.value(*row) > 0.5).count();
        if count > 0 {
            let (name, rows) = (&input.cells.column.name, table.rows);
            read.notes.push(format!(
                "{}: column `{name}`: {count} of {rows} lines have a name that the network was not \
                 trained on",
                table.path().display()
            ));
        }
    }
    Ok(())
}

/// The columns of the network's inputs, in input order.
fn wanted(preprocessing: &Preprocessing, file: &Path) -> Result<Wanted, DataError> {
    let (mut features, mut categorical): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for kind in preprocessing.inputs.iter().map(|input| &input.kind) {
        let Some(column) = kind.column() else { continue };
        let add = |columns: &mut Vec<String>| {
            if !columns.iter().any(|known| known == column) {
                columns.push(column.to_owned());
            }
        };
        add(&mut features);
        if matches!(kind, InputKind::Category { .. } | InputKind::Unseen { .. }) {
            add(&mut categorical);
        }
    }
    let separator: Option<char> = setting(preprocessing, "separator", file)?;
    let quote: Option<char> = setting(preprocessing, "quote", file)?;
    let escape: Option<char> = setting(preprocessing, "escape", file)?;
    let decimal: Option<char> = setting(preprocessing, "decimal", file)?;
    let header: Option<bool> = setting(preprocessing, "header", file)?;
    let encoding: Encoding = setting(preprocessing, "encoding", file)?;
    let ascii = |letter: Option<char>| letter.filter(char::is_ascii).map(|letter| letter as u8);
    let (separator, quote) = (ascii(separator).unwrap_or(b','), ascii(quote).unwrap_or(b'"'));
    let escapes = ascii(escape).map(|escape| Escapes { escape, quote, separator });
    Ok(Wanted {
        targets: Vec::new(),
        task: TaskKind::Regression,
        features: Some(features),
        ignore: Vec::new(),
        categorical,
        division: DivisionColumn::None,
        has_header: header.unwrap_or(true),
        separator,
        quote,
        text: TextFormat { encoding, escapes },
        cells: CellFormat {
            decimal: decimal.unwrap_or('.'),
            missing: setting(preprocessing, "missing_values", file)?,
        },
    })
}

/// A network input and its column.
struct Input<'a> {
    record: &'a InputRecord,
    cells: &'a Cells,
    /// For each category of the column, whether this input is 1.
    is_set: Vec<bool>,
    /// Whether the network accepts missing cells in the column.
    has_gaps: bool,
}

impl<'a> Input<'a> {
    fn new(record: &'a InputRecord, all: &[InputRecord], table: &'a Table) -> Self {
        let column = record.kind.column().unwrap_or_default();
        let cells = table
            .features()
            .find(|cells| cells.column.name == column)
            .expect("a column was found for every input");
        let of_column = || all.iter().filter(|input| input.kind.column() == Some(column));
        let is_known = |name: &str| {
            of_column()
                .any(|input| matches!(&input.kind, InputKind::Category { category, .. } if category == name))
        };
        let is_set = |name: &str| match &record.kind {
            InputKind::Category { category, .. } => category == name,
            InputKind::Unseen { .. } => !is_known(name),
            InputKind::Number { .. } | InputKind::Missing { .. } | InputKind::Channel => false,
        };
        let names = 0..cells.names.len() as u32;
        Self {
            record,
            cells,
            is_set: names.map(|id| is_set(cells.names.name(id))).collect(),
            has_gaps: of_column().any(|input| matches!(input.kind, InputKind::Missing { .. })),
        }
    }

    /// Refuses missing cells if training had none, because the network has no replacement value then.
    fn check(&self, table: &Table) -> Result<(), DataError> {
        if self.cells.missing.count == 0 || self.has_gaps {
            return Ok(());
        }
        let place = format!("line {}, column `{}`", table.line(self.cells.missing), self.cells.column.name);
        let expected = "a value: training had no missing value here, so the network has no replacement";
        Err(DataError::content(table.path(), place, "nothing", expected))
    }

    fn value(&self, row: usize) -> f64 {
        let is_name = self.cells.column.role == Role::Category;
        let id = if is_name { self.cells.ids[row] } else { NO_NAME };
        let is_missing = if is_name { id == NO_NAME } else { self.cells.numbers[row].is_nan() };
        let holds = match &self.record.kind {
            InputKind::Number { fill, .. } => {
                return if is_missing { fill.unwrap_or_default() } else { self.cells.numbers[row] };
            }
            InputKind::Missing { .. } => is_missing,
            InputKind::Category { fill, .. } if is_missing => *fill,
            InputKind::Category { .. } | InputKind::Unseen { .. } => !is_missing && self.is_set[id as usize],
            InputKind::Channel => false,
        };
        f64::from(u8::from(holds))
    }
}
