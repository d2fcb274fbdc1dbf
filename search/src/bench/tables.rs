//! Problems from published tables of accuracies.

use std::path::PathBuf;
use std::sync::Arc;

use kiln_space::spaces::{NasBench201, NasBenchMacro};
use kiln_space::{Genotype, SearchSpace, Settings};
use serde_json::{Map, Value, json};

use super::error::BenchError;
use super::problem::{Answer, Goal, Oracle, Problem};
use crate::domain::CostSet;
use crate::table::TableEvaluator;
use crate::trials::Fidelity;

/// How the cost of an evaluation is counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Protocol {
    /// The budget is in simulated seconds. A column of the table, multiplied by a factor, contains the time
    /// of an evaluation.
    ///
    /// Source: Dong, Liu, Musial, Gabrys, NATS-Bench, TPAMI 2021, section 5.
    Time {
        /// Name of the column with the seconds.
        cost: String,
        /// Factor that converts the column to the seconds of one evaluation, with its validation.
        factor: f64,
    },
    /// The budget is a number of evaluations.
    Queries,
}

/// How different cells that are the same network are treated. The table contains a separate training of each
/// cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EqualCells {
    /// Each cell has its own result.
    #[default]
    Apart,
    /// All these cells have the result of the first one. The strategy does not know that they are the same
    /// network and pays for each evaluation.
    Alike,
    /// The strategy sees these cells as one architecture, as in a study.
    Merged,
}

/// Settings of a problem on NAS-Bench-201. The table contains every cell of the space. Its column `arch`
/// contains the cells in the official notation.
#[derive(Clone, Debug, PartialEq)]
pub struct NasBench201Settings {
    /// The table, plain or gzipped.
    pub file: PathBuf,
    /// Column of the accuracy in percent on which the search runs.
    pub signal: String,
    /// Column of the accuracy in percent that is reported.
    pub report: String,
    /// How the cost of an evaluation is counted.
    pub protocol: Protocol,
    /// Budget of a run, in seconds or evaluations.
    pub budget: f64,
    /// The lower fidelities: numbers of epochs below `full_epochs`, each with the column of the signal after
    /// that many epochs. An evaluation with `n` epochs costs `n / full_epochs` of a full evaluation.
    pub fidelities: Vec<(u32, String)>,
    /// Number of epochs after which the signal was measured.
    pub full_epochs: u32,
    /// How different cells that are the same network are treated.
    pub equal_cells: EqualCells,
}

/// Settings of a problem on NAS-Bench-Macro. The space contains 3^8 stacks of blocks, and the table's column
/// `arch` has eight digits. The signal is also the reported value.
#[derive(Clone, Debug, PartialEq)]
pub struct MacroSettings {
    /// The table, plain or gzipped.
    pub file: PathBuf,
    /// Column of the accuracy in percent.
    pub signal: String,
    /// Number of evaluations of a run.
    pub budget: f64,
}

/// Returns results from tables.
struct Tables {
    /// Column of the signal.
    column: String,
    signal: TableEvaluator,
    /// Tables with the signal after fewer epochs, in ascending order of epochs.
    fidelities: Vec<(u32, TableEvaluator)>,
    full_epochs: u32,
    cost: Option<(TableEvaluator, f64)>,
    /// The space whose canonical form selects the representative of equal architectures. `None` if equal
    /// architectures have separate results.
    representatives: Option<Arc<dyn SearchSpace>>,
}

impl NasBench201Settings {
    /// Reads the table.
    ///
    /// # Errors
    /// [`BenchError`] that names the invalid column or number.
    pub fn problem(&self) -> Result<Problem, BenchError> {
        let open = |table: Value| open(&self.file, "nasbench201", table);
        let signal = json!({ "signal": self.signal, "report": { "report": self.report } });
        let mut tables = Tables {
            column: self.signal.clone(),
            signal: open(signal)?,
            fidelities: Vec::new(),
            full_epochs: self.full_epochs,
            cost: None,
            representatives: None,
        };
        for (epochs, column) in &self.fidelities {
            if !(1..self.full_epochs).contains(epochs) {
                let expected = "at least 1 and fewer than those of the signal";
                let found = epochs.to_string();
                return Err(BenchError::Value { name: "epochs of a fidelity", found, expected });
            }
            tables.fidelities.push((*epochs, open(json!({ "signal": column }))?));
        }
        tables.fidelities.sort_by_key(|(epochs, _)| *epochs);
        let (unit, protocol) = match &self.protocol {
            Protocol::Queries => ("evaluations", format!("{} queries", self.budget)),
            Protocol::Time { cost, factor } => {
                if !(*factor > 0.0 && factor.is_finite()) {
                    let (found, expected) = (factor.to_string(), "a positive number");
                    return Err(BenchError::Value { name: "cost factor", found, expected });
                }
                let seconds = json!({ "signal": cost, "direction": "minimize", "metric": "seconds" });
                tables.cost = Some((open(seconds)?, *factor));
                ("s", format!("{} s", self.budget))
            }
        };
        let space = |merge: bool| -> Result<Arc<dyn SearchSpace>, BenchError> {
            let merge = Map::from_iter([("merge_equal".to_owned(), Value::Bool(merge))]);
            Ok(Arc::new(NasBench201::from_settings(&Settings::new("space", merge), None)?))
        };
        if self.equal_cells != EqualCells::Apart {
            tables.representatives = Some(space(true)?);
        }
        let name = format!("NAS-Bench-201, {}, {protocol}", self.signal);
        let searched = space(self.equal_cells == EqualCells::Merged)?;
        Ok(tables.into_problem(name, searched, self.budget, unit))
    }
}

