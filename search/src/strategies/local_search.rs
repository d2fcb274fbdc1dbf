//! Local search: moves from a random start to the first better neighbor, repeatedly. If no neighbor is
//! better, it restarts from another random genotype.
//!
//! Source: White, Nolen, Savani, Exploring the loss landscape in neural architecture search, UAI 2021.
//! Differs: the first improvement is taken, not the best. Several objectives are summed with weights that are
//! drawn at each start. The next proposal does not wait for running ones.

use kiln_space::{Genotype, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::walk::Walk;
use crate::contracts::{Ask, Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::{Origin, Trial};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("first better neighbor, with restarts", build).with_keys(&[]);

/// Builds the strategy, which has no settings.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let NoSettings {} = settings.read()?;
    Ok(Box::new(LocalSearch::default()))
}

#[derive(Debug, Default)]
struct LocalSearch {
    /// The state of the walk. Its `news` are random starts whose trials were reported while another climb was
    /// running.
    walk: Walk,
    /// The current genotype of the climb.
    current: Option<Genotype>,
    /// Neighbors that were not examined yet. The last element is examined next.
    open: Vec<Genotype>,
}

impl LocalSearch {
    fn is_better(&self, genotype: &Genotype) -> bool {
        self.current.as_ref().is_none_or(|current| self.walk.value(genotype) < self.walk.value(current))
    }

    /// Continues the climb from this genotype.
    fn stand(&mut self, genotype: Genotype, domain: &Domain<'_>, rng: &mut dyn Rng) {
        self.open = domain.neighbors(&genotype);
        for at in (1..self.open.len()).rev() {
            self.open.swap(at, rng.random_range(0..=at));
        }
        self.current = Some(genotype);
    }

    /// Returns the next neighbor that is not known. If a known neighbor is better, the climb moves to that
    /// neighbor first.
    fn neighbor(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Genotype> {
        while let Some(neighbor) = self.open.pop() {
            if !self.walk.unseen.is_known(&neighbor) {
                return Some(neighbor);
            }
            if self.is_better(&neighbor) {
                self.stand(neighbor, domain, rng);
            }
        }
        None
    }

    /// Starts a climb from a random start whose trial was reported. Returns false if there is no such start.
    fn restart(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> bool {
        self.current = None;
        self.walk.weighing.draw(domain.objectives().len(), rng);
        let start = self.walk.news.pop();
        if let Some(start) = start.clone() {
            self.stand(start, domain, rng);
        }
        start.is_some()
    }

    /// Returns the next step of a climb.
    fn next(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        // Moving to a better genotype that has a reported trial needs no evaluation.
        let better: Vec<Genotype> = std::mem::take(&mut self.walk.news);
        for genotype in better {
            let beside =
                self.current.as_ref().is_some_and(|current| domain.neighbors(current).contains(&genotype));
            if self.current.is_none() {
                self.walk.weighing.draw(domain.objectives().len(), rng);
                self.stand(genotype, domain, rng);
            } else if beside && self.is_better(&genotype) {
                self.stand(genotype, domain, rng);
            } else if !beside {
                self.walk.news.push(genotype);
            }
        }
        while self.current.is_some() {
            if let Some(neighbor) = self.neighbor(domain, rng) {
                return Some((neighbor, self.walk.step_from(self.current.as_ref())));
            }
            self.restart(domain, rng);
        }
        None
    }
}

impl Strategy for LocalSearch {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let found = self.next(domain, rng);
        self.walk.unseen.propose(found, domain, rng)
    }

    fn tell(&mut self, trial: &Trial) {
        self.walk.tell(trial);
    }
}
