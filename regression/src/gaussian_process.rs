//! Gaussian process regression on a few hundred points, which are added one at a time. The process takes the
//! squared distances between points instead of the points themselves.
//!
//! Source: Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, algorithm 2.1
//! (prediction by Cholesky factor), equations 2.30 (marginal likelihood) and 4.17 (Matern 5/2 kernel).
//! Differs: the constant mean and the variance of the process are maximum likelihood estimates.

use crate::cholesky::{Cholesky, JITTER};
use crate::prediction::Prediction;
use crate::vectors::dot;

/// Candidate length scales, relative to the root mean squared distance of the points.
const LENGTHS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
/// Candidate noise variances, relative to the variance of the process.
const NOISES: [f64; 3] = [0.003, 0.03, 0.2];

/// A Gaussian process: the Cholesky factor of the points' covariances, relative to the variance of the
/// process.
///
/// The process contains no targets. Targets are passed to [`GaussianProcess::posterior`], so one process can
/// be used with several sets of targets for the same points.
#[derive(Clone, Debug)]
pub struct GaussianProcess {
    kernel: Kernel,
    factor: Cholesky,
}

/// The kernel: how the correlation of two points decreases with their distance, and the noise of each target.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    length: f64,
    noise: f64,
}

/// A Gaussian process conditioned on targets. It predicts targets from projections.
#[derive(Clone, Debug)]
pub struct Posterior {
    mean: f64,
    variance: f64,
    /// `L⁻¹ (y - mean)`, where `y` are the targets and `L` is the Cholesky factor.
    residuals: Vec<f64>,
}

impl GaussianProcess {
    /// Chooses length scale and noise by the marginal likelihood of `targets`. Row `i` of `distances`
    /// contains the squared distances of point `i` to the points before it.
    ///
    /// The method evaluates a grid of twelve kernels instead of following a gradient. With a few dozen
    /// points, the likelihood is flat or has several maxima. A grid also yields bitwise equal results on
    /// every machine.
    ///
    /// # Panics
    /// Never, because the grid of kernels is not empty.
    #[must_use]
    pub fn fit<R: AsRef<[f64]>>(distances: &[R], targets: &[f64]) -> Self {
        let pairs = (distances.len() * distances.len().saturating_sub(1) / 2).max(1) as f64;
        let typical = (distances.iter().flat_map(AsRef::as_ref).sum::<f64>() / pairs).sqrt();
        let typical = if typical > 0.0 { typical } else { 1.0 };
        let kernels = LENGTHS.iter().flat_map(|length| {
            NOISES.iter().map(move |noise| Kernel { length: length * typical, noise: *noise })
        });
        let fitted = kernels.map(|kernel| {
            let process = Self::with_kernel(kernel, distances);
            (process.log_likelihood(targets), process)
        });
        fitted.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are kernels to try").1
    }

    /// Creates a process with this kernel.
    #[must_use]
    pub fn with_kernel<R: AsRef<[f64]>>(kernel: Kernel, distances: &[R]) -> Self {
        let mut process = Self { kernel, factor: Cholesky::with_capacity(distances.len()) };
        for row in distances {
            process.push(row.as_ref());
        }
        process
    }

    /// Returns the kernel.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Number of points.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.factor.len()
    }

    /// Whether there are no points.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.factor.is_empty()
    }

    /// Adds a point, given its squared distances to the points before it.
    pub fn push(&mut self, distances: &[f64]) {
        let mut projection = Vec::with_capacity(self.len() + 1);
        self.project(distances, &mut projection);
        self.factor.push(projection, 1.0 + self.kernel.noise);
    }

    /// Removes the points after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.factor.truncate(len);
    }

    /// Completes the projection of a point, which [`Posterior::predict`] takes. `distances` contains one
    /// squared distance for each point of the process. Elements that `projection` already contains are not
    /// recomputed.
    pub fn project(&self, distances: &[f64], projection: &mut Vec<f64>) {
        self.factor.project(|i| self.kernel.covariance(distances[i]), projection);
    }

    /// Conditions the process on the targets of its first points. Points without a target lower the standard
    /// deviation around them but do not change the mean, as if the targets were equal to the predicted
    /// values.
    #[must_use]
    pub fn posterior(&self, targets: &[f64]) -> Posterior {
        let targets = &targets[..targets.len().min(self.len())];
        let ones = self.factor.solve(&vec![1.0; targets.len()]);
        let mut residuals = self.factor.solve(targets);
        // The mean is estimated by generalized least squares.
        let mean = if ones.is_empty() { 0.0 } else { dot(&ones, &residuals) / dot(&ones, &ones) };
        for (residual, one) in residuals.iter_mut().zip(&ones) {
            *residual -= mean * one;
        }
        let variance = dot(&residuals, &residuals) / residuals.len().max(1) as f64;
        Posterior { mean, variance, residuals }
    }

    /// Returns the logarithm of the marginal likelihood, up to a constant.
    fn log_likelihood(&self, targets: &[f64]) -> f64 {
        let variance = self.posterior(targets).variance.max(JITTER);
        -0.5 * targets.len() as f64 * variance.ln() - self.factor.ln_determinant()
    }
}

