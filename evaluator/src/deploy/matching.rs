//! Matches the inputs and outputs of a network with the inputs and targets of a data set, by the names of
//! columns, categories and classes.

use kiln_export::{InputKind, InputRecord, TrainedModel};
use thiserror::Error;

use crate::data::{DataSet, Targets};

/// Maximum number of names that a message lists.
const LISTED: usize = 12;

/// The reason why a data set does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The examples have another shape than the network's input.
    #[error("the network takes inputs of {takes}, but the data have {has}")]
    Shape {
        /// Shape that the network requires.
        takes: String,
        /// Shape of the data's examples.
        has: String,
    },
    /// The data set lacks inputs that the network needs.
    #[error("the network takes {takes}, but the data have {has}; the data lack `{}`", missing.join("`, `"))]
    Inputs {
        /// Inputs of the network.
        takes: String,
        /// Inputs of the data.
        has: String,
        /// Columns that the data set lacks.
        missing: Vec<String>,
    },
    /// A column has missing values, but had none in the network's training data.
    #[error(
        "column `{column}` has missing values here, but had none in training, so the network has no value \
         for them"
    )]
    Gaps {
        /// The column.
        column: String,
    },
    /// The network's outputs and the data set's targets have different names.
    #[error("the network gives {gives}, but the data have {has}")]
    Outputs {
        /// Outputs of the network.
        gives: String,
        /// Targets of the data.
        has: String,
    },
}

/// Source of a network input in an example of the data set.
#[derive(Clone, Debug)]
enum Source {
    /// The value at `at`, plus `shift`, the difference of the two offsets. `gap` is a position and a fill
    /// value. If the example contains 1 at that position, the cell is missing, and the fill value replaces
    /// the value.
    Value { at: usize, shift: f64, gap: Option<(usize, f32)> },
    /// 1 if the example contains 1 at one of these positions, and 0 otherwise. `gap` is a position and a
    /// flag. If the example contains 1 at that position, the cell is missing, and the flag replaces the
    /// value.
    Any { places: Vec<usize>, gap: Option<(usize, bool)> },
}

/// Converts examples of a data set to inputs of a network, and the network's outputs to the order of the data
/// set.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The source of each input. Empty if examples are used unchanged.
    sources: Vec<Source>,
    /// Names of the network's outputs.
    names: Vec<String>,
    /// For each class or regression target of the data set, the index of the network's output.
    outputs: Vec<usize>,
    /// For each regression target of the data set, the number to add to the network's output.
    shifts: Vec<f64>,
}

impl Matched {
    /// Finds the inputs and outputs of `model` in `data`. If the model card does not name the inputs, because
    /// an earlier build wrote the card, the model's inputs are matched to those of the data set by position.
    ///
    /// # Errors
    /// [`Mismatch`] with the names on both sides.
    pub fn new(model: &TrainedModel, data: &DataSet) -> Result<Self, Mismatch> {
        let takes = &model.card.preprocessing.inputs;
        let is_table = takes.iter().any(|input| input.kind.column().is_some());
        let sources = if is_table {
            sources(takes, data.inputs())?
        } else {
            let (takes, has) = (model.architecture.input, data.shape());
            if takes != has {
                return Err(Mismatch::Shape { takes: takes.to_string(), has: has.to_string() });
            }
            Vec::new()
        };
        let (gives, has) = (&model.card.classes, data.targets().names());
        let place = |name: &String| gives.iter().position(|known| known == name);
        let outputs: Option<Vec<usize>> = has.iter().map(place).collect();
        // The data set may lack some of the network's classes, but must have each of the network's regression
        // targets.
        let fits = !data.is_regression() || gives.len() == has.len();
        let mismatch = || Mismatch::Outputs { gives: list(gives), has: list(has) };
        let outputs = outputs.filter(|_| fits).ok_or_else(mismatch)?;
        let shift = |(value, output): (usize, &usize)| {
            model.card.preprocessing.target_offset(*output) - data.targets().offset(value)
        };
        let shifts = match data.targets() {
            Targets::Classes { .. } => Vec::new(),
            Targets::Values { .. } => outputs.iter().enumerate().map(shift).collect(),
        };
        Ok(Self { sources, names: gives.clone(), outputs, shifts })
    }

    /// Converts an example to the network's input.
    #[must_use]
    pub fn input(&self, example: &[f32]) -> Vec<f32> {
        if self.sources.is_empty() {
            return example.to_vec();
        }
        self.sources.iter().map(|source| source.value(example)).collect()
    }

    /// Names of the network's outputs: classes or regression targets.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// For each class or regression target of the data set, the index of the network's output.
    #[must_use]
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// Converts the network's outputs for one example to the form of the data set: in the data set's order,
    /// minus the data set's offsets.
    #[must_use]
    pub fn values(&self, row: &[f32]) -> Vec<f32> {
        let value = |(output, shift): (&usize, &f64)| (f64::from(row[*output]) + shift) as f32;
        self.outputs.iter().zip(&self.shifts).map(value).collect()
    }
}

