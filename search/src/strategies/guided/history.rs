//! The state of a strategy with a model: trials with their embeddings and ranks, and running proposals.

use std::collections::BTreeMap;

use kiln_space::Genotype;
use rand::Rng;

use crate::comparison::pareto::{self, Point, dominates};
use crate::contracts::Ask;
use crate::domain::Domain;
use crate::learning::Embedder;
use crate::strategies::surrogate::{Features, Told};
use crate::strategies::unseen::Unseen;
use crate::trials::{Origin, Trial};

/// All trials are sorted again when the share of new trials reaches this value. Until then, each new trial is
/// inserted into the order. With several objectives, sorting all trials at every ask would make the total
/// time quadratic.
const RENEWAL: f64 = 0.01;

#[derive(Default)]
pub(super) struct History {
    unseen: Unseen,
    /// Ranks of some genotypes by zero-cost proxies.
    proxies: BTreeMap<Genotype, f64>,
    embedder: Option<Embedder>,
    told: Vec<Told>,
    /// The trials at the last ask, from best to worst.
    order: Vec<usize>,
    /// Number of trials when all trials were last sorted.
    ordered_at: usize,
    /// Value of each trial between 0 and 1, by its position in the order. 1 is the best value.
    values: Vec<f64>,
    /// Running proposals. Their features are computed when they are needed.
    running: BTreeMap<Genotype, Option<Features>>,
    asked: usize,
}

/// The data that a model learns from. Every trial has its features.
pub(super) struct Known<'a> {
    pub(super) told: &'a [Told],
    pub(super) order: &'a [usize],
    pub(super) values: &'a [f64],
    pub(super) running: Vec<Features>,
    pub(super) embedder: &'a Embedder,
    pub(super) unseen: &'a Unseen,
}

/// A genotype to propose.
pub(super) struct Found {
    pub(super) genotype: Genotype,
    pub(super) features: Features,
    pub(super) origin: Origin,
}

impl History {
    /// Number of proposals made.
    pub(super) const fn asked(&self) -> usize {
        self.asked
    }

    /// Number of trials reported to the strategy.
    pub(super) const fn told_count(&self) -> usize {
        self.told.len()
    }

    /// Returns the embedder, and the record of the genotypes that were proposed or reported.
    pub(super) fn embedder(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> (&Embedder, &Unseen) {
        let fit = || Embedder::fit(domain, &self.proxies, rng);
        (self.embedder.get_or_insert_with(fit), &self.unseen)
    }

    /// Embeds new trials and proposals, and updates the order.
    pub(super) fn learn(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Known<'_> {
        let embedder = self.embedder.get_or_insert_with(|| Embedder::fit(domain, &self.proxies, rng));
        for told in &mut self.told[self.order.len()..] {
            told.features.get_or_insert_with(|| Features::of(&told.genotype, embedder, domain));
        }
        for (genotype, features) in &mut self.running {
            features.get_or_insert_with(|| Features::of(genotype, embedder, domain));
        }
        if self.order.len() < self.told.len() {
            let grown = self.told.len() - self.ordered_at;
            if self.ordered_at == 0 || grown as f64 > RENEWAL * self.told.len() as f64 {
                self.order = pareto::order(&self.told.iter().map(point).collect::<Vec<_>>());
                self.ordered_at = self.told.len();
            }
            for trial in self.order.len()..self.told.len() {
                self.order.insert(place(&self.told, &self.order, trial), trial);
            }
            self.values = vec![0.0; self.order.len()];
            for (place, &trial) in self.order.iter().enumerate() {
                self.values[trial] = 1.0 - (place as f64 + 0.5) / self.order.len() as f64;
            }
        }
        Known {
            told: &self.told,
            order: &self.order,
            values: &self.values,
            running: self.running.values().flatten().cloned().collect(),
            embedder,
            unseen: &self.unseen,
        }
    }

    /// Proposes `found`, or a random genotype if `found` is `None`.
    pub(super) fn propose(&mut self, found: Option<Found>, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let (found, features) =
            found.map(|Found { genotype, features, origin }| ((genotype, origin), features)).unzip();
        let ask = self.unseen.propose(found, domain, rng);
        if let Ask::Propose(proposal) = &ask {
            self.asked += 1;
            self.running.insert(proposal.genotype.clone(), features);
        }
        ask
    }

    /// Sets the ranking by proxies. Embeddings that are computed after this call contain the rank that this
    /// ranking predicts.
    pub(super) fn hear_proxies(&mut self, places: &BTreeMap<Genotype, f64>) {
        self.proxies.clone_from(places);
    }

    pub(super) fn tell(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        self.unseen.insert(&genotype);
        self.told.push(Told {
            id: trial.id,
            features: self.running.remove(&genotype).flatten(),
            genotype,
            objectives: trial.objectives.0.clone(),
            violation: trial.violation,
        });
    }
}

fn point(told: &Told) -> Point<'_> {
    Point { objectives: &told.objectives, violation: told.violation }
}

/// Returns the position of a new trial in the order. With one objective, the trial is inserted after all
/// trials that are not worse. With several objectives, it is inserted after the last trial that dominates it.
/// Failed and infeasible trials come last.
fn place(told: &[Told], ordered: &[usize], trial: usize) -> usize {
    let new = point(&told[trial]);
    if !new.is_feasible() {
        return ordered.len();
    }
    let is_before = |other: &usize| {
        let other = point(&told[*other]);
        let not_worse = || other.objectives[0].total_cmp(&new.objectives[0]).is_le();
        other.is_feasible()
            && if new.objectives.len() == 1 {
                not_worse()
            } else {
                dominates(other.objectives, new.objectives)
            }
    };
    ordered.iter().rposition(is_before).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn inserted_trials_stand_where_sorting_would_put_them(
            values in prop::collection::vec((0_u8..6, 0_u8..3), 1..30),
        ) {
            let told: Vec<Told> = values
                .iter()
                .map(|(value, kind)| Told {
                    id: 0,
                    genotype: Genotype::new([0]),
                    features: None,
                    objectives: if *kind == 2 { Vec::new() } else { vec![f64::from(*value)] },
                    violation: 0.0,
                })
                .collect();
            let points: Vec<Point<'_>> = told.iter().map(point).collect();
            let mut order = pareto::order(&points[..points.len() / 2]);
            for trial in order.len()..told.len() {
                order.insert(place(&told, &order, trial), trial);
            }
            prop_assert_eq!(order, pareto::order(&points));
        }
    }

    #[test]
    fn inserted_trial_with_several_objectives_follows_the_last_that_dominates_it() {
        let told = |objectives: &[f64]| Told {
            id: 0,
            genotype: Genotype::new([0]),
            features: None,
            objectives: objectives.to_vec(),
            violation: 0.0,
        };
        let all = [[1.0, 3.0], [3.0, 1.0], [4.0, 2.0], [5.0, 5.0], [2.0, 2.0], [3.5, 1.5], [6.0, 6.0]];
        let mut all: Vec<Told> = all.iter().map(|objectives| told(objectives)).collect();
        all.push(told(&[]));
        let places: Vec<usize> = (4..8).map(|trial| place(&all, &[0, 1, 2, 3], trial)).collect();
        assert_eq!(places, [0, 2, 4, 4]);
    }
}
