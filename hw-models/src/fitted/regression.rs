//! What the fitted model predicts with: several kinds of regression, weighed by cross-validation.

use serde::{Deserialize, Serialize};

use super::bound::Bound;
use super::known::KnownDevices;
use super::process::{Family, Kernel, Process};
use super::rows::Row;
use super::trees::Trees;

/// Most points of which every fold chooses its own kernels.
const REFITTED_MAX: usize = 60;
/// Folds of the cross-validation.
const FOLDS: usize = 10;
/// Folds of more points than [`FOLDED_MAX`], of which a tenth changes little.
const FOLDS_MANY: usize = 5;
const FOLDED_MAX: usize = 300;
/// Fewest points that trees are fitted to.
const TREES_MIN: usize = 60;
/// Steps between no weight and all.
const STEPS: usize = 10;
/// A kind with less weight is left out.
const WEIGHT_MIN: f64 = 0.05;

/// A kind of regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegressionKind {
    /// Effects of features add up.
    Ridge,
    /// Similar networks have similar latencies too.
    GaussianProcess,
    /// Trees on what the Gaussian process leaves.
    BoostedTrees,
    /// A ridge on the latencies of known devices.
    KnownDevices,
}

impl RegressionKind {
    const ALL: [Self; 4] = [Self::Ridge, Self::GaussianProcess, Self::BoostedTrees, Self::KnownDevices];

    /// The name, as in device files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ridge => "ridge",
            Self::GaussianProcess => "gaussian_process",
            Self::BoostedTrees => "boosted_trees",
            Self::KnownDevices => "known_devices",
        }
    }
}

/// A kind of regression with its error and its weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeighedKind {
    /// The kind.
    pub kind: RegressionKind,
    /// Mean relative error on the networks of the folds that it was not fitted to, in percent.
    pub error_percent: f64,
    /// Its share of the logarithm of a prediction. All shares sum to 1; 0 for a kind that is not used.
    pub weight: f64,
}

/// Predicts latencies from those of measured networks.
#[derive(Clone, Debug)]
pub(crate) struct Regression {
    members: Members,
    kinds: Vec<WeighedKind>,
    bound: Bound,
    /// Largest squared distance of a network to the nearest other.
    spread: f64,
}

/// The prediction of a network, in the unit of the latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Predicted {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Distance to the nearest network that was fitted to, relative to the largest such distance among those.
    pub(crate) apart: f64,
}

impl Regression {
    /// Fits to networks and their latencies: at least one, all above 0. Errors of the networks from `drawn`
    /// on make the interval: those before were chosen and are not like others.
    pub(crate) fn fit(rows: &[Row], latencies: &[f64], drawn: usize) -> Self {
        Self::judged(rows, latencies, drawn).0
    }

    /// As [`Regression::fit`], with the latency of each network as the other folds predict it.
    pub(crate) fn judged(rows: &[Row], latencies: &[f64], drawn: usize) -> (Self, Vec<f64>) {
        let count = latencies.len();
        let logs: Vec<f64> = latencies.iter().map(|latency| latency.ln()).collect();
        let members = Members::fit(rows, &logs, None, &|_| true);
        let kernels = (count > REFITTED_MAX).then(|| members.kernels());
        let folds = if count > FOLDED_MAX { FOLDS_MANY } else { FOLDS }.min(count);
        let mut held_out = vec![Vec::new(); count];
        let mut deviations = vec![0.0; count];
        for fold in 0..folds {
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                (0..count).partition(|network| network % folds != fold);
            if inside.is_empty() {
                continue;
            }
            let part: Vec<Row> = inside.iter().map(|network| rows[*network].clone()).collect();
            let others: Vec<f64> = inside.iter().map(|network| logs[*network]).collect();
            let fitted = Members::fit(&part, &others, kernels, &|kind| members.has(kind));
            for network in outside {
                let found = fitted.process.predict(&rows[network]);
                deviations[network] = found.deviation;
                held_out[network] = fitted.logs(&rows[network], found.value);
            }
        }
        let kinds = weighed(&members.kinds(), &held_out, &logs);
        let joined = |found: &Vec<f64>, log: f64| {
            if found.is_empty() {
                log
            } else {
                kinds.iter().zip(found).map(|(kind, log)| kind.weight * log).sum()
            }
        };
        let held_out: Vec<f64> = held_out.iter().zip(&logs).map(|(found, log)| joined(found, *log)).collect();
        let errors: Vec<(f64, f64)> = (if drawn < count { drawn } else { 0 }..count)
            .map(|i| ((logs[i] - held_out[i]).abs(), deviations[i]))
            .collect();
        let fitted = Self::new(members, kinds, Bound::new(&errors));
        (fitted, held_out.into_iter().map(f64::exp).collect())
    }

