//! NSGA-II: generations of offspring from binary tournaments. The better half by rank and crowding distance
//! survives.
//!
//! Source: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II,
//! IEEE TEC 2002, sections III.C and VI (constraints by feasibility first).
//! Differs: genes are categories, so crossover is uniform and a mutation draws another option. Known
//! genotypes are not proposed again.

use std::collections::BTreeSet;

use kiln_space::{Genotype, Samples, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::member::{self, Member, offspring, order};
use super::unseen::Unseen;
use crate::contracts::{Ask, Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::Trial;

/// Settings of the strategy. The default probabilities are from the paper.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Nsga2Settings {
    /// Number of trials that survive a generation, and also the number of offspring in a generation.
    population: usize,
    /// Probability that an offspring has two parents.
    crossover: f64,
}

impl Default for Nsga2Settings {
    fn default() -> Self {
        Self { population: 50, crossover: 0.9 }
    }
}

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart = StrategyPart::new("generations by rank and crowding", build)
    .with_keys(&[member::KEYS])
    .tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "population": 1, "crossover": 0.0, "start": [[1, 1]] }"#,
    r#"{ "population": 7, "crossover": 1.0 }"#,
];

/// Builds the strategy from `population` and `crossover`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let Nsga2Settings { population, crossover } = settings.read()?;
    if !(1..=100_000).contains(&population) {
        return Err(SettingsError::value(settings.key("population"), population, "1 to 100000"));
    }
    if !(0.0..=1.0).contains(&crossover) {
        return Err(SettingsError::value(settings.key("crossover"), crossover, "a probability, 0 to 1"));
    }
    Ok(Box::new(Nsga2 {
        settings: Nsga2Settings { population, crossover },
        unseen: Unseen::default(),
        parents: Vec::new(),
        told: Vec::new(),
        running: BTreeSet::new(),
        asked: 0,
    }))
}

#[derive(Debug)]
struct Nsga2 {
    settings: Nsga2Settings,
    unseen: Unseen,
    /// The parents, from best to worst.
    parents: Vec<Member>,
    /// Offspring of this generation whose trials were reported.
    told: Vec<Member>,
    running: BTreeSet<Genotype>,
    /// Number of offspring of this generation that were proposed.
    asked: usize,
}

impl Nsga2 {
    /// Selects the next parents, if the generation is complete.
    fn select(&mut self) {
        if self.asked < self.settings.population || !self.running.is_empty() {
            return;
        }
        let all: Vec<Member> = self.parents.drain(..).chain(self.told.drain(..)).collect();
        let order = order(&all);
        let mut all: Vec<Option<Member>> = all.into_iter().map(Some).collect();
        self.parents =
            order.into_iter().take(self.settings.population).filter_map(|at| all[at].take()).collect();
        self.asked = 0;
    }

    /// Returns the better of two random parents. Parents are sorted, so the lower index is better.
    fn tournament(&self, rng: &mut dyn Rng) -> Option<&Member> {
        let mut drawn = || rng.random_range(0..self.parents.len().max(1));
        self.parents.get(drawn().min(drawn()))
    }
}

impl Strategy for Nsga2 {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        self.select();
        if self.asked >= self.settings.population {
            return Ask::Wait;
        }
        let select = |rng: &mut dyn Rng| self.tournament(rng);
        let found = offspring(select, self.settings.crossover, domain, &self.unseen, rng);
        let ask = self.unseen.propose(found, domain, rng);
        if let Ask::Propose(proposal) = &ask {
            self.asked += 1;
            self.running.insert(proposal.genotype.clone());
        }
        ask
    }

    fn tell(&mut self, trial: &Trial) {
        self.unseen.insert(&trial.proposal.genotype);
        self.running.remove(&trial.proposal.genotype);
        self.told.push(Member::from(trial));
    }
}
