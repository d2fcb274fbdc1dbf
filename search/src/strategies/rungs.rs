//! Efforts of strategies of several fidelities, and which trials of an effort are the better ones.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Settings, SettingsError};
use serde::Deserialize;

use super::member::{self, Member};
use crate::{Fidelity, Trial, TrialId};

/// Settings that all of them share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RungSettings {
    /// Epochs of the lower rungs, ascending; the highest rung is the whole schedule.
    epochs: Vec<u32>,
    /// One of so many goes on to the next rung.
    reduction: usize,
}

impl Default for RungSettings {
    fn default() -> Self {
        Self { epochs: vec![1, 3], reduction: 3 }
    }
}

/// The rungs, lowest first, and how many go on.
#[derive(Clone, Debug)]
pub(super) struct Rungs {
    fidelities: Vec<Fidelity>,
    pub(super) reduction: usize,
}

impl Rungs {
    /// The rungs that settings of `epochs` and `reduction` describe.
    pub(super) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let RungSettings { epochs, reduction } = settings.read()?;
        let ascending = epochs.is_sorted_by(|a, b| a < b) && epochs.first().is_none_or(|first| *first > 0);
        if !ascending || epochs.len() > 16 {
            let expected = "up to 16 numbers of epochs, ascending from at least 1";
            return Err(SettingsError::value(settings.key("epochs"), format!("{epochs:?}"), expected));
        }
        if !(2..=100).contains(&reduction) {
            return Err(SettingsError::value(settings.key("reduction"), reduction, "2 to 100"));
        }
        let mut fidelities: Vec<Fidelity> = epochs.into_iter().map(Fidelity::Epochs).collect();
        fidelities.push(Fidelity::Full);
        Ok(Self { fidelities, reduction })
    }

    /// Number of rungs.
    pub(super) fn count(&self) -> usize {
        self.fidelities.len()
    }

    /// Effort on a rung.
    pub(super) fn fidelity(&self, rung: usize) -> Fidelity {
        self.fidelities[rung]
    }

    /// The rung of an effort.
    pub(super) fn rung(&self, fidelity: Fidelity) -> Option<usize> {
        self.fidelities.iter().position(|known| *known == fidelity)
    }
}

/// Trials told on one rung.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    members: Vec<Member>,
    places: BTreeMap<Genotype, usize>,
}

impl Told {
    pub(super) fn push(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        if self.places.insert(genotype.clone(), self.members.len()).is_none() {
            self.members.push(Member::from(trial));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn contains(&self, genotype: &Genotype) -> bool {
        self.places.contains_key(genotype)
    }

    /// Genotypes and trials from best to worst: by non-dominated rank, then crowding; what failed is left out.
    pub(super) fn best(&self) -> Vec<(&Genotype, TrialId)> {
        let order = member::order(&self.members).into_iter().map(|at| &self.members[at]);
        order
            .filter(|member| !member.objectives.is_empty())
            .map(|member| (&member.genotype, member.id))
            .collect()
    }
}