    /// The regression that was fitted before to the same networks.
    pub(crate) fn restored(
        rows: &[Row],
        latencies: &[f64],
        kernels: Kernels,
        kinds: Vec<WeighedKind>,
        bound: Bound,
    ) -> Self {
        let logs: Vec<f64> = latencies.iter().map(|latency| latency.ln()).collect();
        let used = |kind| kinds.iter().any(|weighed| weighed.kind == kind);
        Self::new(Members::fit(rows, &logs, Some(kernels), &used), kinds, bound)
    }

    fn new(mut members: Members, kinds: Vec<WeighedKind>, bound: Bound) -> Self {
        members.keep(&|kind| kinds.iter().any(|weighed| weighed.kind == kind && weighed.weight > 0.0));
        Self { spread: members.process.spread(), members, kinds, bound }
    }

    /// The prediction of a network.
    pub(crate) fn predict(&self, row: &Row) -> Predicted {
        let found = self.members.process.predict(row);
        let weights = self.kinds.iter().filter(|kind| kind.weight > 0.0);
        let log = |kind: &WeighedKind| kind.weight * self.members.log(kind.kind, row, found.value);
        let value = weights.map(log).sum::<f64>().exp();
        let factor = self.bound.factor(found.deviation);
        let apart = if self.spread > 0.0 && found.nearest.is_finite() {
            (found.nearest / self.spread).sqrt()
        } else {
            0.0
        };
        Predicted { value, low: value / factor, high: value * factor, apart }
    }

    /// Kinds of regression with their errors and weights.
    pub(crate) fn kinds(&self) -> &[WeighedKind] {
        &self.kinds
    }

    /// The bound of nine of ten errors.
    pub(crate) const fn bound(&self) -> Bound {
        self.bound
    }

    pub(crate) fn kernels(&self) -> Kernels {
        self.members.kernels()
    }
}

/// Kernels of the two stages of the process and of the ridge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernels {
    pub(crate) process: [Kernel; 2],
    pub(crate) ridge: [Kernel; 2],
}

/// One regression of each kind.
#[derive(Clone, Debug)]
struct Members {
    process: Process,
    ridge_kernels: [Kernel; 2],
    ridge: Option<Process>,
    trees: Option<Trees>,
    known: Option<KnownDevices>,
}

impl Members {
    fn fit(
        rows: &[Row],
        logs: &[f64],
        kernels: Option<Kernels>,
        used: &dyn Fn(RegressionKind) -> bool,
    ) -> Self {
        let latencies: Vec<f64> = logs.iter().map(|log| log.exp()).collect();
        let process = Process::fit(rows, &latencies, Family::Any, kernels.map(|kernels| kernels.process));
        let ridge = (used(RegressionKind::Ridge) || kernels.is_none())
            .then(|| Process::fit(rows, &latencies, Family::Linear, kernels.map(|kernels| kernels.ridge)));
        let ridge_kernels = ridge.as_ref().map(Process::kernels).or(kernels.map(|kernels| kernels.ridge));
        let with_known = rows.first().is_some_and(|row| !row.logs.is_empty());
        let known = (with_known && used(RegressionKind::KnownDevices)).then(|| KnownDevices::fit(rows, logs));
        let many = kernels.is_some() || rows.len() >= TREES_MIN;
        let trees = (many && used(RegressionKind::BoostedTrees)).then(|| Trees::fit(rows, logs, &process));
        Self { ridge_kernels: ridge_kernels.unwrap_or(process.kernels()), process, ridge, trees, known }
    }

    fn has(&self, kind: RegressionKind) -> bool {
        match kind {
            RegressionKind::GaussianProcess => true,
            RegressionKind::Ridge => self.ridge.is_some(),
            RegressionKind::BoostedTrees => self.trees.is_some(),
            RegressionKind::KnownDevices => self.known.is_some(),
        }
    }

    fn kinds(&self) -> Vec<RegressionKind> {
        RegressionKind::ALL.into_iter().filter(|kind| self.has(*kind)).collect()
    }

    /// Drops what is not used. The process stays, since intervals rest on it.
    fn keep(&mut self, used: &dyn Fn(RegressionKind) -> bool) {
        self.ridge = self.ridge.take().filter(|_| used(RegressionKind::Ridge));
        self.trees = self.trees.take().filter(|_| used(RegressionKind::BoostedTrees));
        self.known = self.known.take().filter(|_| used(RegressionKind::KnownDevices));
    }

    fn kernels(&self) -> Kernels {
        Kernels { process: self.process.kernels(), ridge: self.ridge_kernels }
    }

    /// The logarithm of latency that a kind predicts, given the prediction of the process.
    fn log(&self, kind: RegressionKind, row: &Row, process: f64) -> f64 {
        let found = match kind {
            RegressionKind::GaussianProcess => None,
            RegressionKind::Ridge => self.ridge.as_ref().map(|ridge| ridge.mean(row).ln()),
            RegressionKind::BoostedTrees => self.trees.as_ref().map(|trees| trees.predict(row, process)),
            RegressionKind::KnownDevices => self.known.as_ref().map(|known| known.predict(row)),
        };
        found.unwrap_or_else(|| process.ln())
    }

