//! ASHA: asynchronous successive halving. A genotype in the best third of its rung is promoted to the next
//! rung immediately. If no genotype can be promoted, a new genotype starts on the lowest rung.
//!
//! Source: Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar, A system for massively parallel
//! hyperparameter tuning, MLSys 2020, algorithm 2; Schmucker, Donini, Zafar, Salinas, Archambeau,
//! Multi-objective asynchronous successive halving, 2021 (several objectives are compared by non-dominated
//! rank, then crowding distance).

use std::collections::BTreeSet;

use kiln_space::{Genotype, Samples, Settings, SettingsError};
use rand::Rng;

use super::rungs::{self, Rungs, Told};
use super::unseen::Unseen;
use crate::contracts::{Ask, Needs, Schedule, Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::{Fidelities, Fidelity, Origin, Proposal, Trial};

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("more effort for the best third, without waiting", build)
        .with_keys(&[rungs::KEYS])
        .tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "proxies": { "draw": 1, "keep": 1 } }"#,
    r#"{ "epochs": [] }"#,
    r#"{ "epochs": [3, 20], "reduction": 2 }"#,
    r#"{ "epochs": [2, 3, 19], "reduction": 100 }"#,
];

/// Builds the strategy from `epochs` and `reduction`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    Ok(Box::new(Asha::new(Rungs::read(settings)?)))
}

/// Maximum number of trials that [`Asha::needs`] simulates.
const MOST_NEEDED: u64 = 100_000;

#[derive(Debug)]
struct Asha {
    rungs: Rungs,
    unseen: Unseen,
    /// Trials that were reported to the strategy, by rung.
    told: Vec<Told>,
    /// Genotypes promoted from each rung.
    promoted: Vec<BTreeSet<Genotype>>,
    running: BTreeSet<(Genotype, Fidelity)>,
}

/// A genotype and the rung on which to evaluate it.
struct Next {
    rung: usize,
    genotype: Genotype,
    origin: Origin,
}

impl Asha {
    fn new(rungs: Rungs) -> Self {
        let count = rungs.count();
        Self {
            rungs,
            unseen: Unseen::default(),
            told: vec![Told::default(); count],
            promoted: vec![BTreeSet::new(); count],
            running: BTreeSet::new(),
        }
    }

    /// Returns the next promotion. Higher rungs are checked first.
    fn promotion(&mut self) -> Option<Next> {
        for rung in (0..self.rungs.count() - 1).rev() {
            // The rung allows one promotion for every `reduction` trials.
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
                return Some(Next { rung: rung + 1, genotype, origin });
            }
        }
        None
    }
}

/// Simulates the promotion of trials in virtual completion order. The simulation assumes that no trial fails
/// and that there is always a new genotype. Only the number of promotions matters, not the promoted
/// genotypes.
fn needs(rungs: &Rungs, answered: Fidelities, in_flight: usize) -> Option<Needs> {
    let highest = rungs.count() - 1;
    let (mut told, mut promoted) = (vec![0_usize; highest + 1], vec![0_usize; highest + 1]);
    let mut schedule = Schedule::new(answered);
    // The rung of each trial.
    let mut asked: Vec<usize> = Vec::new();
    let mut needs = Needs { trials: 0, epochs: 0 };
    while needs.trials < MOST_NEEDED {
        while schedule.running() < in_flight.max(1) {
            let from = (0..highest).rev().find(|rung| told[*rung] / rungs.reduction > promoted[*rung]);
            let rung = from.map_or(0, |from| from + 1);
            if let Some(from) = from {
                promoted[from] += 1;
            }
            let fidelity = rungs.fidelity(rung);
            needs.trials += 1;
            needs.epochs += u64::from(answered.epochs(fidelity));
            if rung == highest {
                return Some(needs);
            }
            schedule.start(asked.len() as u64, fidelity);
            asked.push(rung);
        }
        let next = schedule.next()?;
        told[asked[next as usize]] += 1;
    }
    None
}

impl Strategy for Asha {
    fn fidelities(&self, answered: Fidelities) -> Vec<Fidelity> {
        self.rungs.over(answered).fidelities().to_vec()
    }

    fn hear_fidelities(&mut self, answered: Fidelities) {
        *self = Self::new(self.rungs.over(answered));
    }

    fn needs(&self, answered: Fidelities, in_flight: usize) -> Option<Needs> {
        needs(&self.rungs.over(answered), answered, in_flight)
    }

    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let random = |genotype| Next { rung: 0, genotype, origin: Origin::of("random", Vec::new()) };
        let next = self.promotion().or_else(|| self.unseen.sample(domain, rng).map(random));
        let Some(Next { rung, genotype, origin }) = next else {
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
