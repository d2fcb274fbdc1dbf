//! The Pareto front, kept while trials come.

use std::collections::{BTreeMap, BTreeSet};

use kiln_search::pareto::Archive;
use kiln_search::{Fidelity, Trial, TrialId};
use kiln_space::Genotype;

/// The trials that none of the trials so far dominates: as `kiln_search::study_front`, but kept while they come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Front {
    /// Highest fidelity so far, the one that counts.
    fidelity: Option<Fidelity>,
    archive: Archive<Genotype>,
    /// The trial that stands for each architecture.
    members: BTreeMap<Genotype, TrialId>,
    trials: BTreeSet<TrialId>,
}

impl Front {
    /// Takes in a trial; says whether the front is another one now.
    pub(crate) fn insert(&mut self, trial: &Trial) -> bool {
        let (id, objectives, genotype) = (trial.id, &trial.objectives.0, &trial.proposal.genotype);
        let fidelity = Some(trial.proposal.fidelity);
        if objectives.is_empty() || trial.violation > 0.0 || fidelity < self.fidelity {
            return false;
        }
        if fidelity > self.fidelity {
            *self = Self { fidelity, ..Self::default() };
        }
        // The earliest trial stands for its architecture, whichever answer came first.
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

    /// The effort with which its members were judged; `None` before there is one.
    pub(crate) const fn fidelity(&self) -> Option<Fidelity> {
        self.fidelity
    }

    /// Whether a trial is on it.
    pub(crate) fn contains(&self, id: TrialId) -> bool {
        self.trials.contains(&id)
    }

    /// Networks on it.
    pub(crate) fn len(&self) -> usize {
        self.trials.len()
    }
}
