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
pub(super) const ROBUST_MIN: usize = 30;
/// Rounds in which outliers are found.
const ROBUST_ROUNDS: usize = 3;
/// The kernel is chosen again if the noise of a point exceeds the usual by this factor: outliers would choose
/// one that explains them.
const OUTLYING: f64 = 4.0;
/// Degrees of freedom of the noise of many points.
const FREEDOM: f64 = 4.0;
/// Variances and lengths of effects that do not add up, to choose from; the first is none.
const SMOOTHS: [(f64, f64); 7] =
    [(0.0, 1.0), (0.003, 1.0), (0.03, 0.5), (0.03, 1.0), (0.03, 2.0), (0.2, 1.0), (0.2, 2.0)];
/// Variance of the constant, and of the prior's factor.
const LEVEL: f64 = 0.25;
/// Predictions of the first stage stay within these factors of the smallest and the largest latency.
const WITHIN: [f64; 2] = [0.4, 2.5];

/// Kernels that a process chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Those in which all effects add up, which makes the process a ridge regression.
    Linear,
    /// All.
    Any,
}

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

    /// The likeliest kernel before anything is measured, on 26 devices.
    const USUAL: Self =
        Self { linear: 0.1, known: 1.0, smooth: 0.01, length: 1.0, noise: 0.01, sketch: false };

    /// Whether the kernel of a file can be computed with.
    pub(crate) fn is_usable(&self) -> bool {
        let Self { linear, known, smooth, length, noise, .. } = *self;
        [linear, known, smooth, length, noise].iter().all(|value| (0.0..=1000.0).contains(value))
            && length > 1e-6
    }

    /// Kernels to choose from, in groups that differ in weights alone.
    fn candidates(of: Family, with_known: bool, with_sketch: bool) -> Vec<Vec<Self>> {
        let knowns: &[f64] = if with_known { &[0.01, 0.1, 1.0, 5.0] } else { &[0.0] };
        let smooths = if of == Family::Linear { &SMOOTHS[..1] } else { &SMOOTHS };
        let sketches: &[bool] = if with_sketch { &[false, true] } else { &[false] };
        let group = |sketch: bool, (smooth, length): (f64, f64)| {
            let mut kernels = Vec::new();
            for linear in [0.001, 0.01, 0.1, 1.0, 5.0] {
                for &known in knowns {
                    for noise in [1e-6, 3e-4, 3e-3, 0.01, 0.03, 0.1] {
                        kernels.push(Self { linear, known, smooth, length, noise, sketch });
                    }
                }
            }
            kernels
        };
        let of_sketch =
            |sketch: &bool| smooths.iter().map(|smooth| group(*sketch, *smooth)).collect::<Vec<_>>();
        sketches.iter().flat_map(of_sketch).collect()
    }

    /// Covariance of two networks, without noise.
    pub(crate) fn covariance(&self, a: Place, b: Place, pair: Pair) -> f64 {
        let linear = if self.sketch { 0.5 * (pair.linear + pair.sketch) } else { pair.linear };
        let level = LEVEL + self.linear * linear + self.known * pair.known;
        a.scale * b.scale * level + LEVEL * a.prior * b.prior + self.not_additive(pair)
    }

    /// The part of the covariance of effects that do not add up.
    fn not_additive(&self, pair: Pair) -> f64 {
        if self.smooth <= 0.0 {
            return 0.0;
        }
        let squared = if self.sketch { pair.distance + pair.sketch_distance } else { pair.distance };
        let r = (5.0 * squared).sqrt() / self.length;
        self.smooth * (1.0 + r + r * r / 3.0) * (-r).exp()
    }

    /// Logarithm of the probability of the kernel before anything is measured, up to a constant. With few
    /// points, the likelihood alone would take a kernel that explains their noise.
    fn log_prior(&self) -> f64 {
        let usual = Self::USUAL;
        let pairs = [(self.linear, usual.linear), (self.known, usual.known), (self.noise, usual.noise)];
        let log = |(value, usual): (f64, f64)| if value > 0.0 { (value / usual).ln() } else { 0.0 };
        -0.5 * pairs.into_iter().map(|pair| log(pair).powi(2)).sum::<f64>()
    }

    /// The kernel between others of equal length: the mean of each logarithm.
    fn between(kernels: &[(f64, Self)]) -> Option<Self> {
        let (_, any) = kernels.first()?;
        let whole: f64 = kernels.iter().map(|(weight, _)| weight).sum();
        let mean = |part: fn(&Self) -> f64| {
            let logs = kernels.iter().map(|(weight, kernel)| weight * part(kernel).max(1e-12).ln());
            (logs.sum::<f64>() / whole).exp()
        };
        let known = if any.known > 0.0 { mean(|kernel| kernel.known) } else { 0.0 };
        Some(Self { linear: mean(|kernel| kernel.linear), known, noise: mean(|kernel| kernel.noise), ..*any })
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
    /// Variance of the noise of each point.
    noises: Vec<f64>,
    /// Variance of the noise of a point that is no outlier.
    noise: f64,
    factor: Cholesky,
    /// The inverse of the covariances times the residuals of the prior.
    weights: Vec<f64>,
    sums: Sums,
}

