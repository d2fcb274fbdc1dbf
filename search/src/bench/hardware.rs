//! Problems with accuracy and measured costs, from a table of accuracies joined with a table of device
//! measurements.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_space::spaces::NasBench201;
use kiln_space::{Genotype, SearchSpace, Settings};
use serde_json::{Map, Value};

use super::error::BenchError;
use super::problem::{Answer, Goal, Oracle, Problem};
use crate::comparison::hypervolume::contribution;
use crate::comparison::pareto::dominates;
use crate::domain::CostSet;
use crate::table::{Columns, TableError};
use crate::trials::Fidelity;

/// Suffixes of the columns that exist for every device. A column name is the device's name and a suffix.
const QUANTITIES: [&str; 2] = ["_latency", "_energy"];
/// How far the reference point exceeds the worst values of the true front, as a share of the front's extent.
const BEHIND: f64 = 0.1;

/// Settings of a problem with several objectives on NAS-Bench-201. The objectives are the error, the
/// parameters, the multiply-accumulates, and all columns of one device in a table of measurements (such as
/// `edgegpu_latency_ms`). The column `index` joins the table of accuracies with the table of measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct HardwareSettings {
    /// The table of accuracies, with the columns `index` and `arch`.
    pub file: PathBuf,
    /// The table of measurements, with the column `index`. A value that is not positive means that the cell
    /// was not measured; the evaluation of that cell fails.
    pub costs: PathBuf,
    /// Name of the device. In a column name, the device's name is the text before `_latency` or `_energy`. A
    /// column belongs to the device with the longest name that the column name starts with.
    pub device: String,
    /// Column of the accuracy in percent.
    pub signal: String,
    /// Number of evaluations of a run.
    pub budget: f64,
}

/// The objective values of every cell. Cells that the device cannot run have no values.
struct Objectives(BTreeMap<Genotype, Vec<f64>>);

impl HardwareSettings {
    /// Reads the tables.
    ///
    /// # Errors
    /// [`BenchError`] that names the file and the column.
    pub fn problem(&self) -> Result<Problem, BenchError> {
        let accuracies = Columns::read(&self.file, "index", |name| name == "arch" || name == self.signal)?;
        let arch = accuracies.position("arch")?;
        let signal = accuracies.position(&self.signal)?;
        let measured = Columns::read(&self.costs, "index", |name| begins(name, &self.device))?;
        let of_device: Vec<usize> = (0..measured.names().len())
            .filter(|place| is_of(&measured.names()[*place], &self.device, measured.header()))
            .collect();
        if of_device.is_empty() {
            let column = format!("{}_...", self.device);
            return Err(TableError::missing_column(&self.costs, &column, measured.header()).into());
        }
        // Do not merge cells that are the same network. The tables contain a separate training and
        // measurement for each cell.
        let merge = Map::from_iter([("merge_equal".to_owned(), Value::Bool(false))]);
        let space = NasBench201::from_settings(&Settings::new("space", merge), None)?;
        let mut all = BTreeMap::new();
        for (index, row) in accuracies.rows() {
            let genotype = NasBench201::genotype_from_arch(&row[arch])
                .map_err(|source| accuracies.bad_key(index, &row[arch], source))?;
            let error = 100.0 - accuracies.number(index, signal)?;
            let counts = space
                .decode(&genotype)
                .map_err(|source| accuracies.bad_key(index, &row[arch], source))?
                .counts();
            let mut objectives = vec![error, counts.parameters as f64, counts.macs as f64];
            let found: Result<Vec<f64>, TableError> =
                of_device.iter().map(|column| measured.number(index, *column)).collect();
            let found = found?;
            if found.iter().all(|value| *value > 0.0) {
                objectives.extend(found);
            } else {
                objectives.clear();
            }
            all.insert(genotype, objectives);
        }
        let mut names: Vec<String> = ["error_percent", "parameters", "macs"].map(str::to_owned).into();
        names.extend(of_device.iter().map(|column| measured.names()[*column].clone()));
        Ok(Problem {
            name: format!("NAS-Bench-201, {}, {} objectives on {}", self.signal, names.len(), self.device),
            space: Arc::new(space),
            objectives: names,
            goal: goal(all.values(), |_| None).ok_or_else(|| nothing(&self.costs))?,
            costs: CostSet::default(),
            constraints: Vec::new(),
            oracle: Box::new(Objectives(all)),
            budget: self.budget,
            unit: "evaluations",
            proxies: Vec::new(),
            descriptions: Arc::default(),
        })
    }
}

