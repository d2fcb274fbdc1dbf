//! The regression of the fitted model: a Gaussian process on relative latencies.
//!
//! Source: Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006: algorithm 2.1,
//! equations 4.17 (Matern 5/2 kernel), 5.8 (marginal likelihood) and 5.10 to 5.12 (leaving one out).
//! Differs: targets are latencies relative to an earlier prediction, which is the prior at first, so that
//! equal relative errors count equally and effects still add up.

use kiln_regression::{Cholesky, dot};
use serde::{Deserialize, Serialize};

use super::rows::Row;

/// Points that choose the kernel. More change the choice little and cost their third power.
const CHOOSING: usize = 150;
/// Fewest points of which outliers count less.
const ROBUST_MIN: usize = 30;
/// Most points of which every fold chooses its own kernels.
const REFITTED_MAX: usize = 60;
/// Folds of the interval, for as many points and for more.
const FOLDS_FEW: usize = 10;
const FOLDS_MANY: usize = 5;
/// Degrees of freedom of the noise of many points.
const FREEDOM: f64 = 4.0;
/// Variance of the constant, and of the prior's factor.
const LEVEL: f64 = 0.25;
/// Predictions of the first stage stay within these factors of the smallest and the largest latency.
const WITHIN: [f64; 2] = [0.4, 2.5];

/// What the kernel of a stage weighs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    /// Variance of effects that add up.
    pub(crate) linear: f64,
    /// Variance of the known devices' deviations from their mean.
    pub(crate) known: f64,
    /// Variance of effects that do not add up.
    pub(crate) smooth: f64,
    /// Length scale of those, relative to the typical distance of two networks.
    pub(crate) length: f64,
    /// Variance of the noise of one measurement.
    pub(crate) noise: f64,
    /// Whether neighborhoods of layers count, beside the features with names.
    pub(crate) sketch: bool,
}

impl Kernel {
    /// The kernel before anything is measured, by which networks to measure are chosen.
    pub(crate) const PRIOR: Self =
        Self { linear: 0.3, known: 0.3, smooth: 0.01, length: 1.0, noise: 0.01, sketch: false };

    /// Whether the kernel of a file can be computed with.
    pub(crate) fn is_usable(&self) -> bool {
        let Self { linear, known, smooth, length, noise, .. } = *self;
        [linear, known, smooth, length, noise].iter().all(|value| (0.0..=1000.0).contains(value))
            && length > 1e-6
    }

    /// Kernels to choose from.
    fn candidates(with_known: bool, with_sketch: bool) -> Vec<Self> {
        let mut candidates = Vec::new();
        let knowns: &[f64] = if with_known { &[0.01, 0.1, 1.0, 5.0] } else { &[0.0] };
        let sketches: &[bool] = if with_sketch { &[false, true] } else { &[false] };
        for &sketch in sketches {
            for linear in [0.001, 0.01, 0.1, 1.0, 5.0] {
                for &known in knowns {
                    for (smooth, length) in [
                        (0.0, 1.0),
                        (0.003, 1.0),
                        (0.03, 0.5),
                        (0.03, 1.0),
                        (0.03, 2.0),
                        (0.2, 1.0),
                        (0.2, 2.0),
                    ] {
                        for noise in [1e-6, 3e-4, 3e-3, 0.01, 0.03, 0.1] {
                            candidates.push(Self { linear, known, smooth, length, noise, sketch });
                        }
                    }
                }
            }
        }
        candidates
    }

    /// Covariance of two networks, without noise.
    pub(crate) fn covariance(&self, a: Place, b: Place, pair: Pair) -> f64 {
        let linear = if self.sketch { 0.5 * (pair.linear + pair.sketch) } else { pair.linear };
        let level = LEVEL + self.linear * linear + self.known * pair.known;
        let mut covariance = a.scale * b.scale * level + LEVEL * a.prior * b.prior;
        if self.smooth > 0.0 {
            let squared = if self.sketch { pair.distance + pair.sketch_distance } else { pair.distance };
            let r = (5.0 * squared).sqrt() / self.length;
            covariance += self.smooth * (1.0 + r + r * r / 3.0) * (-r).exp();
        }
        covariance
    }
}

/// Where a network stands: what turns relative latencies into those of one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// The typical latency, relative to the base.
    pub(crate) scale: f64,
    /// The prior's latency, relative to the base.
    pub(crate) prior: f64,
}

/// Inner products and distances of two networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    linear: f64,
    sketch: f64,
    known: f64,
    distance: f64,
    sketch_distance: f64,
}

