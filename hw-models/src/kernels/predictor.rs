//! Predicts the latency of kernels of one kind in one format.

use std::sync::Arc;

use kiln_regression::{BinnedTrees, BoostingPlan, GaussianProcess, Posterior, dot, ridge, squared_distance};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::bound::Bound;
use super::features::{Base, few, many};
use super::shape::KernelShape;

/// Fewest kernels for a Gaussian process. Fewer only tell a mean.
const PROCESS_MIN: usize = 6;
/// Most kernels for a Gaussian process. More are fitted by trees.
pub(super) const PROCESS_MAX: usize = 400;
/// Folds of cross-validation.
const FOLDS: usize = 10;
/// One of so many kernels tests the trees.
const TESTED: usize = 5;
/// Penalty of the trend for each kernel.
const PENALTY: f64 = 0.03;

/// A predictor of logarithms of latencies, as a correction of its base.
#[derive(Clone, Debug)]
pub(super) struct Predictor {
    pub(super) base: Base,
    pub(super) regression: Regression,
    pub(super) bound: Bound,
}

/// How the correction is predicted.
#[derive(Clone, Debug)]
pub(super) enum Regression {
    /// The mean correction.
    Mean(f64),
    /// A linear trend, and a Gaussian process over what it leaves.
    Process(Arc<Process>),
    /// Boosted trees.
    Trees(Arc<BinnedTrees>),
}

/// A trend and a Gaussian process over standardized features.
#[derive(Clone, Debug)]
pub(super) struct Process {
    centers: Vec<f64>,
    /// 0 for a feature that does not vary.
    factors: Vec<f64>,
    mean: f64,
    trend: Vec<f64>,
    points: Vec<Vec<f64>>,
    gaussian: GaussianProcess,
    posterior: Posterior,
}

/// A prediction of a kernel that the predictor was not fitted to.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldOut {
    /// Place of the kernel among those that were given.
    pub(super) place: usize,
    pub(super) predicted_us: f64,
}

impl Predictor {
    /// Fits a predictor to kernels of one kind and format, and judges it on kernels that it was not fitted
    /// to. Also returns which kernels it was fitted to, for baselines.
    pub(super) fn fit(
        kernels: &[(KernelShape, f64)],
        plan: BoostingPlan,
        seed: u64,
    ) -> (Self, Vec<HeldOut>, Vec<usize>) {
        let mut order: Vec<usize> = (0..kernels.len()).collect();
        order.shuffle(&mut Pcg64::seed_from_u64(seed));
        let pick = |places: &[usize]| -> Vec<(KernelShape, f64)> {
            places.iter().map(|place| kernels[*place]).collect()
        };
        let mut held_out = Vec::new();
        let mut errors = Vec::new();
        let mut judge = |fitted: &Self, places: &[usize]| {
            for &place in places {
                let (shape, latency_us) = kernels[place];
                let (log, uncertainty) = fitted.predict(&shape);
                errors.push((log - latency_us.ln(), uncertainty));
                held_out.push(HeldOut { place, predicted_us: log.exp() });
            }
        };
        if kernels.len() > PROCESS_MAX {
            let (tested, fitted) = order.split_at(kernels.len() / TESTED);
            let mut predictor = Self::fitted_to(&pick(fitted), Some(plan));
            judge(&predictor, tested);
            predictor.bound = Bound::new(&errors);
            return (predictor, held_out, fitted.to_vec());
        }
        let folds = FOLDS.min(kernels.len());
        // A single kernel says nothing about others.
        for fold in (0..folds).filter(|_| kernels.len() > 1) {
            let part = |inside: bool| -> Vec<usize> {
                let places = order.iter().enumerate().filter(|(i, _)| (i % folds == fold) == inside);
                places.map(|(_, place)| *place).collect()
            };
            judge(&Self::fitted_to(&pick(&part(false)), None), &part(true));
        }
        let mut predictor = Self::fitted_to(kernels, None);
        predictor.bound = Bound::new(&errors);
        (predictor, held_out, order)
    }

    /// Fits without a bound: trees of a plan, or a regression on few kernels.
    fn fitted_to(kernels: &[(KernelShape, f64)], trees: Option<BoostingPlan>) -> Self {
        let base = Base::of(kernels);
        let regression = if let Some(plan) = trees {
            let (points, targets) = examples(kernels, &base, many);
            let leaves = plan.leaves.min(kernels.len() / 12);
            Regression::Trees(Arc::new(BinnedTrees::fit(&points, &targets, BoostingPlan { leaves, ..plan })))
        } else {
            Regression::small(kernels, &base)
        };
        Self { base, regression, bound: Bound::STATED }
    }

