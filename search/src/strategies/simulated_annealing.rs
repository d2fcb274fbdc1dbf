//! Simulated annealing: a random walk that also moves to worse neighbors, less and less often.
//!
//! Source: Kirkpatrick, Gelatt, Vecchi, Optimization by simulated annealing, Science 1983. Differs:
//! differences are relative to the range of the values so far, so that one temperature fits every objective.
//! When the temperature falls below `coldest`, the walk restarts at the best trial. Several objectives are
//! summed with weights that are drawn at each start. Steps over known genotypes need no evaluation.

use kiln_space::{Genotype, Samples, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::walk::Walk;
use crate::contracts::{Ask, Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::{Origin, Trial};

/// Maximum number of steps over known genotypes. After that, a random genotype is proposed.
const STEPS: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnnealingSettings {
    /// Number of random trials before the walk starts.
    initial: usize,
    /// Initial temperature, as a share of the range of values.
    temperature: f64,
    /// Factor by which each trial multiplies the temperature.
    cooling: f64,
    /// Temperature below which the walk restarts.
    coldest: f64,
}

impl Default for AnnealingSettings {
    fn default() -> Self {
        Self { initial: 5, temperature: 0.1, cooling: 0.95, coldest: 0.001 }
    }
}

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("a walk that cools down", build).with_keys(&[KEYS]).tested_with(SAMPLES);

/// Schema of the strategy's own settings.
const KEYS: &str = r##"
initial = { "$ref" = "#/$defs/count", description = "Random trials before the walk.", default = 5 }

[temperature]
type = "number"
exclusiveMinimum = 0
description = "First temperature, as a share of the range of values."
default = 0.1

[cooling]
"$ref" = "#/$defs/share"
description = "Factor of the temperature for each trial."
default = 0.95

[coldest]
type = "number"
exclusiveMinimum = 0
description = "Temperature at which the walk begins again."
default = 0.001
"##;

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &["{}", r#"{ "initial": 1, "temperature": 5.0, "cooling": 0.5, "coldest": 0.1 }"#];

/// Builds the strategy from `initial`, `temperature`, `cooling` and `coldest`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let read: AnnealingSettings = settings.read()?;
    if !(1..=100_000).contains(&read.initial) {
        return Err(SettingsError::value(settings.key("initial"), read.initial, "1 to 100000"));
    }
    if !(read.cooling > 0.0 && read.cooling < 1.0) {
        return Err(SettingsError::value(settings.key("cooling"), read.cooling, "a number between 0 and 1"));
    }
    if !(read.coldest > 0.0 && read.coldest.is_finite()) {
        return Err(SettingsError::value(settings.key("coldest"), read.coldest, "a positive number"));
    }
    if !(read.temperature > read.coldest && read.temperature.is_finite()) {
        let expected = "a number above `coldest`";
        return Err(SettingsError::value(settings.key("temperature"), read.temperature, expected));
    }
    Ok(Box::new(SimulatedAnnealing {
        temperature: read.temperature,
        settings: read,
        walk: Walk::default(),
        current: None,
        asked: 0,
    }))
}

#[derive(Debug)]
struct SimulatedAnnealing {
    settings: AnnealingSettings,
    /// The state of the walk. Its `news` are the trials reported to the strategy after the last ask.
    walk: Walk,
    current: Option<Genotype>,
    temperature: f64,
    asked: usize,
}

impl SimulatedAnnealing {
    /// Whether the walk moves to this genotype.
    fn accepts(&self, genotype: &Genotype, rng: &mut dyn Rng) -> bool {
        let Some(current) = &self.current else { return true };
        let worse = self.walk.value(genotype) - self.walk.value(current);
        worse <= 0.0 || (worse.is_finite() && rng.random::<f64>() < (-worse / self.temperature).exp())
    }

    fn hear(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) {
        if self.current.is_none() {
            self.walk.weighing.draw(domain.objectives().len(), rng);
        }
        for genotype in std::mem::take(&mut self.walk.news) {
            if self.accepts(&genotype, rng) {
                self.current = Some(genotype);
            }
            self.temperature *= self.settings.cooling;
        }
        if self.temperature < self.settings.coldest {
            self.temperature = self.settings.temperature;
            self.walk.weighing.draw(domain.objectives().len(), rng);
            self.current = self.walk.best().cloned();
        }
    }

    fn step(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        for _ in 0..STEPS {
            let current = self.current.clone()?;
            let mutant = domain.mutate(&current, rng)?;
            if !self.walk.unseen.is_known(&mutant) {
                return Some((mutant, self.walk.step_from(Some(&current))));
            }
            if self.accepts(&mutant, rng) {
                self.current = Some(mutant);
            }
        }
        None
    }
}

impl Strategy for SimulatedAnnealing {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        self.hear(domain, rng);
        let walking = self.asked >= self.settings.initial;
        let next = if walking { self.step(domain, rng) } else { None };
        self.asked += 1;
        self.walk.unseen.propose(next, domain, rng)
    }

    fn tell(&mut self, trial: &Trial) {
        self.walk.tell(trial);
    }
}