/// Whether a column starts with this name and `_`.
fn begins(column: &str, name: &str) -> bool {
    column.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'))
}

/// Whether a column belongs to `device` and not to a device with a longer name. For example,
/// `pi_4_latency_ms` belongs to `pi_4`, not to `pi`.
fn is_of(column: &str, device: &str, header: &[String]) -> bool {
    let quantity = |column: &str| QUANTITIES.iter().filter_map(|quantity| column.rfind(quantity)).max();
    let mut devices = header.iter().filter_map(|column| Some(&column[..quantity(column)?]));
    begins(column, device) && !devices.any(|other| other.len() > device.len() && begins(column, other))
}

fn nothing(path: &Path) -> TableError {
    TableError::Empty { path: path.to_owned(), column: "the device".to_owned() }
}

/// Computes the reference point and the hypervolume of the true front. If an objective has a limit, the
/// reference point uses that limit. For other objectives, its value is computed from the front. Returns
/// `None` if no architecture was measured.
pub(super) fn goal<'a>(
    all: impl Iterator<Item = &'a Vec<f64>>,
    limit: impl Fn(usize) -> Option<f64>,
) -> Option<Goal> {
    let mut front: Vec<&Vec<f64>> = Vec::new();
    for point in all.filter(|point| !point.is_empty()) {
        if !front.iter().any(|other| dominates(other, point) || *other == point) {
            front.retain(|other| !dominates(point, other));
            front.push(point);
        }
    }
    let first = front.first()?;
    let reference: Vec<f64> = (0..first.len())
        .map(|d| {
            let values = || front.iter().map(|point| point[d]);
            let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::MIN, f64::max));
            limit(d).unwrap_or(high + BEHIND * if high > low { high - low } else { 1.0 })
        })
        .collect();
    let volume = |(at, point): (usize, &&Vec<f64>)| contribution(point, &front[..at], &reference);
    let optimum = front.iter().enumerate().map(volume).sum();
    Some(Goal::Hypervolume { reference, optimum })
}

impl Oracle for Objectives {
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError> {
        if fidelity != Fidelity::Full {
            return Ok(None);
        }
        let missing =
            || BenchError::MissingAnswer { genotype: genotype.to_string(), column: "cell".to_owned() };
        let objectives = self.0.get(genotype).ok_or_else(missing)?.clone();
        Ok(Some(Answer { objectives, report: None, cost: 1.0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_belong_to_the_device_with_the_longest_name() {
        let header = [
            "index",
            "pi_latency_ms",
            "pi_arithmetic_intensity",
            "pi_4_latency_ms",
            "pi_4_energy_mj",
            "pi_4_load",
            "pixel_latency_ms",
        ]
        .map(str::to_owned);
        let of = |device: &str| -> Vec<&str> {
            header.iter().map(String::as_str).filter(|column| is_of(column, device, &header)).collect()
        };
        assert_eq!(of("pi"), ["pi_latency_ms", "pi_arithmetic_intensity"]);
        assert_eq!(of("pi_4"), ["pi_4_latency_ms", "pi_4_energy_mj", "pi_4_load"]);
        assert_eq!(of("pixel"), ["pixel_latency_ms"]);
        assert_eq!(of("p"), [""; 0]);
    }
}