impl MacroSettings {
    /// Reads the table.
    ///
    /// # Errors
    /// [`BenchError`] that names the invalid column.
    pub fn problem(&self) -> Result<Problem, BenchError> {
        let table = json!({ "signal": self.signal, "report": { "report": self.signal } });
        let signal = open(&self.file, "digits", table)?;
        let column = self.signal.clone();
        let tables = Tables {
            column,
            signal,
            fidelities: Vec::new(),
            full_epochs: 1,
            cost: None,
            representatives: None,
        };
        let name = format!("NAS-Bench-Macro, {}", self.signal);
        Ok(tables.into_problem(name, Arc::new(NasBenchMacro::default()), self.budget, "evaluations"))
    }
}

/// Opens a table whose column `arch` contains the architectures.
pub(super) fn open(
    file: &std::path::Path,
    key_format: &str,
    mut table: Value,
) -> Result<TableEvaluator, BenchError> {
    // Relative paths of tables start at the data folder. Here the working directory is the data folder.
    let folder = std::env::current_dir().ok();
    table["file"] = json!(file);
    table["key"] = json!("arch");
    table["key_format"] = json!(key_format);
    let table = table.as_object().cloned().unwrap_or_default();
    Ok(TableEvaluator::open(&Settings::new("table", table), folder.as_deref())?)
}

impl Tables {
    fn into_problem(
        self,
        name: String,
        space: Arc<dyn SearchSpace>,
        budget: f64,
        unit: &'static str,
    ) -> Problem {
        let counts = |genotype: &Genotype| {
            self.representatives.as_ref().is_none_or(|space| space.canonical(genotype) == *genotype)
        };
        let entries = self.signal.entries().filter(|(genotype, _)| counts(genotype));
        let errors = entries.filter_map(|(_, found)| found.get("error_percent"));
        let goal = Goal::Lowest { optimum: errors.fold(f64::INFINITY, f64::min) };
        let objectives = vec!["error_percent".to_owned()];
        Problem {
            name,
            space,
            objectives,
            oracle: Box::new(self),
            budget,
            unit,
            goal,
            costs: CostSet::default(),
            constraints: Vec::new(),
            proxies: Vec::new(),
            descriptions: Arc::default(),
        }
    }

    fn missing(genotype: &Genotype, column: &str) -> BenchError {
        BenchError::MissingAnswer { genotype: genotype.to_string(), column: column.to_owned() }
    }
}

impl Oracle for Tables {
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError> {
        let (table, share) = match fidelity {
            Fidelity::Full => (&self.signal, 1.0),
            Fidelity::Epochs(epochs) => match self.fidelities.iter().find(|(known, _)| *known == epochs) {
                Some((_, table)) => (table, f64::from(epochs) / f64::from(self.full_epochs)),
                None => return Ok(None),
            },
            Fidelity::Proxy => return Ok(None),
        };
        let representative = self.representatives.as_ref().map(|space| space.canonical(genotype));
        let genotype = representative.as_ref().unwrap_or(genotype);
        let missing = || Self::missing(genotype, &self.column);
        let found = table.get(genotype).ok_or_else(missing)?;
        let error = found.get("error_percent").ok_or_else(missing)?;
        let cost = match &self.cost {
            None => 1.0,
            Some((seconds, factor)) => {
                let seconds = seconds.get(genotype).and_then(|found| found.get("seconds"));
                seconds.ok_or_else(|| Self::missing(genotype, "cost"))? * factor
            }
        };
        let report = found.get("report").map(|error| 100.0 - error);
        Ok(Some(Answer { objectives: vec![error], report, cost: cost * share }))
    }
}