    /// The logarithm of a kernel's latency in microseconds, and its uncertainty.
    fn predict(&self, shape: &KernelShape) -> (f64, f64) {
        let base = self.base.latency_us(shape).ln();
        let (correction, uncertainty) = match &self.regression {
            Regression::Mean(mean) => (*mean, 0.0),
            Regression::Process(process) => process.predict(&few(shape, &self.base)),
            Regression::Trees(trees) => {
                let [half, whole] = trees.predict_twice(&many(shape, &self.base));
                (whole, (whole - half).abs())
            }
        };
        (base + correction, uncertainty)
    }

    /// The latency of a kernel in microseconds, and half its interval as a logarithm.
    pub(super) fn latency_us(&self, shape: &KernelShape) -> (f64, f64) {
        let (log, uncertainty) = self.predict(shape);
        (log.clamp(-20.0, 40.0).exp(), self.bound.half_width(uncertainty))
    }
}

impl Regression {
    /// A regression on few kernels.
    pub(super) fn small(kernels: &[(KernelShape, f64)], base: &Base) -> Self {
        let (points, targets) = examples(kernels, base, few);
        if kernels.len() < PROCESS_MIN {
            return Self::Mean(targets.iter().sum::<f64>() / targets.len().max(1) as f64);
        }
        Self::Process(Arc::new(Process::fit(&points, &targets)))
    }
}

/// Features and corrections of kernels.
fn examples(
    kernels: &[(KernelShape, f64)],
    base: &Base,
    features: fn(&KernelShape, &Base) -> Vec<f64>,
) -> (Vec<Vec<f64>>, Vec<f64>) {
    let example =
        |(shape, us): &(KernelShape, f64)| (features(shape, base), us.ln() - base.latency_us(shape).ln());
    kernels.iter().map(example).unzip()
}

impl Process {
    fn fit(points: &[Vec<f64>], targets: &[f64]) -> Self {
        let count = points.len().max(1) as f64;
        let width = points.first().map_or(0, Vec::len);
        let mean_of = |feature: usize| points.iter().map(|point| point[feature]).sum::<f64>() / count;
        let centers: Vec<f64> = (0..width).map(mean_of).collect();
        let factor = |feature: usize| {
            let square = |point: &Vec<f64>| (point[feature] - centers[feature]).powi(2);
            let deviation = (points.iter().map(square).sum::<f64>() / count).sqrt();
            if deviation > 1e-9 { 1.0 / deviation } else { 0.0 }
        };
        let factors: Vec<f64> = (0..width).map(factor).collect();
        let points: Vec<Vec<f64>> = points.iter().map(|point| scaled(point, &centers, &factors)).collect();
        let mean = targets.iter().sum::<f64>() / count;
        let centered: Vec<f64> = targets.iter().map(|target| target - mean).collect();
        let trend = ridge(&points, &centered, PENALTY * count);
        let left: Vec<f64> =
            points.iter().zip(&centered).map(|(point, target)| target - dot(point, &trend)).collect();
        let row = |i: usize| -> Vec<f64> {
            points[..i].iter().map(|other| squared_distance(&points[i], other)).collect()
        };
        let distances: Vec<Vec<f64>> = (0..points.len()).map(row).collect();
        let gaussian = GaussianProcess::fit(&distances, &left);
        let posterior = gaussian.posterior(&left);
        Self { centers, factors, mean, trend, points, gaussian, posterior }
    }

    fn predict(&self, features: &[f64]) -> (f64, f64) {
        let point = scaled(features, &self.centers, &self.factors);
        let distances: Vec<f64> = self.points.iter().map(|other| squared_distance(&point, other)).collect();
        let mut projection = Vec::with_capacity(distances.len());
        self.gaussian.project(&distances, &mut projection);
        let found = self.posterior.predict(&projection);
        (self.mean + dot(&point, &self.trend) + found.mean, found.deviation)
    }
}

fn scaled(features: &[f64], centers: &[f64], factors: &[f64]) -> Vec<f64> {
    let parts = features.iter().zip(centers.iter().zip(factors));
    parts.map(|(feature, (center, factor))| (feature - center) * factor).collect()
}
