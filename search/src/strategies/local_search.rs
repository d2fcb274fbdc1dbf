//! Local search: from a random start to the first better neighbor again and again, and a new start where none is better.
//!
//! Source: White, Nolen, Savani, Exploring the loss landscape in neural architecture search, UAI 2021.
//! Differs: the first improvement is taken, not the best; several objectives are summed with weights that are drawn at
//! each start; proposals in flight do not hold up the next one.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::unseen::Unseen;
use super::weighing::Weighing;
use crate::{Ask, Domain, Fidelity, Origin, Proposal, Strategy, Trial, TrialId};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// Builds the strategy; it has no settings.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let NoSettings {} = settings.read()?;
    Ok(Box::new(LocalSearch::default()))
}

#[derive(Debug, Default)]
struct LocalSearch {
    unseen: Unseen,
    weighing: Weighing,
    /// What was told, by genotype.
    told: BTreeMap<Genotype, (TrialId, Vec<f64>)>,
    /// Where the climb stands.
    current: Option<Genotype>,
    /// Neighbors of it that were not looked at, in the order of looking, last first.
    open: Vec<Genotype>,
    /// Starts that were told while another climb went on.
    starts: Vec<Genotype>,
}

impl LocalSearch {
    fn value(&self, genotype: &Genotype) -> f64 {
        self.told.get(genotype).map_or(f64::INFINITY, |(_, objectives)| self.weighing.value(objectives))
    }

    fn is_better(&self, genotype: &Genotype) -> bool {
        self.current.as_ref().is_none_or(|current| self.value(genotype) < self.value(current))
    }

    /// Goes on from here.
    fn stand(&mut self, genotype: Genotype, domain: &Domain<'_>, rng: &mut dyn Rng) {
        self.open = domain.neighbors(&genotype);
        for at in (1..self.open.len()).rev() {
            self.open.swap(at, rng.random_range(0..=at));
        }
        self.current = Some(genotype);
    }

    /// A neighbor that nothing is known about, after moving to known ones that are better.
    fn neighbor(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Genotype> {
        while let Some(neighbor) = self.open.pop() {
            if !self.unseen.is_known(&neighbor) {
                return Some(neighbor);
            }
            if self.is_better(&neighbor) {
                self.stand(neighbor, domain, rng);
            }
        }
        None
    }

    /// Begins a climb at a start that was told; false if there is none.
    fn restart(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> bool {
        self.current = None;
        self.weighing.draw(domain.objectives().len(), rng);
        let start = self.starts.pop();
        if let Some(start) = start.clone() {
            self.stand(start, domain, rng);
        }
        start.is_some()
    }

    fn next(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        // Known genotypes that are better cost nothing to go to: the best of those told since the last ask.
        let better: Vec<Genotype> = std::mem::take(&mut self.starts);
        for genotype in better {
            let beside =
                self.current.as_ref().is_some_and(|current| domain.neighbors(current).contains(&genotype));
            if self.current.is_none() {
                self.weighing.draw(domain.objectives().len(), rng);
                self.stand(genotype, domain, rng);
            } else if beside && self.is_better(&genotype) {
                self.stand(genotype, domain, rng);
            } else if !beside {
                self.starts.push(genotype);
            }
        }
        while self.current.is_some() {
            if let Some(neighbor) = self.neighbor(domain, rng) {
                let current = self.current.as_ref().and_then(|current| self.told.get(current));
                let parents = current.map(|(id, _)| *id).into_iter().collect();
                let origin = Origin { operator: "mutation".to_owned(), parents, cluster: None };
                return Some((neighbor, origin));
            }
            self.restart(domain, rng);
        }
        let origin = Origin { operator: "random".to_owned(), ..Origin::default() };
        self.unseen.sample(domain, rng).map(|genotype| (genotype, origin))
    }
}

impl Strategy for LocalSearch {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let Some((genotype, origin)) = self.next(domain, rng) else { return Ask::Done };
        self.unseen.insert(&genotype);
        Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin })
    }

    fn tell(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        self.unseen.insert(&genotype);
        if !trial.objectives.0.is_empty() {
            self.weighing.widen(trial);
            self.told.insert(genotype.clone(), (trial.id, trial.objectives.0.clone()));
            self.starts.push(genotype);
        }
    }
}