impl Source {
    fn value(&self, example: &[f32]) -> f32 {
        let is_set = |place: &usize| example[*place] > 0.5;
        match self {
            Self::Value { gap: Some((gap, fill)), .. } if is_set(gap) => *fill,
            Self::Value { at, shift, .. } if *shift == 0.0 => example[*at],
            Self::Value { at, shift, .. } => (f64::from(example[*at]) + shift) as f32,
            Self::Any { places, gap } => {
                let gap = gap.as_ref().filter(|(gap, _)| is_set(gap));
                f32::from(u8::from(gap.map_or_else(|| places.iter().any(is_set), |(_, fill)| *fill)))
            }
        }
    }
}

/// Finds each input of the network among the inputs of the data set.
fn sources(takes: &[InputRecord], has: &[InputRecord]) -> Result<Vec<Source>, Mismatch> {
    let column_is_there = |column: &str| has.iter().any(|input| input.kind.column() == Some(column));
    let mut missing: Vec<String> = Vec::new();
    for column in takes.iter().filter_map(|input| input.kind.column()) {
        if !column_is_there(column) && !missing.iter().any(|known| known == column) {
            missing.push(column.to_owned());
        }
    }
    let is_number = |inputs: &[InputRecord], wanted: &str| {
        inputs.iter().any(|input| matches!(&input.kind, InputKind::Number { column, .. } if column == wanted))
    };
    for column in takes.iter().filter_map(|input| input.kind.column()) {
        let other_kind = column_is_there(column) && is_number(takes, column) != is_number(has, column);
        let name = format!("{column} (of another kind)");
        if other_kind && !missing.contains(&name) {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        return Err(Mismatch::Inputs { takes: list(&names(takes)), has: list(&names(has)), missing });
    }
    takes.iter().map(|input| source(input, takes, has)).collect()
}

fn source(input: &InputRecord, takes: &[InputRecord], has: &[InputRecord]) -> Result<Source, Mismatch> {
    let place = |wanted: &InputKind| has.iter().position(|known| same(&known.kind, wanted));
    let gap_of = |column: &str| place(&InputKind::Missing { column: column.to_owned() });
    Ok(match &input.kind {
        InputKind::Number { column, fill } => {
            let at = place(&input.kind).expect("the data have a number in this column");
            let gap = match (gap_of(column), fill) {
                (None, _) => None,
                (Some(gap), Some(fill)) => Some((gap, (fill - input.offset) as f32)),
                (Some(_), None) => return Err(Mismatch::Gaps { column: column.clone() }),
            };
            Source::Value { at, shift: has[at].offset - input.offset, gap }
        }
        InputKind::Category { column, fill, .. } => {
            // If a cell is missing, the data set fills in its own most frequent category, which must not
            // count here.
            let gap = gap_of(column).map(|gap| (gap, *fill));
            Source::Any { places: place(&input.kind).into_iter().collect(), gap }
        }
        InputKind::Unseen { column } => {
            let known = |kind: &InputKind| takes.iter().any(|input| same(&input.kind, kind));
            let is_other = |kind: &InputKind| match kind {
                InputKind::Category { column: other, .. } => other == column && !known(kind),
                InputKind::Unseen { column: other } => other == column,
                _ => false,
            };
            let places = (0..has.len()).filter(|at| is_other(&has[*at].kind)).collect();
            Source::Any { places, gap: gap_of(column).map(|gap| (gap, false)) }
        }
        InputKind::Missing { column } => {
            Source::Any { places: gap_of(column).into_iter().collect(), gap: None }
        }
        InputKind::Channel => {
            let at = has.iter().position(|known| known.name == input.name);
            Source::Value { at: at.unwrap_or_default(), shift: 0.0, gap: None }
        }
    })
}

/// Whether two inputs have the same meaning. Fill values for missing cells do not matter.
fn same(a: &InputKind, b: &InputKind) -> bool {
    match (a, b) {
        (InputKind::Number { column: a, .. }, InputKind::Number { column: b, .. })
        | (InputKind::Unseen { column: a }, InputKind::Unseen { column: b })
        | (InputKind::Missing { column: a }, InputKind::Missing { column: b }) => a == b,
        (
            InputKind::Category { column: a, category: x, .. },
            InputKind::Category { column: b, category: y, .. },
        ) => a == b && x == y,
        _ => false,
    }
}

fn names(inputs: &[InputRecord]) -> Vec<String> {
    inputs.iter().map(|input| input.name.clone()).collect()
}

/// Formats names for a message. A long list is shortened.
fn list(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > first.len() { ", ..." } else { "" };
    format!("{} ({}{more})", names.len(), first.join(", "))
}
