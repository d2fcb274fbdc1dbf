//! Estimates objectives without the noise of single evaluations, to choose the architecture that is reported.
//!
//! The lowest of many noisy values is often low by chance. A Gaussian process over the networks' embeddings
//! estimates the noise from the trials. The posterior mean at an evaluated architecture estimates the
//! objective without noise, using the trials of similar networks.
//!
//! Source: Frazier, A tutorial on Bayesian optimization, arXiv:1807.02811, 2018 (report the evaluated point
//! with the lowest posterior mean); Picheny, Wagner, Ginsbourger, A benchmark of kriging-based infill
//! criteria for noisy optimization, Struct. Multidisc. Optim. 2013.

use std::collections::{BTreeMap, BTreeSet};

use kiln_regression::{GaussianProcess, Prediction, squared_distance};

use super::embedding::Embedder;
use crate::domain::Domain;
use crate::trials::{Trial, TrialId, seed};

/// Share of the trials to which the process is fitted, which are the best ones. The two limits below also
/// apply. If the process were fitted to all trials, it would model the bad networks and blur the differences
/// between the good ones.
const SHARE: f64 = 0.25;
const LEAST: usize = 10;
const MOST: usize = 200;

/// An estimate of an evaluated architecture's objective without noise, in the objective's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Denoised {
    /// Id of the trial.
    pub trial: TrialId,
    /// The measured value of the objective.
    pub measured: f64,
    /// The predicted value of another evaluation.
    pub mean: f64,
    /// Standard deviation of the estimate, without the noise of a single evaluation.
    pub deviation: f64,
}

/// Estimates an objective for the best quarter of the trials (at least 10, at most 200). Returns the
/// estimates in ascending order of the mean, so the first estimate belongs to the architecture to report.
/// With few or dissimilar trials, this order equals the order of the measured values. Only feasible trials
/// that were measured at the highest fidelity are used.
#[must_use]
pub fn denoised(domain: &Domain<'_>, trials: &[Trial], objective: usize) -> Vec<Denoised> {
    let best = best(trials, objective);
    if best.is_empty() {
        return Vec::new();
    }
    let embedder = Embedder::fit(domain, &BTreeMap::new(), &mut seed::generator(0, "denoised", &[]));
    let points: Vec<Vec<f64>> =
        best.iter().map(|(trial, _)| embedder.embed(domain, &trial.proposal.genotype)).collect();
    let to = |point: &[f64], others: &[Vec<f64>]| -> Vec<f64> {
        others.iter().map(|other| squared_distance(point, other)).collect()
    };
    let before: Vec<Vec<f64>> = (0..points.len()).map(|i| to(&points[i], &points[..i])).collect();
    let targets: Vec<f64> = best.iter().map(|(_, measured)| *measured).collect();
    let process = GaussianProcess::fit(&before, &targets);
    let posterior = process.posterior(&targets);
    let one = |((trial, measured), point): (&(&Trial, f64), &Vec<f64>)| {
        let mut projection = Vec::with_capacity(points.len());
        process.project(&to(point, &points), &mut projection);
        let Prediction { mean, deviation } = posterior.predict(&projection);
        Denoised { trial: trial.id, measured: *measured, mean, deviation }
    };
    let mut found: Vec<Denoised> = best.iter().zip(&points).map(one).collect();
    found.sort_by(|a, b| a.mean.total_cmp(&b.mean).then(a.trial.cmp(&b.trial)));
    found
}

