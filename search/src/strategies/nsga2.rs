//! NSGA-II: generations of offspring of binary tournaments, of which the better half by rank and crowding survives.
//!
//! Source: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE TEC 2002,
//! sections III.C and VI (constraints by feasibility first).
//! Differs: genes are categories, so crossover is uniform and a mutation draws another option; known genotypes are not
//! proposed again.

use std::collections::BTreeSet;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::unseen::Unseen;
use crate::pareto::{self, Point};
use crate::{Ask, Domain, Fidelity, Origin, Proposal, Strategy, Trial, TrialId};

/// Offspring that are all known before a random genotype is proposed instead.
const ATTEMPTS: usize = 64;

/// Settings of the strategy; probabilities as published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Nsga2Settings {
    /// Trials that survive a generation, and offspring of each.
    population: usize,
    /// Probability that an offspring has two parents.
    crossover: f64,
}

impl Default for Nsga2Settings {
    fn default() -> Self {
        Self { population: 50, crossover: 0.9 }
    }
}

/// Builds the strategy from `population` and `crossover`.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
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
    /// Best first.
    parents: Vec<Member>,
    /// Offspring of this generation that were told.
    told: Vec<Member>,
    running: BTreeSet<Genotype>,
    /// Offspring of this generation that were asked for.
    asked: usize,
}

#[derive(Debug)]
struct Member {
    id: TrialId,
    genotype: Genotype,
    objectives: Vec<f64>,
    violation: f64,
}

impl Nsga2 {
    /// The next generation, if this one is complete.
    fn select(&mut self) {
        if self.asked < self.settings.population || !self.running.is_empty() {
            return;
        }
        let mut all: Vec<Option<Member>> =
            self.parents.drain(..).chain(self.told.drain(..)).map(Some).collect();
        let points: Vec<Point<'_>> = all
            .iter()
            .flatten()
            .map(|member| Point { objectives: &member.objectives, violation: member.violation })
            .collect();
        let order = pareto::order(&points);
        self.parents =
            order.into_iter().take(self.settings.population).filter_map(|at| all[at].take()).collect();
        self.asked = 0;
    }

    /// The better of two drawn at random: the parents stand in order.
    fn tournament(&self, rng: &mut dyn Rng) -> &Member {
        let mut drawn = || rng.random_range(0..self.parents.len());
        &self.parents[drawn().min(drawn())]
    }

    fn offspring(&self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        if self.parents.is_empty() {
            return None;
        }
        let genes = domain.space().decisions().len().max(1);
        for _ in 0..ATTEMPTS {
            let parent = self.tournament(rng);
            let mut origin =
                Origin { operator: "mutation".to_owned(), parents: vec![parent.id], cluster: None };
            let mut genotype = parent.genotype.clone();
            if rng.random_bool(self.settings.crossover) {
                let other = self.tournament(rng);
                if let Some(mixed) = domain.crossover(&genotype, &other.genotype, rng) {
                    genotype = mixed;
                    "crossover".clone_into(&mut origin.operator);
                    origin.parents.push(other.id);
                }
            }
            // Every gene with a probability of one over their number.
            let mutations = (0..genes).filter(|_| rng.random_range(0..genes as u32) == 0).count();
            for _ in 0..mutations {
                if let Some(mutant) = domain.mutate(&genotype, rng) {
                    genotype = mutant;
                }
            }
            if !self.unseen.is_known(&genotype) {
                return Some((genotype, origin));
            }
        }
        None
    }
}

impl Strategy for Nsga2 {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        self.select();
        if self.asked >= self.settings.population {
            return Ask::Wait;
        }
        let random = || Origin { operator: "random".to_owned(), ..Origin::default() };
        let next = self.offspring(domain, rng);
        let next = next.or_else(|| self.unseen.sample(domain, rng).map(|genotype| (genotype, random())));
        let Some((genotype, origin)) = next else { return Ask::Done };
        self.asked += 1;
        self.unseen.insert(&genotype);
        self.running.insert(genotype.clone());
        Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin })
    }

    fn tell(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        self.unseen.insert(&genotype);
        self.running.remove(&genotype);
        let (objectives, violation) = (trial.objectives.0.clone(), trial.violation);
        self.told.push(Member { id: trial.id, genotype, objectives, violation });
    }
}
