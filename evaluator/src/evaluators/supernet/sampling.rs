//! Chooses the subnets of a training step.

use kiln_space::{Architecture, Genotype, SearchSpace, SpaceError, variation};
use rand::seq::SliceRandom;

use super::extremes::{self, Extreme};
use super::settings::{Sampling, SupernetSettings};
use crate::seed;

/// Number of drawn subnets that are evaluated after each epoch, besides the two extremes.
const WATCHED_AT_RANDOM: usize = 2;

/// Draws the subnets of each step. The same step always has the same subnets.
pub(super) struct Sampler<'a> {
    space: &'a dyn SearchSpace,
    sampling: Sampling,
    always: Vec<Genotype>,
    others: usize,
    seed: u64,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(space: &'a dyn SearchSpace, settings: &SupernetSettings, seed: u64) -> Self {
        let always = match settings.sampling {
            Sampling::Sandwich => {
                vec![extremes::find(space, Extreme::Largest), extremes::find(space, Extreme::Smallest)]
            }
            Sampling::SinglePath | Sampling::Fair => Vec::new(),
        };
        let others = settings.subnets - always.len();
        Self { space, sampling: settings.sampling, always, others, seed }
    }

    /// The subnets that are evaluated on the validation split after each epoch. They are the same in every
    /// epoch.
    pub(super) fn watched(&self) -> Result<Vec<Architecture>, SpaceError> {
        let mut rng = seed::generator(self.seed, "watched", &[]);
        let extremes =
            [Extreme::Largest, Extreme::Smallest].map(|extreme| extremes::find(self.space, extreme));
        let drawn = (0..WATCHED_AT_RANDOM).map(|_| variation::sample(self.space, &mut rng));
        extremes.into_iter().chain(drawn).map(|genotype| self.space.decode(&genotype)).collect()
    }

    /// The subnets of a step. With sandwich sampling, the largest subnet comes first.
    pub(super) fn subnets(&self, step: u64) -> Result<Vec<Architecture>, SpaceError> {
        let others = match self.sampling {
            Sampling::Fair => self.in_turn(step),
            Sampling::Sandwich | Sampling::SinglePath => {
                let mut rng = seed::generator(self.seed, "subnets", &[step]);
                (0..self.others).map(|_| variation::sample(self.space, &mut rng)).collect()
            }
        };
        self.always.iter().chain(&others).map(|genotype| self.space.decode(genotype)).collect()
    }

    /// Draws genotypes. Every decision uses each of its options once per round. Each round has its own random
    /// order of the options.
    fn in_turn(&self, step: u64) -> Vec<Genotype> {
        let decisions = self.space.decisions();
        let first = step * self.others as u64;
        let gene = |index: usize, subnet: u64| {
            let options = decisions[index].options.len();
            let (round, place) = (subnet / options as u64, (subnet % options as u64) as usize);
            let mut order: Vec<u8> = (0..options as u8).collect();
            order.shuffle(&mut seed::generator(self.seed, "round", &[index as u64, round]));
            order[place]
        };
        let genotype = |subnet: u64| {
            let genes: Vec<u8> = (0..decisions.len()).map(|index| gene(index, subnet)).collect();
            self.space.canonical(&variation::normalize(decisions, &genes))
        };
        (first..first + self.others as u64).map(genotype).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Range;

    use kiln_space::Settings;
    use kiln_space::spaces::NasBench201;
    use serde_json::{Value, json};

    use super::*;

    /// The options of each edge in the genotypes of these steps, in the order in which they were drawn.
    fn options(sampler: &Sampler<'_>, steps: Range<u64>) -> Vec<Vec<u8>> {
        let drawn: Vec<Genotype> = steps.flat_map(|step| sampler.in_turn(step)).collect();
        (0..6).map(|edge| drawn.iter().map(|genotype| genotype.genes()[edge]).collect()).collect()
    }

    #[test]
    fn fair_sampling_draws_every_option_equally_often_for_any_step_size() {
        let settings = |path: &str, table: Value| Settings::new(path, table.as_object().unwrap().clone());
        let space = settings("space", json!({ "merge_equal": false }));
        let space = NasBench201::from_settings(&space, None).unwrap();
        let of = |subnets: usize| {
            let table = json!({ "epochs": 1, "sampling": "fair", "subnets": subnets });
            SupernetSettings::read(&settings("evaluator", table)).unwrap()
        };
        let (alone, five) = (Sampler::new(&space, &of(1), 7), Sampler::new(&space, &of(5), 7));
        assert_eq!(options(&alone, 0..40), options(&five, 0..8), "the same subnets, one or five a step");
        let mut orders = BTreeSet::new();
        for step in 0..8 {
            for mut drawn in options(&five, step..step + 1) {
                orders.insert(drawn.clone());
                drawn.sort_unstable();
                assert_eq!(drawn, [0, 1, 2, 3, 4], "each operation of an edge once a step");
            }
        }
        assert!(orders.len() > 24, "edges and steps have orders of their own: {orders:?}");
        assert_eq!(five.subnets(3).unwrap().len(), 5);
    }
}
