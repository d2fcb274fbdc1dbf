//! Tracks the evaluations of a run in simulated time, and how much of the budget they use.

use std::collections::BTreeMap;

use kiln_space::Genotype;

use super::error::BenchError;
use super::problem::{Answer, Problem};
use crate::trials::{Fidelity, Proposal, TrialId};

/// The state of a run's evaluations: which are running, and which results are known.
pub(super) struct Flight<'a> {
    problem: &'a Problem,
    /// Results of the evaluations that the budget has paid for.
    known: BTreeMap<(Genotype, Fidelity), Answer>,
    running: Vec<Running>,
    now: f64,
    /// Cost of all evaluations that have started.
    committed: f64,
}

/// An evaluation that is running.
struct Running {
    /// Time at which the evaluation ends.
    end: f64,
    evaluated: Evaluated,
}

/// An evaluation that has ended.
pub(super) struct Evaluated {
    pub(super) id: TrialId,
    pub(super) proposal: Proposal,
    pub(super) answer: Answer,
}

impl<'a> Flight<'a> {
    /// Creates a state without running evaluations.
    pub(super) const fn new(problem: &'a Problem) -> Self {
        Self { problem, known: BTreeMap::new(), running: Vec::new(), now: 0.0, committed: 0.0 }
    }

    /// Starts the evaluation of a proposal. A proposal that was evaluated before takes no time and costs
    /// nothing. Returns false if the cost of the evaluation exceeds the rest of the budget.
    pub(super) fn start(&mut self, id: TrialId, proposal: Proposal, label: &str) -> Result<bool, BenchError> {
        let key = (proposal.genotype.clone(), proposal.fidelity);
        let answer = if let Some(known) = self.known.get(&key) {
            Answer { cost: 0.0, ..known.clone() }
        } else {
            let Some(answer) = self.problem.oracle.answer(&key.0, key.1)? else {
                let (genotype, fidelity) = key;
                return Err(BenchError::Fidelity { strategy: label.to_owned(), genotype, fidelity });
            };
            if self.committed + answer.cost > self.problem.budget {
                return Ok(false);
            }
            self.committed += answer.cost;
            self.known.insert(key, answer.clone());
            answer
        };
        let end = self.now + answer.cost;
        self.running.push(Running { end, evaluated: Evaluated { id, proposal, answer } });
        Ok(true)
    }

    /// Returns the running evaluation that ends next, and advances the simulated time to its end. If several
    /// evaluations end at the same time, the one that started first is returned.
    pub(super) fn next(&mut self) -> Option<Evaluated> {
        let ends = self.running.iter().enumerate();
        let order =
            |a: &Running, b: &Running| a.end.total_cmp(&b.end).then(a.evaluated.id.cmp(&b.evaluated.id));
        let (next, _) = ends.min_by(|(_, a), (_, b)| order(a, b))?;
        let Running { end, evaluated } = self.running.remove(next);
        self.now = end;
        Some(evaluated)
    }

    /// Number of running evaluations.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Number of evaluations that used up budget. Proxies are not counted.
    pub(super) fn evaluations(&self) -> u64 {
        self.known.keys().filter(|(_, fidelity)| *fidelity != Fidelity::Proxy).count() as u64
    }

    /// Returns the result of an evaluation.
    pub(super) fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Option<&Answer> {
        self.known.get(&(genotype.clone(), fidelity))
    }
}
