//! Synthetic functions of genotypes with a known optimum.

use std::sync::Arc;

use kiln_space::Genotype;

use super::chain::Chain;
use super::error::BenchError;
use super::problem::{Answer, Goal, Oracle, Problem};
use crate::domain::CostSet;
use crate::trials::{Fidelity, seed};

/// Number of genes in a block of [`Function::Trap`].
const TRAP: usize = 3;

/// A function to minimize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The mean of independent costs, one for each gene. This is the easiest function.
    Separable,
    /// Each pair of neighboring genes has a cost, as in an NK landscape with K = 1. Dynamic programming finds
    /// the optimum.
    ///
    /// Source: Kauffman, Weinberger, The NK model of rugged fitness landscapes, J. Theor. Biol. 1989; Wright,
    /// Thompson, Zhang, The computational complexity of NK fitness functions, IEEE TEC 2000 (adjacent
    /// neighborhoods).
    Chained,
    /// A mean over blocks of three genes. In each block, single improving steps lead away from the optimum.
    ///
    /// Source: Deb, Goldberg, Analyzing deception in trap functions, FOGA 1993.
    Trap,
    /// Two objectives. One counts the leading genes at their first option, the other counts the trailing
    /// genes at their last option. Both counts are to be maximized.
    ///
    /// Source: Laumanns, Thiele, Zitzler, Running time analysis of multiobjective evolutionary algorithms,
    /// IEEE TEC 2004 (LOTZ).
    LeadingTrailing,
}

/// Settings of a problem with a synthetic function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// The function.
    pub function: Function,
    /// Number of genes.
    pub decisions: usize,
    /// Number of options of each gene.
    pub options: usize,
    /// Number of evaluations of a run.
    pub evaluations: u64,
}

impl FunctionSettings {
    /// Creates the problem.
    ///
    /// # Errors
    /// [`BenchError::Value`] if the number of genes, options or evaluations is not allowed.
    pub fn problem(&self) -> Result<Problem, BenchError> {
        let refuse = |name, found: usize, expected| {
            Err(BenchError::Value { name, found: found.to_string(), expected })
        };
        if !(1..=1000).contains(&self.decisions) {
            return refuse("decisions", self.decisions, "1 to 1000");
        }
        if !(2..=64).contains(&self.options) {
            return refuse("options", self.options, "2 to 64");
        }
        let names: &[&str] =
            if self.function == Function::LeadingTrailing { &["leading", "trailing"] } else { &["value"] };
        Ok(Problem {
            name: format!("{:?}, {} genes of {} options", self.function, self.decisions, self.options),
            space: Arc::new(Chain::new(self.decisions, self.options)),
            objectives: names.iter().map(|name| (*name).to_owned()).collect(),
            goal: self.goal(),
            oracle: Box::new(*self),
            budget: self.evaluations as f64,
            unit: "evaluations",
            costs: CostSet::default(),
            constraints: Vec::new(),
            proxies: Vec::new(),
            descriptions: Arc::default(),
        })
    }

    fn goal(&self) -> Goal {
        let n = self.decisions as f64;
        match self.function {
            Function::Separable => {
                Goal::Lowest { optimum: (0..self.decisions).map(|gene| self.least(gene)).sum::<f64>() / n }
            }
            Function::Chained => Goal::Lowest { optimum: self.shortest_chain() / n },
            Function::Trap => Goal::Lowest { optimum: 0.0 },
            Function::LeadingTrailing => {
                // The front consists of the genotypes with `i` leading and `n - i` trailing genes. The
                // reference point is (n + 1, n + 1).
                let optimum = (0..=self.decisions).map(|leading| leading as f64 + 1.0).sum();
                Goal::Hypervolume { reference: vec![n + 1.0; 2], optimum }
            }
        }
    }

    /// Returns the values of the objectives for a genotype.
    fn values(&self, genes: &[u8]) -> Vec<f64> {
        let n = genes.len() as f64;
        let last = (self.options - 1) as u8;
        match self.function {
            Function::Separable => {
                vec![genes.iter().enumerate().map(|(at, gene)| cost(at, 0, *gene)).sum::<f64>() / n]
            }
            Function::Chained => {
                let pairs = genes.windows(2).enumerate().map(|(at, pair)| cost(at, pair[0] + 1, pair[1]));
                vec![pairs.sum::<f64>() / n]
            }
            Function::Trap => {
                let block = |block: &[u8]| {
                    let steps: f64 = block.iter().map(|gene| f64::from(*gene) / f64::from(last)).sum();
                    let share = steps / block.len() as f64;
                    // A block is optimal if all its genes have the last option. All other blocks are better
                    // the closer their genes are to the first option.
                    if block.iter().all(|gene| *gene == last) { 0.0 } else { 0.2 + 0.8 * share }
                };
                let blocks = genes.chunks(TRAP);
                let count = blocks.len() as f64;
                vec![blocks.map(block).sum::<f64>() / count]
            }
            Function::LeadingTrailing => {
                let leading = genes.iter().take_while(|gene| **gene == 0).count();
                let trailing = genes.iter().rev().take_while(|gene| **gene == last).count();
                vec![n - leading as f64, n - trailing as f64]
            }
        }
    }

    fn least(&self, gene: usize) -> f64 {
        (0..self.options).map(|option| cost(gene, 0, option as u8)).fold(f64::INFINITY, f64::min)
    }

    fn shortest_chain(&self) -> f64 {
        let mut best = vec![0.0; self.options];
        for at in 0..self.decisions.saturating_sub(1) {
            let reach = |to: usize| {
                let from = best.iter().enumerate();
                from.map(|(from, value)| value + cost(at, from as u8 + 1, to as u8))
                    .fold(f64::INFINITY, f64::min)
            };
            best = (0..self.options).map(reach).collect();
        }
        best.into_iter().fold(f64::INFINITY, f64::min)
    }
}

/// Returns a pseudo-random cost between 0 and 1, always the same for the same arguments.
fn cost(at: usize, before: u8, gene: u8) -> f64 {
    let hash = seed::derive(1, "function", &[&(at as u64).to_le_bytes(), &[before, gene]]);
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

impl Oracle for FunctionSettings {
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError> {
        let answer = || Answer { objectives: self.values(genotype.genes()), report: None, cost: 1.0 };
        Ok((fidelity == Fidelity::Full).then(answer))
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::size;

    use super::*;
    use crate::bench::track::Track;

    #[test]
    fn known_optimum_equals_the_enumerated_one() {
        for function in [Function::Separable, Function::Chained, Function::Trap, Function::LeadingTrailing] {
            for (decisions, options) in [(1, 2), (5, 3), (6, 2)] {
                let settings = FunctionSettings { function, decisions, options, evaluations: 10 };
                let problem = settings.problem().unwrap();
                let mut track = Track::new(&problem.goal);
                let mut all = size::enumerate(problem.space.as_ref());
                assert!(track.regret() > 0.0);
                all.by_ref().for_each(|genotype| {
                    let answer = problem.oracle.answer(&genotype, Fidelity::Full).unwrap().unwrap();
                    track.add(&answer.objectives, None);
                });
                assert!(
                    track.regret().abs() < 1e-12,
                    "{function:?} {decisions} {options}: {}",
                    track.regret()
                );
                let lowest = match problem.goal {
                    Goal::Lowest { optimum } | Goal::Hypervolume { optimum, .. } => optimum,
                };
                assert!(lowest.is_finite() && lowest >= 0.0);
            }
        }
    }
}
