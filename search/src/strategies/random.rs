//! Random search: the baseline that every other strategy must beat.

use kiln_space::{Settings, SettingsError};
use rand::Rng;
use serde::Deserialize;

use super::unseen::Unseen;
use crate::contracts::{Ask, Strategy};
use crate::domain::Domain;
use crate::trials::Trial;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// Builds the strategy; it has no settings.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    settings.read::<NoSettings>()?;
    Ok(Box::new(Random::default()))
}

/// Uniform feasible samples without repeats.
#[derive(Debug, Default)]
struct Random {
    unseen: Unseen,
}

impl Strategy for Random {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        self.unseen.propose(None, domain, rng)
    }

    fn tell(&mut self, trial: &Trial) {
        self.unseen.insert(&trial.proposal.genotype);
    }
}
