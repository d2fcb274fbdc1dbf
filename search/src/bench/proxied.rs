//! Adds a table of zero-cost scores to a problem, for strategies with the setting `proxies`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_space::Genotype;
use kiln_space::spaces::NasBench201;

use super::error::BenchError;
use super::problem::{Answer, Oracle, Problem};
use crate::table::Columns;
use crate::trials::Fidelity;

/// Published zero-cost scores of NAS-Bench-201 cells. Higher scores are better. Proxies do not use up the
/// budget.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySettings {
    /// A table of scores with the column `index`.
    pub scores: PathBuf,
    /// Columns of the scores.
    pub columns: Vec<String>,
    /// A table with the columns `index` and `arch`, which maps each index to a cell.
    pub cells: PathBuf,
}

/// Returns the scores for [`Fidelity::Proxy`], and the original problem's results for other fidelities.
struct Proxied {
    scores: BTreeMap<Genotype, Vec<f64>>,
    others: Box<dyn Oracle>,
}

impl ProxySettings {
    /// Adds the scores to a problem. Strategies minimize, so each score is negated. Its name is `negative_`,
    /// followed by the name of its column. A cell without a finite number in a column fails.
    ///
    /// # Errors
    /// [`BenchError`] that names the file and the column.
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
