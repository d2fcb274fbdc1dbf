//! ASHA: successive halving without waiting. Whoever is among the best third of a rung goes on to the next one at once, and
//! new genotypes fill the lowest rung otherwise.
//!
//! Source: Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar, A system for massively parallel hyperparameter
//! tuning, MLSys 2020, algorithm 2; several objectives by non-dominated rank, then crowding: Schmucker, Donini, Zafar, Salinas,
//! Archambeau, Multi-objective asynchronous successive halving, 2021.

use std::collections::BTreeSet;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::Rng;

use super::rungs::{Rungs, Told};
use super::unseen::Unseen;
use crate::{Ask, Domain, Fidelity, Origin, Proposal, Strategy, Trial};

/// Builds the strategy from `epochs` and `reduction`.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let rungs = Rungs::read(settings)?;
    let count = rungs.count();
    Ok(Box::new(Asha {
        rungs,
        unseen: Unseen::default(),
        told: vec![Told::default(); count],
        promoted: vec![BTreeSet::new(); count],
        running: BTreeSet::new(),
    }))
}

#[derive(Debug)]
struct Asha {
    rungs: Rungs,
    unseen: Unseen,
    /// By rung.
    told: Vec<Told>,
    /// Those that went on from each rung.
    promoted: Vec<BTreeSet<Genotype>>,
    running: BTreeSet<(Genotype, Fidelity)>,
}

impl Asha {
    /// The best that may go on, from the highest rung down.
    fn promotion(&mut self) -> Option<(usize, Genotype, Origin)> {
        for rung in (0..self.rungs.count() - 1).rev() {
            let may = self.told[rung].len() / self.rungs.reduction;
            if may <= self.promoted[rung].len() {
                continue;
            }
            let promoted = &self.promoted[rung];
            let best = self.told[rung].best();
            let next = best.into_iter().take(may).find(|(genotype, _)| !promoted.contains(*genotype));
            if let Some((genotype, id)) = next {
                let genotype = genotype.clone();
                self.promoted[rung].insert(genotype.clone());
                if self.told[rung + 1].contains(&genotype) {
                    return self.promotion();
                }
                let origin = Origin::of("promotion", vec![id]);
                return Some((rung + 1, genotype, origin));
            }
        }
        None
    }
}

impl Strategy for Asha {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let random = || Origin::of("random", Vec::new());
        let next = self.promotion();
        let next = next.or_else(|| self.unseen.sample(domain, rng).map(|genotype| (0, genotype, random())));
        let Some((rung, genotype, origin)) = next else {
            return if self.running.is_empty() { Ask::Done } else { Ask::Wait };
        };
        self.unseen.insert(&genotype);
        let fidelity = self.rungs.fidelity(rung);
        self.running.insert((genotype.clone(), fidelity));
        Ask::Propose(Proposal { genotype, fidelity, origin })
    }

    fn tell(&mut self, trial: &Trial) {
        self.unseen.insert(&trial.proposal.genotype);
        self.running.remove(&(trial.proposal.genotype.clone(), trial.proposal.fidelity));
        if let Some(rung) = self.rungs.rung(trial.proposal.fidelity) {
            self.told[rung].push(trial);
        }
    }
}