    /// [`Members::log`] of each kind.
    fn logs(&self, row: &Row, process: f64) -> Vec<f64> {
        self.kinds().into_iter().map(|kind| self.log(kind, row, process)).collect()
    }
}

/// Weighs kinds of regression, given what each predicts of networks that it was not fitted to.
///
/// Source: A. Dalalyan, A. Tsybakov, Aggregation by exponential weighting, Machine Learning 72, 2008: each
/// convex combination counts by its likelihood, here with Laplace noise of unknown scale. With few networks
/// the weights stay near each other; with many, the combination of least error remains.
fn weighed(kinds: &[RegressionKind], held_out: &[Vec<f64>], logs: &[f64]) -> Vec<WeighedKind> {
    let judged: Vec<(&Vec<f64>, f64)> =
        held_out.iter().zip(logs).filter(|(found, _)| !found.is_empty()).map(|(f, l)| (f, *l)).collect();
    let count = judged.len().max(1) as f64;
    let combinations = combinations(kinds.len(), STEPS);
    let error = |weights: &Vec<f64>| {
        let apart = |(found, log): &(&Vec<f64>, f64)| {
            let joined: f64 = weights.iter().zip(*found).map(|(weight, log)| weight * log).sum();
            (joined - log).abs()
        };
        (judged.iter().map(apart).sum::<f64>() / count).max(1e-9)
    };
    let errors: Vec<f64> = combinations.iter().map(error).collect();
    let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
    let mut weights = vec![0.0; kinds.len()];
    let mut whole = 0.0;
    for (combination, error) in combinations.iter().zip(&errors) {
        let likely = (error / least).powf(-count);
        whole += likely;
        for (weight, share) in weights.iter_mut().zip(combination) {
            *weight += likely * share;
        }
    }
    for weight in &mut weights {
        *weight = if *weight / whole < WEIGHT_MIN { 0.0 } else { *weight / whole };
    }
    let kept: f64 = weights.iter().sum();
    let error_of = |place: usize| {
        let apart = |(found, log): &(&Vec<f64>, f64)| ((found[place] - log).exp() - 1.0).abs();
        100.0 * judged.iter().map(apart).sum::<f64>() / count
    };
    let weighed = |(place, (kind, weight)): (usize, (&RegressionKind, &f64))| WeighedKind {
        kind: *kind,
        error_percent: error_of(place),
        weight: weight / kept,
    };
    kinds.iter().zip(&weights).enumerate().map(weighed).collect()
}

/// All weights of `kinds` in steps, that sum to 1.
fn combinations(kinds: usize, steps: usize) -> Vec<Vec<f64>> {
    let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 1..kinds {
        let longer = |part: &Vec<usize>| {
            let left = steps - part.iter().sum::<usize>();
            let part = part.clone();
            (0..=left).map(move |next| part.iter().copied().chain([next]).collect()).collect::<Vec<_>>()
        };
        parts = parts.iter().flat_map(longer).collect();
    }
    let whole = |part: Vec<usize>| {
        let left = steps - part.iter().sum::<usize>();
        part.into_iter().chain([left]).map(|step| step as f64 / steps as f64).collect()
    };
    parts.into_iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_of_three_kinds_in_two_steps_by_hand() {
        let expected = [
            [0.0, 0.0, 1.0],
            [0.0, 0.5, 0.5],
            [0.0, 1.0, 0.0],
            [0.5, 0.0, 0.5],
            [0.5, 0.5, 0.0],
            [1.0, 0.0, 0.0],
        ];
        assert_eq!(combinations(3, 2), expected);
        assert_eq!(combinations(1, 4), [[1.0]]);
    }

    #[test]
    fn kind_of_least_error_wins_with_many_networks_and_shares_with_few() {
        let kinds = [RegressionKind::Ridge, RegressionKind::GaussianProcess];
        let of = |count: usize| {
            let logs: Vec<f64> = (0..count).map(|i| i as f64 * 0.1).collect();
            // Both err upward, the second by a tenth less.
            let held_out: Vec<Vec<f64>> = logs.iter().map(|log| vec![log + 0.2, log + 0.18]).collect();
            weighed(&kinds, &held_out, &logs)
        };
        let (few, many) = (of(5), of(500));
        assert!((0.3..0.5).contains(&few[0].weight), "{few:?}");
        assert_eq!((many[0].weight, many[1].weight), (0.0, 1.0));
        assert!((many[1].error_percent - 100.0 * (0.18_f64.exp() - 1.0)).abs() < 1e-9, "{many:?}");
    }
}
