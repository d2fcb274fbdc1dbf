//! Gaussian process regression on a few hundred vectors, grown point by point.
//!
//! Source: Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, algorithm 2.1 (prediction by
//! Cholesky factor), equations 2.30 (marginal likelihood) and 4.17 (Matern 5/2 kernel).
//! Differs: the constant mean and the variance of the process are maximum likelihood estimates.

use std::sync::Arc;

use crate::embedding::squared_distance;

/// Length scales tried, relative to the root mean squared distance of the points.
const LENGTHS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
/// Noise variances tried, relative to the variance of the process.
const NOISES: [f64; 3] = [0.003, 0.03, 0.2];
/// Smallest variance of a point given the others, so that equal points do no harm.
const JITTER: f64 = 1e-9;

/// Points with the Cholesky factor of their covariances. Knows no targets: these come with [`GaussianProcess::posterior`].
#[derive(Clone, Debug)]
pub(crate) struct GaussianProcess {
    kernel: Kernel,
    points: Vec<Arc<[f64]>>,
    /// Row `i` holds the first `i + 1` numbers of a row of the factor.
    factor: Vec<Vec<f64>>,
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    length: f64,
    noise: f64,
}

/// Predicts targets from projections.
#[derive(Clone, Debug)]
pub(crate) struct Posterior {
    mean: f64,
    variance: f64,
    /// Targets without the mean, times the inverse of the factor.
    residuals: Vec<f64>,
}

impl GaussianProcess {
    /// Chooses length scale and noise by the marginal likelihood of `targets`.
    pub(crate) fn fit(points: &[Arc<[f64]>], targets: &[f64]) -> Self {
        let distances: Vec<Vec<f64>> = points
            .iter()
            .enumerate()
            .map(|(i, point)| points[..i].iter().map(|other| squared_distance(point, other)).collect())
            .collect();
        let pairs = (points.len() * points.len().saturating_sub(1) / 2).max(1) as f64;
        let typical = (distances.iter().flatten().sum::<f64>() / pairs).sqrt();
        let typical = if typical > 0.0 { typical } else { 1.0 };
        let kernels = LENGTHS.iter().flat_map(|length| {
            NOISES.iter().map(move |noise| Kernel { length: length * typical, noise: *noise })
        });
        let fitted = kernels.map(|kernel| {
            let process = Self::with_kernel(kernel, points, &distances);
            (process.log_likelihood(targets), process)
        });
        fitted.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are kernels to try").1
    }

    fn with_kernel(kernel: Kernel, points: &[Arc<[f64]>], distances: &[Vec<f64>]) -> Self {
        let mut process = Self { kernel, points: Vec::new(), factor: Vec::with_capacity(points.len()) };
        for row in distances {
            let mut projection = Vec::with_capacity(row.len() + 1);
            process.extend(&mut projection, |i| row[i]);
            process.append(projection);
        }
        process.points = points.to_vec();
        process
    }

    /// Number of points.
    pub(crate) fn len(&self) -> usize {
        self.factor.len()
    }

    /// Adds a point.
    pub(crate) fn push(&mut self, point: Arc<[f64]>) {
        let mut projection = Vec::with_capacity(self.len() + 1);
        self.project(&point, &mut projection);
        self.append(projection);
        self.points.push(point);
    }

    /// Removes the points after the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.points.truncate(len);
        self.factor.truncate(len);
    }

    /// Brings the projection of `point` up to date with the points: the covariances with them, times the inverse of the
    /// factor. Points that it already covers are not looked at again.
    pub(crate) fn project(&self, point: &[f64], projection: &mut Vec<f64>) {
        projection.truncate(self.len());
        self.extend(projection, |i| squared_distance(point, &self.points[i]));
    }

    /// What the process says given the targets of its first points; of the others only the place is known, and their
    /// targets are taken to be what is predicted there.
    pub(crate) fn posterior(&self, targets: &[f64]) -> Posterior {
        let targets = &targets[..targets.len().min(self.len())];
        let ones = self.whiten(&vec![1.0; targets.len()]);
        let mut residuals = self.whiten(targets);
        let mean = if ones.is_empty() { 0.0 } else { dot(&ones, &residuals) / dot(&ones, &ones) };
        for (residual, one) in residuals.iter_mut().zip(&ones) {
            *residual -= mean * one;
        }
        let variance = dot(&residuals, &residuals) / residuals.len().max(1) as f64;
        Posterior { mean, variance, residuals }
    }

    fn log_likelihood(&self, targets: &[f64]) -> f64 {
        let variance = self.posterior(targets).variance.max(JITTER);
        let ln_determinant: f64 = self.factor.iter().filter_map(|row| row.last()).map(|d| d.ln()).sum();
        -0.5 * targets.len() as f64 * variance.ln() - ln_determinant
    }

    fn whiten(&self, targets: &[f64]) -> Vec<f64> {
        let mut white = Vec::with_capacity(targets.len());
        for (target, row) in targets.iter().zip(&self.factor) {
            let i = white.len();
            white.push((target - dot(&row[..i], &white)) / row[i]);
        }
        white
    }

    fn extend(&self, projection: &mut Vec<f64>, distance: impl Fn(usize) -> f64) {
        for (i, row) in self.factor.iter().enumerate().skip(projection.len()) {
            let covariance = self.kernel.covariance(distance(i));
            projection.push((covariance - dot(&row[..i], projection)) / row[i]);
        }
    }

    fn append(&mut self, mut projection: Vec<f64>) {
        let rest = 1.0 + self.kernel.noise - dot(&projection, &projection);
        projection.push(rest.max(JITTER).sqrt());
        self.factor.push(projection);
    }
}

