//! Random search: the baseline that every other strategy must beat.

use kiln_space::{Samples, Settings, SettingsError};
use rand::Rng;
use serde::Deserialize;

use super::unseen::Unseen;
use crate::contracts::{Ask, Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::Trial;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("uniform sampling without repeats", build).with_keys(&[]).tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &["{}", r#"{ "proxies": { "draw": 15, "keep": 5 } }"#];

/// Builds the strategy, which has no settings.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    settings.read::<NoSettings>()?;
    Ok(Box::new(Random::default()))
}

/// Proposes uniform random feasible genotypes without repeats.
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