impl Posterior {
    /// Returns the mean and the standard deviation of the prediction at a projected point.
    #[must_use]
    pub fn predict(&self, projection: &[f64]) -> Prediction {
        // Points without a target come after the points with a target, so they affect only the standard
        // deviation.
        let known = projection.len().min(self.residuals.len());
        let mean = self.mean + dot(&projection[..known], &self.residuals[..known]);
        let rest = (1.0 - dot(projection, projection)).max(JITTER);
        Prediction { mean, deviation: (rest * self.variance).sqrt() }
    }
}

impl Kernel {
    /// Returns the covariance by the Matern 5/2 kernel.
    fn covariance(self, squared_distance: f64) -> f64 {
        let r = (5.0 * squared_distance).sqrt() / self.length;
        (1.0 + r + r * r / 3.0) * (-r).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the squared distances of each point on a line to the points before it.
    fn triangle(points: &[f64]) -> Vec<Vec<f64>> {
        (0..points.len()).map(|i| distances(points[i], &points[..i])).collect()
    }

    fn distances(point: f64, others: &[f64]) -> Vec<f64> {
        others.iter().map(|other| (point - other).powi(2)).collect()
    }

    #[test]
    fn process_of_one_point_by_hand() {
        let process = GaussianProcess::with_kernel(Kernel { length: 2.0, noise: 0.5 }, &triangle(&[0.0]));
        let mut projection = Vec::new();
        process.project(&distances(2.0, &[0.0]), &mut projection);
        let covariance = (1.0 + 5_f64.sqrt() + 5.0 / 3.0) * (-(5_f64.sqrt())).exp();
        assert!((projection[0] - covariance / 1.5_f64.sqrt()).abs() < 1e-12);
        let Prediction { mean, deviation } = process.posterior(&[3.0]).predict(&projection);
        assert!((mean - 3.0).abs() < 1e-12 && deviation < 1e-3);
    }

    #[test]
    fn prediction_follows_a_smooth_curve_and_is_less_certain_outside_it() {
        let xs: Vec<f64> = (0..20).map(|i| f64::from(i) * 0.3).collect();
        let targets: Vec<f64> = xs.iter().map(|x| x.sin()).collect();
        let process = GaussianProcess::fit(&triangle(&xs), &targets);
        let posterior = process.posterior(&targets);
        let predict = |x: f64| {
            let mut projection = Vec::new();
            process.project(&distances(x, &xs), &mut projection);
            posterior.predict(&projection)
        };
        let (inside, outside) = (predict(2.0), predict(9.0));
        assert!((inside.mean - 2_f64.sin()).abs() < 0.05, "{inside:?}");
        assert!(outside.deviation > 4.0 * inside.deviation, "{inside:?} {outside:?}");
    }

    #[test]
    fn process_grown_point_by_point_equals_one_made_at_once() {
        let (xs, kernel) = ([0.0, 1.0, 1.0, 2.5], Kernel { length: 1.0, noise: 0.01 });
        let all = triangle(&xs);
        let whole = GaussianProcess::with_kernel(kernel, &all);
        let mut grown = GaussianProcess::with_kernel(kernel, &all[..2]);
        let (mut projection, to_all) = (Vec::new(), distances(2.0, &xs));
        grown.project(&to_all[..2], &mut projection);
        grown.push(&all[2]);
        grown.push(&all[3]);
        grown.project(&to_all, &mut projection);
        let mut at_once = Vec::new();
        whole.project(&to_all, &mut at_once);
        assert!(projection.iter().zip(&at_once).all(|(a, b)| (a - b).abs() < 1e-12));
        grown.truncate(2);
        grown.project(&to_all, &mut projection);
        assert_eq!((grown.len(), projection.len()), (2, 2));
    }

    #[test]
    fn point_without_a_target_lowers_the_deviation_and_keeps_the_mean() {
        let (xs, targets) = ([0.0, 1.0, 2.0, 3.1], [0.0, 1.0, 0.5]);
        let mut process = GaussianProcess::fit(&triangle(&xs[..3]), &targets);
        let (mut projection, to_all) = (Vec::new(), distances(3.0, &xs));
        process.project(&to_all, &mut projection);
        let before = process.posterior(&targets).predict(&projection);
        process.push(&distances(3.1, &xs[..3]));
        process.project(&to_all, &mut projection);
        let after = process.posterior(&targets).predict(&projection);
        assert!((before.mean - after.mean).abs() < 1e-12 && after.deviation < before.deviation);
    }
}
