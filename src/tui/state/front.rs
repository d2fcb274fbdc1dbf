//! The Pareto front, updated with each trial.

use std::collections::{BTreeMap, BTreeSet};

use kiln_search::pareto::Archive;
use kiln_search::{Fidelity, Trial, TrialId};
use kiln_space::Genotype;

/// The nondominated trials. The result equals that of `kiln_search::study_front`, but is updated with each
/// trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Front {
    /// The highest fidelity so far. Only trials of this fidelity can be on the front.
    fidelity: Option<Fidelity>,
    archive: Archive<Genotype>,
    /// For each architecture, the trial that represents it.
    members: BTreeMap<Genotype, TrialId>,
    trials: BTreeSet<TrialId>,
}

impl Front {
    /// Adds a trial. Returns whether the front changed.
    pub(crate) fn insert(&mut self, trial: &Trial) -> bool {
        let (id, objectives, genotype) = (trial.id, &trial.objectives.0, &trial.proposal.genotype);
        let fidelity = Some(trial.proposal.fidelity);
        if objectives.is_empty() || trial.violation > 0.0 || fidelity < self.fidelity {
            return false;
        }
        if fidelity > self.fidelity {
            *self = Self { fidelity, ..Self::default() };
        }
        // The architecture's earliest trial represents it, independently of the order in which the outcomes
        // arrive.
        if let Some(same) = self.members.get_mut(genotype) {
            let is_earlier = id < *same;
            if is_earlier {
                self.trials.remove(same);
                self.trials.insert(id);
                *same = id;
            }
            return is_earlier;
        }
        let Some(beaten) = self.archive.insert(genotype.clone(), objectives) else { return false };
        for genotype in beaten {
            if let Some(id) = self.members.remove(&genotype) {
                self.trials.remove(&id);
            }
        }
        self.members.insert(genotype.clone(), id);
        self.trials.insert(id);
        true
    }

    /// Returns the fidelity of the front's trials. `None` while the front is empty.
    pub(crate) const fn fidelity(&self) -> Option<Fidelity> {
        self.fidelity
    }

    /// Whether a trial is on the front.
    pub(crate) fn contains(&self, id: TrialId) -> bool {
        self.trials.contains(&id)
    }

    /// Number of networks on the front.
    pub(crate) fn len(&self) -> usize {
        self.trials.len()
    }
}
