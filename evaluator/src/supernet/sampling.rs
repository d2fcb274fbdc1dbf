//! Which subnets a training step works on.

use kiln_space::{Architecture, Genotype, SearchSpace, SpaceError, variation};

use super::extremes::{self, Extreme};
use super::settings::{Sampling, SupernetSettings};
use crate::seed;

/// Subnets between the extremes by which a training is watched.
const WATCHED_AT_RANDOM: usize = 2;

/// Draws the subnets of each step, the same for a step whenever it is asked.
pub(super) struct Sampler<'a> {
    space: &'a dyn SearchSpace,
    always: Vec<Genotype>,
    random: usize,
    seed: u64,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(space: &'a dyn SearchSpace, settings: &SupernetSettings, seed: u64) -> Self {
        let always = match settings.sampling {
            Sampling::Sandwich => {
                vec![extremes::find(space, Extreme::Largest), extremes::find(space, Extreme::Smallest)]
            }
            Sampling::SinglePath => Vec::new(),
        };
        let random = settings.subnets - always.len();
        Self { space, always, random, seed }
    }

    /// Subnets by which a training is watched on the validation split, the same after every epoch.
    pub(super) fn watched(&self) -> Result<Vec<Architecture>, SpaceError> {
        let mut rng = seed::generator(self.seed, "watched", &[]);
        let extremes =
            [Extreme::Largest, Extreme::Smallest].map(|extreme| extremes::find(self.space, extreme));
        let drawn = (0..WATCHED_AT_RANDOM).map(|_| variation::sample(self.space, &mut rng));
        extremes.into_iter().chain(drawn).map(|genotype| self.space.decode(&genotype)).collect()
    }

    /// Subnets of a step; in sandwich sampling the largest comes first.
    pub(super) fn subnets(&self, step: u64) -> Result<Vec<Architecture>, SpaceError> {
        let mut rng = seed::generator(self.seed, "subnets", &[step]);
        let drawn = (0..self.random).map(|_| variation::sample(self.space, &mut rng));
        let genotypes: Vec<Genotype> = self.always.iter().cloned().chain(drawn).collect();
        genotypes.iter().map(|genotype| self.space.decode(genotype)).collect()
    }
}
