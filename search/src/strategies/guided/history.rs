//! What a strategy with a model keeps of a study: trials with their vectors and places, and proposals without an answer.

use std::collections::BTreeMap;

use kiln_space::Genotype;
use rand::Rng;

use crate::embedding::Embedder;
use crate::pareto::{self, Point};
use crate::strategies::surrogate::{Features, Told};
use crate::strategies::unseen::Unseen;
use crate::{Ask, Domain, Origin, Trial};

#[derive(Default)]
pub(super) struct History {
    unseen: Unseen,
    embedder: Option<Embedder>,
    told: Vec<Told>,
    /// Trials from best to worst, of those that had been told when they were put in order.
    order: Vec<usize>,
    /// Value of each trial between 0 and 1, by its place in the order.
    values: Vec<f64>,
    /// Proposals without an answer, with their features as far as they have been needed.
    running: BTreeMap<Genotype, Option<Features>>,
    asked: usize,
}

/// What there is to learn from; every trial has its features.
pub(super) struct Known<'a> {
    pub(super) told: &'a [Told],
    pub(super) order: &'a [usize],
    pub(super) values: &'a [f64],
    pub(super) running: Vec<Features>,
    pub(super) embedder: &'a Embedder,
    pub(super) unseen: &'a Unseen,
}

impl History {
    /// Proposals made.
    pub(super) const fn asked(&self) -> usize {
        self.asked
    }

    /// Whether nothing was told yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Looks at what is new.
    pub(super) fn learn(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Known<'_> {
        let embedder = self.embedder.get_or_insert_with(|| Embedder::fit(domain, rng));
        for told in self.told.iter_mut().rev().take_while(|told| told.features.is_none()) {
            told.features = Some(Features::of(&told.genotype, embedder, domain));
        }
        for (genotype, features) in &mut self.running {
            features.get_or_insert_with(|| Features::of(genotype, embedder, domain));
        }
        if self.order.len() < self.told.len() {
            self.order = order(&self.told, std::mem::take(&mut self.order));
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

    /// Proposes what was found, or a random genotype where nothing was.
    pub(super) fn propose(
        &mut self,
        found: Option<(Genotype, Features, Origin)>,
        domain: &Domain<'_>,
        rng: &mut dyn Rng,
    ) -> Ask {
        let (found, features) =
            found.map(|(genotype, features, origin)| ((genotype, origin), features)).unzip();
        let ask = self.unseen.propose(found, domain, rng);
        if let Ask::Propose(proposal) = &ask {
            self.asked += 1;
            self.running.insert(proposal.genotype.clone(), features);
        }
        ask
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

/// Trials from best to worst: with one objective the new ones are put between those that stand in order already.
fn order(told: &[Told], mut ordered: Vec<usize>) -> Vec<usize> {
    let point = |told| {
        let Told { objectives, violation, .. }: &Told = told;
        Point { objectives, violation: *violation }
    };
    if told.iter().any(|told| told.objectives.len() > 1) {
        return pareto::order(&told.iter().map(point).collect::<Vec<_>>());
    }
    let key = |trial: usize| {
        let point = point(&told[trial]);
        match point.objectives {
            [] => (2, 0.0),
            [value] if point.is_feasible() => (0, *value),
            _ => (1, point.violation),
        }
    };
    for trial in ordered.len()..told.len() {
        let new = key(trial);
        let place = ordered.partition_point(|&other| {
            let other = key(other);
            other.0.cmp(&new.0).then(other.1.total_cmp(&new.1)).is_le()
        });
        ordered.insert(place, trial);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn trials_put_between_others_stand_as_if_sorted_at_once(
            values in prop::collection::vec((0_u8..6, 0_u8..4), 1..30),
        ) {
            let told: Vec<Told> = values
                .iter()
                .map(|(value, kind)| Told {
                    id: 0,
                    genotype: Genotype::new([0]),
                    features: None,
                    objectives: if *kind == 3 { Vec::new() } else { vec![f64::from(*value)] },
                    // Each excess is its own, as crowding orders what exceeds equally.
                    violation: if *kind == 2 { 1.0 + f64::from(*value) } else { 0.0 },
                })
                .collect();
            let points: Vec<Point<'_>> = told
                .iter()
                .map(|told| Point { objectives: &told.objectives, violation: told.violation })
                .collect();
            let half = order(&told[..told.len() / 2], Vec::new());
            prop_assert_eq!(order(&told, half), pareto::order(&points));
        }
    }
}