impl Pair {
    pub(crate) fn new(a: &Row, b: &Row) -> Self {
        let (linear, sketch) = (dot(&a.named, &b.named), dot(&a.sketch, &b.sketch));
        let apart = |a: f64, b: f64, product: f64| (a + b - 2.0 * product).max(0.0);
        Self {
            linear,
            sketch,
            known: dot(&a.known, &b.known),
            distance: apart(a.squares[0], b.squares[0], linear),
            sketch_distance: apart(a.squares[1], b.squares[1], sketch),
        }
    }
}

/// One regression: relative latencies of networks at their places.
#[derive(Clone, Debug)]
struct Stage {
    kernel: Kernel,
    places: Vec<Place>,
    noises: Vec<f64>,
    factor: Cholesky,
    /// The inverse of the covariances times the residuals of the prior.
    weights: Vec<f64>,
}

impl Stage {
    fn new(
        kernel: Kernel,
        noises: Vec<f64>,
        pairs: &[Vec<Pair>],
        places: Vec<Place>,
        targets: &[f64],
    ) -> Self {
        let mut factor = Cholesky::with_capacity(places.len());
        for (i, row) in pairs.iter().enumerate() {
            let mut projection = Vec::with_capacity(i + 1);
            factor.project(|j| kernel.covariance(places[i], places[j], row[j]), &mut projection);
            factor.push(projection, kernel.covariance(places[i], places[i], row[i]) + noises[i]);
        }
        let residuals: Vec<f64> = targets.iter().zip(&places).map(|(t, place)| t - place.prior).collect();
        let weights = factor.solve_transposed(&factor.solve(&residuals));
        Self { kernel, places, noises, factor, weights }
    }

    /// The stage whose kernel makes the targets likeliest.
    fn chosen(candidates: &[Kernel], pairs: &[Vec<Pair>], places: Vec<Place>, targets: &[f64]) -> Self {
        let count = targets.len().min(CHOOSING);
        let part = |kernel: Kernel| {
            let noises = vec![kernel.noise; count];
            Self::new(kernel, noises, &pairs[..count], places[..count].to_vec(), &targets[..count])
        };
        let likeliest = candidates
            .iter()
            .map(|kernel| (part(*kernel).log_likelihood(targets), *kernel))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let kernel = likeliest.map_or(Kernel::PRIOR, |(_, kernel)| kernel);
        Self::new(kernel, vec![kernel.noise; targets.len()], pairs, places, targets)
    }

    /// The logarithm of the marginal likelihood, up to a constant.
    fn log_likelihood(&self, targets: &[f64]) -> f64 {
        let residuals = targets.iter().zip(&self.places).map(|(t, place)| t - place.prior);
        let squares: f64 = residuals.zip(&self.weights).map(|(residual, weight)| residual * weight).sum();
        -0.5 * squares - self.factor.ln_determinant()
    }

    /// The stage in which the noise of outliers is larger: noise of Student's t distribution, by its
    /// expectation maximization.
    fn robust(mut self, pairs: &[Vec<Pair>], targets: &[f64]) -> Self {
        for _ in 0..2 {
            let residuals: Vec<f64> =
                self.noises.iter().zip(&self.weights).map(|(noise, weight)| (noise * weight).abs()).collect();
            let mut sorted = residuals.clone();
            sorted.sort_by(f64::total_cmp);
            // The deviation of a normal distribution from its median absolute value.
            let deviation = (1.4826 * sorted[sorted.len() / 2]).max(1e-9);
            let noise = |residual: &f64| {
                self.kernel.noise * (FREEDOM + (residual / deviation).powi(2)) / (FREEDOM + 1.0)
            };
            let noises = residuals.iter().map(noise).collect();
            self = Self::new(self.kernel, noises, pairs, self.places, targets);
        }
        self
    }

    /// Covariances of a network with the points.
    fn covariances(&self, place: Place, pairs: &[Pair]) -> Vec<f64> {
        let places = pairs.iter().zip(&self.places);
        places.map(|(pair, other)| self.kernel.covariance(place, *other, *pair)).collect()
    }

    /// Error of each point as the others predict it.
    fn left_out(&self) -> Vec<f64> {
        let inverse = self.factor.inverse_diagonal();
        self.weights.iter().zip(inverse).map(|(weight, inverse)| weight / inverse).collect()
    }
}

/// Mean and interval of a prediction, in the unit of the latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Predicted {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Predicts latencies from those of a few networks.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    rows: Vec<Row>,
    /// The typical latency: the prior times this is the base of the first stage.
    typical: f64,
    bounds: [f64; 2],
    first: Stage,
    second: Stage,
    bound: Bound,
    /// Largest squared distance of a point to the nearest other.
    spread: f64,
}