/// What the points say together of effects that add up, so that a prediction need not visit each.
#[derive(Clone, Debug, Default)]
struct Sums {
    level: f64,
    prior: f64,
    named: Vec<f64>,
    sketch: Vec<f64>,
    known: Vec<f64>,
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
        Self { kernel, places, noises, noise: kernel.noise, factor, weights, sums: Sums::default() }
    }

    /// The stage with the sums of its points.
    fn summed(mut self, rows: &[Row]) -> Self {
        let scaled: Vec<f64> =
            self.weights.iter().zip(&self.places).map(|(weight, place)| weight * place.scale).collect();
        let sum = |part: fn(&Row) -> &Vec<f64>| {
            let mut sum = vec![0.0; rows.first().map_or(0, |row| part(row).len())];
            for (weight, row) in scaled.iter().zip(rows) {
                for (sum, value) in sum.iter_mut().zip(part(row)) {
                    *sum += weight * value;
                }
            }
            sum
        };
        let priors = self.weights.iter().zip(&self.places).map(|(weight, place)| weight * place.prior);
        self.sums = Sums {
            level: scaled.iter().sum(),
            prior: priors.sum(),
            named: sum(|row| &row.named),
            sketch: sum(|row| &row.sketch),
            known: sum(|row| &row.known),
        };
        self
    }

    /// The mean relative latency of a network. `pairs` may be empty if all effects add up.
    fn mean(&self, row: &Row, place: Place, pairs: &[Pair]) -> f64 {
        let (kernel, sums) = (&self.kernel, &self.sums);
        let named = dot(&row.named, &sums.named);
        let linear = if kernel.sketch { 0.5 * (named + dot(&row.sketch, &sums.sketch)) } else { named };
        let known = dot(&row.known, &sums.known);
        let level = LEVEL * sums.level + kernel.linear * linear + kernel.known * known;
        let mut mean = place.prior + place.scale * level + LEVEL * place.prior * sums.prior;
        if kernel.smooth > 0.0 {
            let pairs = pairs.iter().zip(&self.weights);
            mean += pairs.map(|(pair, weight)| weight * kernel.not_additive(*pair)).sum::<f64>();
        }
        mean
    }

    /// The stage with the kernel between all of the group that targets and [`Kernel::log_prior`] make
    /// likeliest.
    /// The noise of each point is that of the kernel times the point's factor.
    fn chosen(
        candidates: &[Vec<Kernel>],
        pairs: &[Vec<Pair>],
        places: Vec<Place>,
        targets: &[f64],
        factors: &[f64],
    ) -> Self {
        let noises = |kernel: Kernel| factors.iter().map(|factor| factor * kernel.noise).collect::<Vec<_>>();
        let count = targets.len().min(CHOOSING);
        let part = |kernel: Kernel| {
            let mut noises = noises(kernel);
            noises.truncate(count);
            Self::new(kernel, noises, &pairs[..count], places[..count].to_vec(), &targets[..count])
        };
        let judged = |kernel: &Kernel| (part(*kernel).log_likelihood(targets) + kernel.log_prior(), *kernel);
        let groups: Vec<Vec<(f64, Kernel)>> =
            candidates.iter().map(|group| group.iter().map(judged).collect()).collect();
        let all = groups.iter().flatten();
        let most = all.map(|(likely, _)| *likely).fold(f64::NEG_INFINITY, f64::max);
        let weighed = |group: &Vec<(f64, Kernel)>| {
            let group: Vec<(f64, Kernel)> =
                group.iter().map(|(likely, kernel)| ((likely - most).exp(), *kernel)).collect();
            (group.iter().map(|(weight, _)| weight).sum::<f64>(), Kernel::between(&group))
        };
        let best = groups.iter().map(weighed).max_by(|a, b| a.0.total_cmp(&b.0));
        let kernel = best.and_then(|(_, kernel)| kernel).unwrap_or(Kernel::USUAL);
        Self::new(kernel, noises(kernel), pairs, places, targets)
    }

    /// The logarithm of the marginal likelihood, up to a constant.
    fn log_likelihood(&self, targets: &[f64]) -> f64 {
        let residuals = targets.iter().zip(&self.places).map(|(t, place)| t - place.prior);
        let squares: f64 = residuals.zip(&self.weights).map(|(residual, weight)| residual * weight).sum();
        -0.5 * squares - self.factor.ln_determinant()
    }

    /// The stage in which the noise of outliers is larger: noise of Student's t distribution, by its
    /// expectation maximization. The errors are those of points that the others predict.
    fn robust(mut self, pairs: &[Vec<Pair>], targets: &[f64]) -> Self {
        for _ in 0..ROBUST_ROUNDS {
            let inverse = self.factor.inverse_diagonal();
            let shares = self.noises.iter().zip(&inverse).map(|(noise, inverse)| noise * inverse);
            let mean_share = shares.sum::<f64>() / inverse.len().max(1) as f64;
            let errors: Vec<f64> =
                self.weights.iter().zip(&inverse).map(|(weight, inverse)| (weight / inverse).abs()).collect();
            let mut sorted = errors.clone();
            sorted.sort_by(f64::total_cmp);
            // The deviation of a normal distribution from its median absolute value.
            let deviation = (1.4826 * sorted[sorted.len() / 2]).max(1e-6);
            // An error is larger than the noise, by what a point itself says of its mean.
            let usual = deviation * deviation * mean_share.clamp(0.05, 1.0);
            let noise = |error: &f64| usual * (FREEDOM + (error / deviation).powi(2)) / (FREEDOM + 1.0);
            let noises = errors.iter().map(noise).collect();
            self = Self { noise: usual, ..Self::new(self.kernel, noises, pairs, self.places, targets) };
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

/// What a process predicts of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    /// The latency, in the unit of those that were fitted to.
    pub(crate) value: f64,
    /// Its deviation, relative to `value`.
    pub(crate) deviation: f64,
    /// Squared distance to the nearest network that was fitted to.
    pub(crate) nearest: f64,
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
    /// Latency of each network that was fitted to, as the others predict it.
    left_out: Vec<f64>,
}

impl Process {
    /// Fits to networks and their latencies: at least one, all above 0. `kernels` are those of the two
    /// stages; without them, the likeliest ones `of` a family are taken.
    pub(crate) fn fit(rows: &[Row], latencies: &[f64], of: Family, kernels: Option<[Kernel; 2]>) -> Self {
        let count = rows.len().max(1) as f64;
        let logs = rows.iter().zip(latencies).map(|(row, latency)| (latency / row.prior).ln());
        let typical = (logs.sum::<f64>() / count).exp();
        let pairs: Vec<Vec<Pair>> =
            (0..rows.len()).map(|i| (0..=i).map(|j| Pair::new(&rows[i], &rows[j])).collect()).collect();
        let with_known = rows.first().is_some_and(|row| !row.known.is_empty());
        let least = latencies.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = latencies.iter().copied().fold(0.0, f64::max);
        let bounds = [least * WITHIN[0], largest * WITHIN[1]];

        let stage = |bases: &[f64], candidates: &[Vec<Kernel>]| {
            let places: Vec<Place> =
                rows.iter().zip(bases).map(|(row, base)| row.place(typical, *base)).collect();
            let targets: Vec<f64> =
                latencies.iter().zip(bases).map(|(latency, base)| latency / base).collect();
            let chosen =
                |factors: &[f64]| Stage::chosen(candidates, &pairs, places.clone(), &targets, factors);
            let first = chosen(&vec![1.0; targets.len()]);
            if targets.len() < ROBUST_MIN {
                return first.summed(rows);
            }
            let robust = first.robust(&pairs, &targets);
            let factors: Vec<f64> = robust.noises.iter().map(|noise| noise / robust.noise).collect();
            let robust = if factors.iter().any(|factor| *factor > OUTLYING) {
                chosen(&factors).robust(&pairs, &targets)
            } else {
                robust
            };
            robust.summed(rows)
        };
        let candidates = |number: usize, sketch: bool| match kernels {
            Some(kernels) => vec![vec![kernels[number]]],
            None => Kernel::candidates(of, with_known, sketch),
        };
        let bases: Vec<f64> = rows.iter().map(|row| row.prior * typical).collect();
        let first = stage(&bases, &candidates(0, false));
        // What a stage says of each point without that point, as it will of other networks.
        let without = |stage: &Stage, bases: &[f64]| -> Vec<f64> {
            let errors = stage.left_out();
            let latency = |i: usize| (latencies[i] - errors[i] * bases[i]).clamp(bounds[0], bounds[1]);
            (0..rows.len()).map(latency).collect()
        };
        let bases = without(&first, &bases);
        let second = stage(&bases, &candidates(1, rows.len() >= ROBUST_MIN));
        let left_out = without(&second, &bases);
        Self { rows: rows.to_vec(), typical, bounds, first, second, left_out }
    }

    /// The predicted latency.
    pub(crate) fn mean(&self, row: &Row) -> f64 {
        let smooth = [&self.first, &self.second].iter().any(|stage| stage.kernel.smooth > 0.0);
        let pairs = if smooth { self.pairs(row) } else { Vec::new() };
        let (place, base) = self.second_place(row, &pairs);
        (self.second.mean(row, place, &pairs) * base).clamp(self.bounds[0], self.bounds[1])
    }

    /// The predicted latency with its deviation.
    pub(crate) fn predict(&self, row: &Row) -> Found {
        let pairs = self.pairs(row);
        let (place, base) = self.second_place(row, &pairs);
        let value = (self.second.mean(row, place, &pairs) * base).clamp(self.bounds[0], self.bounds[1]);
        let covariances = self.second.covariances(place, &pairs);
        let mut projection = Vec::with_capacity(covariances.len());
        self.second.factor.project(|i| covariances[i], &mut projection);
        let own = self.second.kernel.covariance(place, place, Pair::new(row, row));
        let variance = (own - dot(&projection, &projection)).max(0.0);
        let deviation = (variance + self.second.noise.max(1e-9)).sqrt() * base / value;
        let nearest = pairs.iter().map(|pair| pair.distance).fold(f64::INFINITY, f64::min);
        Found { value, deviation, nearest }
    }

    fn pairs(&self, row: &Row) -> Vec<Pair> {
        self.rows.iter().map(|known| Pair::new(row, known)).collect()
    }

    /// Where a network stands on the base of the second stage, and that base.
    fn second_place(&self, row: &Row, pairs: &[Pair]) -> (Place, f64) {
        let base = row.prior * self.typical;
        let first = self.first.mean(row, row.place(self.typical, base), pairs);
        let base = (first * base).clamp(self.bounds[0], self.bounds[1]);
        (row.place(self.typical, base), base)
    }

    /// The kernels of the two stages.
    pub(crate) const fn kernels(&self) -> [Kernel; 2] {
        [self.first.kernel, self.second.kernel]
    }

    /// Latency of each network that was fitted to, as the others predict it.
    pub(crate) fn left_out(&self) -> &[f64] {
        &self.left_out
    }

    /// The largest squared distance of a network to the nearest other.
    pub(crate) fn spread(&self) -> f64 {
        let distance = |i: usize, j: usize| Pair::new(&self.rows[i], &self.rows[j]).distance;
        let nearest = |i: usize| {
            (0..self.rows.len()).filter(|j| *j != i).map(|j| distance(i, j)).fold(f64::INFINITY, f64::min)
        };
        (0..self.rows.len()).map(nearest).filter(|distance| distance.is_finite()).fold(0.0, f64::max)
    }
}