/// Returns the trials for the fit and their values, from best to worst. Each architecture occurs once.
fn best(trials: &[Trial], objective: usize) -> Vec<(&Trial, f64)> {
    let measured = || {
        let feasible = trials.iter().filter(|trial| trial.violation <= 0.0);
        feasible.filter_map(|trial| Some((trial, *trial.objectives.0.get(objective)?)))
    };
    let highest = measured().map(|(trial, _)| trial.proposal.fidelity).max();
    let mut seen = BTreeSet::new();
    let mut found: Vec<(&Trial, f64)> = measured()
        .filter(|(trial, _)| Some(trial.proposal.fidelity) == highest)
        .filter(|(trial, _)| seen.insert(&trial.proposal.genotype))
        .collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.id.cmp(&b.0.id)));
    found.truncate(((found.len() as f64 * SHARE).ceil() as usize).clamp(LEAST, MOST));
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kiln_space::spaces::NasBench201;
    use kiln_space::{Genotype, SearchSpace, Settings};
    use serde_json::Map;

    use super::*;
    use crate::domain::CostSet;
    use crate::trials::{Costs, Fidelity, Objectives, Origin, Outcome, Proposal};

    fn trial(id: u64, genes: [u8; 6], value: f64, fidelity: Fidelity, violation: f64) -> Trial {
        let proposal = Proposal { genotype: Genotype::new(genes), fidelity, origin: Origin::default() };
        let outcome = Outcome::from_metrics([("error_percent".to_owned(), value)].into());
        Trial {
            id,
            proposal,
            outcome,
            costs: Costs::default(),
            objectives: Objectives(vec![value]),
            violation,
        }
    }

    #[test]
    fn best_leaves_out_infeasible_low_fidelity_and_repeated_trials() {
        let full = |id, gene, value| trial(id, [gene, 0, 0, 0, 0, 0], value, Fidelity::Full, 0.0);
        let mut trials = vec![full(0, 0, 5.0), full(1, 1, 4.0), full(2, 1, 3.0)];
        trials.push(trial(3, [2; 6], 1.0, Fidelity::Epochs(3), 0.0));
        trials.push(trial(4, [3; 6], 1.0, Fidelity::Full, 0.5));
        let ids: Vec<u64> = best(&trials, 0).iter().map(|(trial, _)| trial.id).collect();
        assert_eq!(ids, [1, 0]);
        assert!(best(&trials, 1).is_empty());
        let many: Vec<Trial> = (0..100_u8)
            .map(|i| {
                trial(u64::from(i), [i % 5, i / 5 % 5, i / 25, 0, 0, 0], f64::from(i), Fidelity::Full, 0.0)
            })
            .collect();
        assert_eq!(best(&many, 0).len(), 25);
    }

    #[test]
    fn denoised_trials_are_ordered_by_their_means() {
        let space = NasBench201::from_settings(&Settings::new("space", Map::new()), None).unwrap();
        let space: Arc<dyn SearchSpace> = Arc::new(space);
        let (costs, objectives) = (CostSet::default(), ["error_percent".to_owned()]);
        let domain = Domain::new(space.as_ref(), &costs, &[], &objectives);
        // Cells with more convolutions have lower errors, plus a little noise. One cell without convolutions
        // has a low error by chance. `tests/bench.rs` tests, over many runs, that denoising chooses better
        // cells than the measured values.
        let genes = |i: u8| [i % 5, i / 5 % 5, 3, i / 2 % 5, 3, i % 3];
        let value =
            |genes: [u8; 6]| 12.0 - genes.map(|gene| f64::from(u8::from(gene == 3))).iter().sum::<f64>();
        let noise = |i: u8| 0.1 * f64::from(i * 37 % 11);
        let mut trials: Vec<Trial> = (0..40)
            .map(|i| trial(u64::from(i), genes(i), value(genes(i)) + noise(i), Fidelity::Full, 0.0))
            .collect();
        trials.push(trial(99, [1, 0, 0, 1, 0, 1], 6.5, Fidelity::Full, 0.0));
        let found = denoised(&domain, &trials, 0);
        assert_eq!(found.len(), 11);
        let lucky = found.iter().find(|found| found.trial == 99).map(|found| found.measured);
        assert_eq!(lucky, Some(6.5), "{found:?}");
        assert!(found.iter().all(|found| (6.0..10.0).contains(&found.mean)), "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0].mean <= pair[1].mean));
        assert!(found.iter().all(|found| found.deviation >= 0.0 && found.deviation.is_finite()));
        assert!(denoised(&domain, &[], 0).is_empty());
    }
}
