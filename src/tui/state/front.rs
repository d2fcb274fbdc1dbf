//! The Pareto front, kept while trials come.

use std::collections::BTreeMap;

use kiln_search::pareto::dominates;
use kiln_search::{Fidelity, Trial, TrialId};
use kiln_space::Genotype;

/// The trials that none of the trials so far dominates: as `kiln_search::study_front`, but kept while they come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Front {
    /// Highest fidelity so far, the one that counts.
    fidelity: Option<Fidelity>,
    members: BTreeMap<TrialId, (Genotype, Vec<f64>)>,
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
            self.members.clear();
            self.fidelity = fidelity;
        }
        // The earliest trial stands for its architecture, whichever answer came first.
        let same = self.members.iter().find(|(_, (member, _))| member == genotype).map(|(id, _)| *id);
        if let Some(same) = same {
            if id < same
                && let Some(member) = self.members.remove(&same)
            {
                self.members.insert(id, member);
            }
            return id < same;
        }
        if self.members.values().any(|(_, member)| dominates(member, objectives)) {
            return false;
        }
        self.members.retain(|_, (_, member)| !dominates(objectives, member));
        self.members.insert(id, (genotype.clone(), objectives.clone()));
        true
    }

    /// The effort with which its members were judged; `None` before there is one.
    pub(crate) const fn fidelity(&self) -> Option<Fidelity> {
        self.fidelity
    }

    /// Whether a trial is on it.
    pub(crate) fn contains(&self, id: TrialId) -> bool {
        self.members.contains_key(&id)
    }

    /// Networks on it.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }
}