impl Process {
    /// Fits to networks and their latencies: at least one, all above 0.
    pub(crate) fn fit(rows: Vec<Row>, latencies: &[f64]) -> Self {
        Self::judged(rows, latencies).0
    }

    /// As [`Process::fit`], with the latency of each network as the other folds predict it.
    pub(crate) fn judged(rows: Vec<Row>, latencies: &[f64]) -> (Self, Vec<f64>) {
        let chosen = Self::with_kernels(rows, latencies, None);
        let kernels = (latencies.len() > REFITTED_MAX).then(|| chosen.kernels());
        let folds = if latencies.len() > REFITTED_MAX { FOLDS_MANY } else { FOLDS_FEW };
        let mut errors = Vec::with_capacity(latencies.len());
        let mut held_out = latencies.to_vec();
        for fold in 0..folds.min(latencies.len()) {
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                (0..latencies.len()).partition(|network| network % folds != fold);
            if inside.is_empty() {
                continue;
            }
            let rows = inside.iter().map(|network| chosen.rows[*network].clone()).collect();
            let others: Vec<f64> = inside.iter().map(|network| latencies[*network]).collect();
            let process = Self::with_kernels(rows, &others, kernels);
            for network in outside {
                let (value, deviation) = process.mean(&chosen.rows[network]);
                errors.push(((latencies[network] / value).ln().abs(), deviation));
                held_out[network] = value;
            }
        }
        (Self { bound: Bound::new(&errors), ..chosen }, held_out)
    }

    /// The process that was fitted before, from the same networks.
    pub(crate) fn restored(rows: Vec<Row>, latencies: &[f64], kernels: [Kernel; 2], bound: Bound) -> Self {
        Self { bound, ..Self::with_kernels(rows, latencies, Some(kernels)) }
    }

    /// The bound of nine of ten errors.
    pub(crate) const fn bound(&self) -> Bound {
        self.bound
    }

    /// How far a network is from the nearest point, relative to the largest such distance among the points.
    pub(crate) fn apart(&self, row: &Row) -> f64 {
        let nearest =
            self.rows.iter().map(|known| Pair::new(row, known).distance).fold(f64::INFINITY, f64::min);
        if self.spread > 0.0 && nearest.is_finite() { (nearest / self.spread).sqrt() } else { 0.0 }
    }

    /// Fits with known kernels of the two stages, or chooses them.
    fn with_kernels(rows: Vec<Row>, latencies: &[f64], kernels: Option<[Kernel; 2]>) -> Self {
        let count = rows.len().max(1) as f64;
        let logs = rows.iter().zip(latencies).map(|(row, latency)| (latency / row.prior).ln());
        let typical = (logs.sum::<f64>() / count).exp();
        let pairs: Vec<Vec<Pair>> =
            (0..rows.len()).map(|i| (0..=i).map(|j| Pair::new(&rows[i], &rows[j])).collect()).collect();
        let with_known = rows.first().is_some_and(|row| !row.known.is_empty());
        let least = latencies.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = latencies.iter().copied().fold(0.0, f64::max);
        let bounds = [least * WITHIN[0], largest * WITHIN[1]];

        let stage = |bases: &[f64], candidates: &[Kernel]| {
            let places = rows.iter().zip(bases).map(|(row, base)| row.place(typical, *base)).collect();
            let targets: Vec<f64> =
                latencies.iter().zip(bases).map(|(latency, base)| latency / base).collect();
            let chosen = Stage::chosen(candidates, &pairs, places, &targets);
            if targets.len() >= ROBUST_MIN { chosen.robust(&pairs, &targets) } else { chosen }
        };
        let candidates = |number: usize, sketch: bool| match kernels {
            Some(kernels) => vec![kernels[number]],
            None => Kernel::candidates(with_known, sketch),
        };
        let bases: Vec<f64> = rows.iter().map(|row| row.prior * typical).collect();
        let first = stage(&bases, &candidates(0, false));
        // What the first stage says of each point without that point, as it will of other networks.
        let left_out = first.left_out();
        let bases: Vec<f64> = (0..rows.len())
            .map(|i| (latencies[i] - left_out[i] * bases[i]).clamp(bounds[0], bounds[1]))
            .collect();
        let second = stage(&bases, &candidates(1, rows.len() >= ROBUST_MIN));
        let spread = spread(&pairs);
        Self { rows, typical, bounds, first, second, bound: Bound { quantile: 0.0, floor: 0.0 }, spread }
    }