impl Posterior {
    /// Mean and standard deviation at a projected point.
    pub(crate) fn predict(&self, projection: &[f64]) -> (f64, f64) {
        let known = projection.len().min(self.residuals.len());
        let mean = self.mean + dot(&projection[..known], &self.residuals[..known]);
        let rest = (1.0 - dot(projection, projection)).max(JITTER);
        (mean, (rest * self.variance).sqrt())
    }
}

impl Kernel {
    /// Matern 5/2.
    fn covariance(self, squared_distance: f64) -> f64 {
        let r = (5.0 * squared_distance).sqrt() / self.length;
        (1.0 + r + r * r / 3.0) * (-r).exp()
    }
}

/// Inner product in four running sums, which the compiler can keep in one register.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 4];
    for (a, b) in a.zip(b) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Arc<[f64]>> {
        values.iter().map(|value| Arc::from([*value])).collect()
    }

    #[test]
    fn one_point_by_hand() {
        let kernel = Kernel { length: 2.0, noise: 0.5 };
        let process = GaussianProcess::with_kernel(kernel, &points(&[0.0]), &[vec![]]);
        let mut projection = Vec::new();
        process.project(&[2.0], &mut projection);
        let covariance = (1.0 + 5_f64.sqrt() + 5.0 / 3.0) * (-(5_f64.sqrt())).exp();
        assert!((projection[0] - covariance / 1.5_f64.sqrt()).abs() < 1e-12);
        let (mean, deviation) = process.posterior(&[3.0]).predict(&projection);
        assert!((mean - 3.0).abs() < 1e-12 && deviation < 1e-3);
    }

    #[test]
    fn follows_a_smooth_curve_and_knows_where_it_is_unsure() {
        let xs: Vec<f64> = (0..20).map(|i| f64::from(i) * 0.3).collect();
        let targets: Vec<f64> = xs.iter().map(|x| x.sin()).collect();
        let process = GaussianProcess::fit(&points(&xs), &targets);
        let posterior = process.posterior(&targets);
        let predict = |x: f64| {
            let mut projection = Vec::new();
            process.project(&[x], &mut projection);
            posterior.predict(&projection)
        };
        let (inside, outside) = (predict(2.0), predict(9.0));
        assert!((inside.0 - 2_f64.sin()).abs() < 0.05, "{inside:?}");
        assert!(outside.1 > 4.0 * inside.1, "{inside:?} {outside:?}");
    }

    #[test]
    fn growing_equals_fitting_at_once() {
        let (xs, kernel) = ([0.0, 1.0, 1.0, 2.5], Kernel { length: 1.0, noise: 0.01 });
        let all = points(&xs);
        let distances: Vec<Vec<f64>> =
            (0..4).map(|i| all[..i].iter().map(|other| squared_distance(&all[i], other)).collect()).collect();
        let whole = GaussianProcess::with_kernel(kernel, &all, &distances);
        let mut grown = GaussianProcess::with_kernel(kernel, &all[..2], &distances[..2]);
        let mut projection = Vec::new();
        grown.project(&[2.0], &mut projection);
        grown.push(Arc::clone(&all[2]));
        grown.push(Arc::clone(&all[3]));
        grown.project(&[2.0], &mut projection);
        let mut at_once = Vec::new();
        whole.project(&[2.0], &mut at_once);
        assert!(projection.iter().zip(&at_once).all(|(a, b)| (a - b).abs() < 1e-12));
        grown.truncate(2);
        grown.project(&[2.0], &mut projection);
        assert_eq!((grown.len(), projection.len()), (2, 2));
    }

    #[test]
    fn a_point_without_a_target_lowers_the_deviation_and_keeps_the_mean() {
        let mut process = GaussianProcess::fit(&points(&[0.0, 1.0, 2.0]), &[0.0, 1.0, 0.5]);
        let targets = [0.0, 1.0, 0.5];
        let mut projection = Vec::new();
        process.project(&[3.0], &mut projection);
        let before = process.posterior(&targets).predict(&projection);
        process.push(Arc::from([3.1]));
        process.project(&[3.0], &mut projection);
        let after = process.posterior(&targets).predict(&projection);
        assert!((before.0 - after.0).abs() < 1e-12 && after.1 < before.1);
    }
}
