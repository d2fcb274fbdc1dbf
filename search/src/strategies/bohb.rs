//! BOHB: Hyperband whose brackets start with genotypes that resemble the best trials so far.
//!
//! Source: Falkner, Klein, Hutter, BOHB: robust and efficient hyperparameter optimization at scale, ICML
//! 2018, algorithm 2 (densities of good and bad trials on the highest rung with enough trials); Aitchison,
//! Aitken, Multivariate binary discrimination by the kernel method, Biometrika 1976 (the kernel for
//! categories). Differs: all genes have the same bandwidth, and several objectives are compared by
//! non-dominated rank, then crowding distance.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Samples, Settings, SettingsError, variation};
use rand::{Rng, RngExt};

use super::brackets::{Brackets, Sampler, hyperband_shapes};
use super::rungs::{self, Rungs, Told};
use super::unseen::Unseen;
use crate::contracts::{Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::{Origin, Trial};

/// Share of proposals that are drawn at random; the value is from the paper.
const RANDOM: f64 = 1.0 / 3.0;
/// Share of the trials that count as good; the value is from the paper.
const GOOD: f64 = 0.15;
/// Number of candidates drawn from the density of the good trials; the value is from the paper.
const CANDIDATES: usize = 64;
/// Probability that the kernel redraws a gene uniformly.
const BANDWIDTH: f64 = 0.3;

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart = StrategyPart::new("hyperband around what resembles the best", build)
    .with_keys(&[rungs::KEYS])
    .tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &["{}", r#"{ "epochs": [1], "reduction": 5, "start": [[0, 0]] }"#];

/// Builds the strategy from `epochs` and `reduction`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let rungs = Rungs::read(settings)?;
    Ok(Box::new(Brackets::new(rungs, hyperband_shapes, Box::new(Densities::default()))))
}

/// Trials by rung.
#[derive(Debug, Default)]
struct Densities {
    told: BTreeMap<usize, Told>,
}

impl Densities {
    /// Returns the candidate with the largest ratio of two densities: the density of good trials divided by
    /// the density of bad trials.
    fn guided(&self, domain: &Domain<'_>, unseen: &Unseen, rng: &mut dyn Rng) -> Option<Genotype> {
        let decisions = domain.space().decisions();
        let enough = decisions.len() + 2;
        let (_, told) = self.told.iter().rev().find(|(_, told)| told.len() >= 2 * enough)?;
        let best: Vec<&Genotype> = told.best().into_iter().map(|(genotype, _)| genotype).collect();
        let count = ((GOOD * best.len() as f64) as usize).max(enough.min(best.len() / 2));
        let (good, bad) = best.split_at(count);
        if good.is_empty() || bad.is_empty() {
            return None;
        }
        let mut chosen: Option<(f64, Genotype)> = None;
        for _ in 0..CANDIDATES {
            let like = good[rng.random_range(0..good.len())];
            let gene = |(at, gene): (usize, &u8)| {
                let options = decisions[at].options.len() as u32;
                if rng.random_bool(BANDWIDTH) { rng.random_range(0..options) as u8 } else { *gene }
            };
            let genes: Vec<u8> = like.genes().iter().enumerate().map(gene).collect();
            let drawn = domain.space().canonical(&variation::normalize(decisions, &genes));
            if unseen.is_known(&drawn) || !domain.is_feasible(&drawn) {
                continue;
            }
            let value = ln_density(domain, good, &drawn) - ln_density(domain, bad, &drawn);
            if chosen.as_ref().is_none_or(|(highest, _)| value > *highest) {
                chosen = Some((value, drawn));
            }
        }
        chosen.map(|(_, genotype)| genotype)
    }
}

/// Returns the logarithm of the mean kernel value between `genotype` and `others`.
fn ln_density(domain: &Domain<'_>, others: &[&Genotype], genotype: &Genotype) -> f64 {
    let decisions = domain.space().decisions();
    let kernel = |other: &&Genotype| -> f64 {
        let genes = other.genes().iter().zip(genotype.genes()).zip(decisions);
        genes
            .map(|((a, b), decision)| {
                let spread = BANDWIDTH / decision.options.len() as f64;
                if a == b { 1.0 - BANDWIDTH + spread } else { spread }
            })
            .product()
    };
    (others.iter().map(kernel).sum::<f64>() / others.len() as f64).max(f64::MIN_POSITIVE).ln()
}

impl Sampler for Densities {
    fn sample(
        &mut self,
        domain: &Domain<'_>,
        unseen: &mut Unseen,
        rng: &mut dyn Rng,
    ) -> Option<(Genotype, Origin)> {
        let origin = |operator: &str| Origin::of(operator, Vec::new());
        let guided = if rng.random_bool(RANDOM) { None } else { self.guided(domain, unseen, rng) };
        match guided {
            Some(genotype) => Some((genotype, origin("model"))),
            None => unseen.sample(domain, rng).map(|genotype| (genotype, origin("random"))),
        }
    }

    fn tell(&mut self, rung: usize, trial: &Trial) {
        self.told.entry(rung).or_default().push(trial);
    }
}
