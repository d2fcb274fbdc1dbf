//! Adds a table of zero-cost scores to a problem, for strategies that start with `proxies`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_space::Genotype;
use kiln_space::spaces::NasBench201;

use super::error::BenchError;
use super::problem::{Answer, Oracle, Problem};
use crate::table::Columns;
use crate::trials::Fidelity;

/// Published scores of the cells of NAS-Bench-201. Higher scores are better. They take nothing from the
/// budget.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySettings {
    /// A table of scores with the column `index`.
    pub scores: PathBuf,
    /// Columns of the scores.
    pub columns: Vec<String>,
    /// A table with the columns `index` and `arch`, which tells what the cells are.
    pub cells: PathBuf,
}

/// Answers proxies from the scores, and other fidelities as before.
struct Proxied {
    scores: BTreeMap<Genotype, Vec<f64>>,
    others: Box<dyn Oracle>,
}

impl ProxySettings {
    /// The problem with the scores. Their names are `negative_` and the column, since strategies minimize. A
    /// cell without a finite number in each column fails.
    ///
    /// # Errors
    /// [`BenchError`] naming file and column.
    pub fn add_to(&self, problem: Problem) -> Result<Problem, BenchError> {
        let scores =
            Columns::read(&self.scores, "index", |name| self.columns.iter().any(|known| known == name))?;
        let places: Vec<usize> =
            self.columns.iter().map(|column| scores.position(column)).collect::<Result<_, _>>()?;
        let cells = Columns::read(&self.cells, "index", |name| name == "arch")?;
        let arch = cells.position("arch")?;
        let mut all = BTreeMap::new();
        for (index, row) in cells.rows() {
            let genotype = NasBench201::genotype_from_arch(&row[arch])
                .map_err(|source| cells.bad_key(index, &row[arch], source))?;
            let found: Option<Vec<f64>> =
                places.iter().map(|place| scores.number(index, *place).ok().map(|score| -score)).collect();
            all.insert(genotype, found.unwrap_or_default());
        }
        Ok(Problem {
            proxies: self.columns.iter().map(|column| format!("negative_{column}")).collect(),
            oracle: Box::new(Proxied { scores: all, others: problem.oracle }),
            ..problem
        })
    }
}

impl Oracle for Proxied {
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError> {
        if fidelity != Fidelity::Proxy {
            return self.others.answer(genotype, fidelity);
        }
        let missing =
            || BenchError::MissingAnswer { genotype: genotype.to_string(), column: "score".to_owned() };
        let objectives = self.scores.get(genotype).ok_or_else(missing)?.clone();
        Ok(Some(Answer { objectives, report: None, cost: 0.0 }))
    }
}