    /// The prediction of a network.
    pub(crate) fn predict(&self, row: &Row) -> Predicted {
        let (value, deviation) = self.mean(row);
        let factor = self.bound.factor(deviation);
        Predicted { value, low: value / factor, high: value * factor }
    }

    /// The predicted latency and its relative deviation.
    fn mean(&self, row: &Row) -> (f64, f64) {
        let Relative { base, mean, deviation } = self.relative(row);
        let value = (mean * base).clamp(self.bounds[0], self.bounds[1]);
        (value, deviation * base / value)
    }

    /// The prediction relative to the base.
    fn relative(&self, row: &Row) -> Relative {
        let pairs: Vec<Pair> = self.rows.iter().map(|known| Pair::new(row, known)).collect();
        let base = row.prior * self.typical;
        let place = row.place(self.typical, base);
        let first = place.prior + dot(&self.first.covariances(place, &pairs), &self.first.weights);
        let base = (first * base).clamp(self.bounds[0], self.bounds[1]);
        let place = row.place(self.typical, base);
        let covariances = self.second.covariances(place, &pairs);
        let mean = place.prior + dot(&covariances, &self.second.weights);
        let mut projection = Vec::with_capacity(covariances.len());
        self.second.factor.project(|i| covariances[i], &mut projection);
        let own = self.second.kernel.covariance(place, place, Pair::new(row, row));
        let variance = (own - dot(&projection, &projection)).max(0.0);
        Relative { base, mean, deviation: (variance + self.second.kernel.noise.max(1e-9)).sqrt() }
    }

    /// The kernels of the two stages.
    pub(crate) const fn kernels(&self) -> [Kernel; 2] {
        [self.first.kernel, self.second.kernel]
    }
}

/// The largest squared distance of a point to the nearest other.
fn spread(pairs: &[Vec<Pair>]) -> f64 {
    let mut nearest = vec![f64::INFINITY; pairs.len()];
    for (i, row) in pairs.iter().enumerate() {
        for (j, pair) in row.iter().enumerate().take(i) {
            nearest[i] = nearest[i].min(pair.distance);
            nearest[j] = nearest[j].min(pair.distance);
        }
    }
    nearest.into_iter().filter(|distance| distance.is_finite()).fold(0.0, f64::max)
}

/// A prediction relative to its base.
struct Relative {
    base: f64,
    mean: f64,
    deviation: f64,
}

/// The bound of nine of ten errors of networks that were not fitted, as logarithms of quotients.
///
/// Source: V. Vovk, Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 74, 2015;
/// J. Lei et al., Distribution-free predictive inference for regression, Journal of the American Statistical
/// Association 113(523), 2018, section 5.2, for errors in local deviations. Differs: above [`REFITTED_MAX`]
/// points the folds share the kernels. Half of the scale is the same for all networks, since a model that
/// misjudges its own uncertainty would spread intervals too much. Below [`ROBUST_MIN`] points the rank is one
/// higher, since those that were chosen are not exchangeable with others. A rank above the number of points
/// raises the largest error in proportion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bound {
    /// Errors of nine of ten networks, in deviations plus `floor`.
    quantile: f64,
    /// Median deviation.
    floor: f64,
}

impl Bound {
    /// The bound of errors, each with its deviation.
    fn new(errors: &[(f64, f64)]) -> Self {
        let mut deviations: Vec<f64> = errors.iter().map(|(_, deviation)| *deviation).collect();
        deviations.sort_by(f64::total_cmp);
        let floor = deviations.get(deviations.len() / 2).copied().unwrap_or(0.0);
        let mut scaled: Vec<f64> =
            errors.iter().map(|(error, deviation)| error / (deviation + floor)).collect();
        scaled.sort_by(f64::total_cmp);
        let raised = if scaled.len() < ROBUST_MIN { 1.0 } else { 0.0 };
        let rank = ((scaled.len() as f64 + 1.0) * 0.9).ceil() + raised;
        let place = (rank as usize).clamp(1, scaled.len().max(1)) - 1;
        let found = scaled.get(place).copied().unwrap_or(2.0);
        Self { quantile: found * (rank / (place + 1) as f64), floor }
    }

    /// The factor between prediction and either end of the interval.
    fn factor(self, deviation: f64) -> f64 {
        // A quotient above 1000 says only that nothing is known.
        (self.quantile * (deviation + self.floor)).min(1000_f64.ln()).exp()
    }

    /// Whether the bound of a file can be computed with.
    pub(crate) fn is_usable(self) -> bool {
        [self.quantile, self.floor].iter().all(|value| value.is_finite() && (0.0..=1e6).contains(value))
    }
}
