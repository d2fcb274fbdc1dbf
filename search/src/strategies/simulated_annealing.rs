//! Simulated annealing: a walk that also goes to worse neighbors, ever less often.
//!
//! Source: Kirkpatrick, Gelatt, Vecchi, Optimization by simulated annealing, Science 1983.
//! Differs: differences are relative to the range of the values seen, so that one temperature fits every objective; the walk
//! begins again at the best when it is cold; several objectives are summed with weights that are drawn at each beginning;
//! known genotypes are walked over for nothing.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::unseen::Unseen;
use super::weighing::Weighing;
use crate::{Ask, Domain, Fidelity, Origin, Proposal, Strategy, Trial, TrialId};

/// Steps over known genotypes before a random one is proposed.
const STEPS: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnnealingSettings {
    /// Random trials before the walk.
    initial: usize,
    /// Temperature at the beginning, as a share of the range of values.
    temperature: f64,
    /// Factor of the temperature for each trial.
    cooling: f64,
    /// Temperature at which the walk begins again.
    coldest: f64,
}

impl Default for AnnealingSettings {
    fn default() -> Self {
        Self { initial: 5, temperature: 0.1, cooling: 0.95, coldest: 0.001 }
    }
}

/// Builds the strategy from `initial`, `temperature`, `cooling` and `coldest`.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
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
        unseen: Unseen::default(),
        weighing: Weighing::default(),
        told: BTreeMap::new(),
        news: Vec::new(),
        current: None,
        asked: 0,
    }))
}

#[derive(Debug)]
struct SimulatedAnnealing {
    settings: AnnealingSettings,
    unseen: Unseen,
    weighing: Weighing,
    told: BTreeMap<Genotype, (TrialId, Vec<f64>)>,
    /// Told since the last ask.
    news: Vec<Genotype>,
    current: Option<Genotype>,
    temperature: f64,
    asked: usize,
}

impl SimulatedAnnealing {
    fn value(&self, genotype: &Genotype) -> f64 {
        self.told.get(genotype).map_or(f64::INFINITY, |(_, objectives)| self.weighing.value(objectives))
    }

    /// Whether the walk goes there.
    fn accepts(&self, genotype: &Genotype, rng: &mut dyn Rng) -> bool {
        let Some(current) = &self.current else { return true };
        let worse = self.value(genotype) - self.value(current);
        worse <= 0.0 || (worse.is_finite() && rng.random::<f64>() < (-worse / self.temperature).exp())
    }

    fn hear(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) {
        if self.current.is_none() {
            self.weighing.draw(domain.objectives().len(), rng);
        }
        for genotype in std::mem::take(&mut self.news) {
            if self.accepts(&genotype, rng) {
                self.current = Some(genotype);
            }
            self.temperature *= self.settings.cooling;
        }
        if self.temperature < self.settings.coldest {
            self.temperature = self.settings.temperature;
            self.weighing.draw(domain.objectives().len(), rng);
            let best = self.told.keys().min_by(|a, b| self.value(a).total_cmp(&self.value(b)));
            self.current = best.cloned();
        }
    }

    fn step(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        for _ in 0..STEPS {
            let current = self.current.clone()?;
            let mutant = domain.mutate(&current, rng)?;
            if !self.unseen.is_known(&mutant) {
                let parents = self.told.get(&current).map(|(id, _)| *id).into_iter().collect();
                return Some((mutant, Origin { operator: "mutation".to_owned(), parents, cluster: None }));
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
        let random = || Origin { operator: "random".to_owned(), ..Origin::default() };
        let next = next.or_else(|| self.unseen.sample(domain, rng).map(|genotype| (genotype, random())));
        let Some((genotype, origin)) = next else { return Ask::Done };
        self.asked += 1;
        self.unseen.insert(&genotype);
        Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin })
    }

    fn tell(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        self.unseen.insert(&genotype);
        if !trial.objectives.0.is_empty() {
            self.weighing.widen(trial);
            self.told.insert(genotype.clone(), (trial.id, trial.objectives.0.clone()));
            self.news.push(genotype);
        }
    }
}
