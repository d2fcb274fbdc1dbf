//! Regularized (aging) evolution. Tournaments choose the parents, and the oldest member leaves the
//! population.
//!
//! Source: Real, Aggarwal, Huang, Le, Regularized evolution for image classifier architecture search, AAAI
//! 2019, algorithm 1. Differs: several objectives are compared by feasibility, then non-dominated rank, then
//! crowding distance. Known genotypes are not proposed again. Crossover is possible. The next proposal does
//! not wait for running ones.

use std::collections::VecDeque;

use kiln_space::{Genotype, Samples, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::member::{self, Member};
use super::unseen::Unseen;
use crate::contracts::{Ask, Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::{Origin, Trial};

/// Number of attempts to generate an offspring that is not known. After that, a random genotype is proposed.
const ATTEMPTS: usize = 64;

/// Settings of the strategy. The defaults had the best results on NAS-Bench-201 within 100 evaluations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EvolutionSettings {
    /// Size of the population, and also the number of random first trials.
    population: usize,
    /// Number of trials in a tournament. The best of these trials becomes a parent.
    tournament: usize,
    /// Probability that an offspring has two parents.
    crossover: f64,
}

impl Default for EvolutionSettings {
    fn default() -> Self {
        Self { population: 30, tournament: 10, crossover: 0.0 }
    }
}

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("tournaments in an aging population", build).with_keys(&[KEYS]).tested_with(SAMPLES);

/// Schema of the strategy's own settings.
const KEYS: &str = r##"
[population]
"$ref" = "#/$defs/count"
description = "Trials in the population; as many random ones come first."
default = 30

[tournament]
"$ref" = "#/$defs/count"
description = "Trials of a tournament, whose best becomes parent."
default = 10

[crossover]
"$ref" = "#/$defs/share"
description = "Probability that an offspring has two parents."
default = 0.0
"##;

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "population": 1, "tournament": 1, "crossover": 1.0 }"#,
    r#"{ "population": 50, "tournament": 3, "crossover": 0.5 }"#,
];

/// Builds the strategy from `population`, `tournament` and `crossover`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let EvolutionSettings { population, tournament, crossover } = settings.read()?;
    for (key, value) in [("population", population), ("tournament", tournament)] {
        if !(1..=100_000).contains(&value) {
            return Err(SettingsError::value(settings.key(key), value, "1 to 100000"));
        }
    }
    if !(0.0..=1.0).contains(&crossover) {
        return Err(SettingsError::value(settings.key("crossover"), crossover, "a probability, 0 to 1"));
    }
    Ok(Box::new(RegularizedEvolution {
        settings: EvolutionSettings { population, tournament, crossover },
        unseen: Unseen::default(),
        population: VecDeque::new(),
        places: Vec::new(),
        asked: 0,
    }))
}

#[derive(Debug)]
struct RegularizedEvolution {
    settings: EvolutionSettings,
    unseen: Unseen,
    /// The members, from oldest to youngest.
    population: VecDeque<Member>,
    /// Position of each member in the order from best to worst. Empty until the next tournament needs the
    /// positions.
    places: Vec<usize>,
    asked: usize,
}

impl RegularizedEvolution {
    /// Returns the best of a few random members. The population must not be empty.
    fn tournament(&self, rng: &mut dyn Rng) -> &Member {
        let drawn = (0..self.settings.tournament).map(|_| rng.random_range(0..self.population.len()));
        let winner = drawn.min_by_key(|&member| self.places[member]);
        &self.population[winner.expect("a tournament has at least one member")]
    }

    fn offspring(&self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        for _ in 0..ATTEMPTS {
            let parent = self.tournament(rng);
            let mut origin = Origin::of("mutation", vec![parent.id]);
            let mut genotype = parent.genotype.clone();
            if self.settings.crossover > 0.0 && rng.random_bool(self.settings.crossover) {
                let other = self.tournament(rng);
                if let Some(mixed) = domain.crossover(&parent.genotype, &other.genotype, rng) {
                    genotype = mixed;
                    origin = Origin::of("crossover", vec![parent.id, other.id]);
                }
            }
            if let Some(mutant) = domain.mutate(&genotype, rng)
                && !self.unseen.is_known(&mutant)
            {
                return Some((mutant, origin));
            }
        }
        None
    }

    fn update_places(&mut self) {
        if self.places.len() == self.population.len() {
            return;
        }
        let mut places = vec![0; self.population.len()];
        for (place, member) in member::order(self.population.make_contiguous()).into_iter().enumerate() {
            places[member] = place;
        }
        self.places = places;
    }
}

impl Strategy for RegularizedEvolution {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        self.update_places();
        let evolving = self.asked >= self.settings.population && !self.population.is_empty();
        let offspring = if evolving { self.offspring(domain, rng) } else { None };
        self.asked += 1;
        self.unseen.propose(offspring, domain, rng)
    }

    fn tell(&mut self, trial: &Trial) {
        self.unseen.insert(&trial.proposal.genotype);
        self.population.push_back(Member::from(trial));
        if self.population.len() > self.settings.population {
            self.population.pop_front();
        }
        self.places.clear();
    }
}
