//! Gaussian process regression on a few hundred points, grown point by point. It knows points by their squared distances alone.
//!
//! Source: Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, algorithm 2.1 (prediction by
//! Cholesky factor), equations 2.30 (marginal likelihood) and 4.17 (Matern 5/2 kernel).
//! Differs: the constant mean and the variance of the process are maximum likelihood estimates.

/// Length scales tried, relative to the root mean squared distance of the points.
const LENGTHS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
/// Noise variances tried, relative to the variance of the process.
const NOISES: [f64; 3] = [0.003, 0.03, 0.2];
/// Smallest variance of a point given the others, so that equal points do no harm.
const JITTER: f64 = 1e-9;
/// Running sums of an inner product, enough to keep the processor busy.
const LANES: usize = 8;

/// Points with the Cholesky factor of their covariances. Knows no targets: these come with [`GaussianProcess::posterior`].
#[derive(Clone, Debug)]
pub(crate) struct GaussianProcess {
    kernel: Kernel,
    /// Row `i` holds the first `i + 1` numbers of a row of the factor.
    factor: Vec<Vec<f64>>,
}

/// How the likeness of two points falls with their distance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
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
    /// Chooses length scale and noise by the marginal likelihood of `targets`. Row `i` of `distances` holds the squared distances
    /// of point `i` to those before it.
    pub(crate) fn fit<R: AsRef<[f64]>>(distances: &[R], targets: &[f64]) -> Self {
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

    /// The process of a known kernel.
    pub(crate) fn with_kernel<R: AsRef<[f64]>>(kernel: Kernel, distances: &[R]) -> Self {
        let mut process = Self { kernel, factor: Vec::with_capacity(distances.len()) };
        for row in distances {
            process.push(row.as_ref());
        }
        process
    }

    /// Its kernel.
    pub(crate) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Number of points.
    pub(crate) fn len(&self) -> usize {
        self.factor.len()
    }

    /// Adds a point, by its squared distances to those there are.
    pub(crate) fn push(&mut self, distances: &[f64]) {
        let mut projection = Vec::with_capacity(self.len() + 1);
        self.project(distances, &mut projection);
        let rest = 1.0 + self.kernel.noise - dot(&projection, &projection);
        projection.push(rest.max(JITTER).sqrt());
        self.factor.push(projection);
    }

    /// Removes the points after the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.factor.truncate(len);
    }

    /// Brings the projection of a point up to date with the points: the covariances with them, times the inverse of the
    /// factor. `distances` are squared, one for each point; those that the projection already covers are not looked at again.
    pub(crate) fn project(&self, distances: &[f64], projection: &mut Vec<f64>) {
        projection.truncate(self.len());
        for (i, row) in self.factor.iter().enumerate().skip(projection.len()) {
            let covariance = self.kernel.covariance(distances[i]);
            projection.push((covariance - dot(&row[..i], projection)) / row[i]);
        }
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

/// Inner product in several running sums, which the compiler can keep in wide registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squared distances of points on a line, to those before each.
    fn triangle(points: &[f64]) -> Vec<Vec<f64>> {
        (0..points.len()).map(|i| distances(points[i], &points[..i])).collect()
    }

    fn distances(point: f64, others: &[f64]) -> Vec<f64> {
        others.iter().map(|other| (point - other).powi(2)).collect()
    }

    #[test]
    fn one_point_by_hand() {
        let process = GaussianProcess::with_kernel(Kernel { length: 2.0, noise: 0.5 }, &triangle(&[0.0]));
        let mut projection = Vec::new();
        process.project(&distances(2.0, &[0.0]), &mut projection);
        let covariance = (1.0 + 5_f64.sqrt() + 5.0 / 3.0) * (-(5_f64.sqrt())).exp();
        assert!((projection[0] - covariance / 1.5_f64.sqrt()).abs() < 1e-12);
        let (mean, deviation) = process.posterior(&[3.0]).predict(&projection);
        assert!((mean - 3.0).abs() < 1e-12 && deviation < 1e-3);
    }

    #[test]
    fn follows_a_smooth_curve_and_knows_where_it_is_unsure() {
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
        assert!((inside.0 - 2_f64.sin()).abs() < 0.05, "{inside:?}");
        assert!(outside.1 > 4.0 * inside.1, "{inside:?} {outside:?}");
    }

    #[test]
    fn growing_equals_fitting_at_once() {
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
    fn a_point_without_a_target_lowers_the_deviation_and_keeps_the_mean() {
        let (xs, targets) = ([0.0, 1.0, 2.0, 3.1], [0.0, 1.0, 0.5]);
        let mut process = GaussianProcess::fit(&triangle(&xs[..3]), &targets);
        let (mut projection, to_all) = (Vec::new(), distances(3.0, &xs));
        process.project(&to_all, &mut projection);
        let before = process.posterior(&targets).predict(&projection);
        process.push(&distances(3.1, &xs[..3]));
        process.project(&to_all, &mut projection);
        let after = process.posterior(&targets).predict(&projection);
        assert!((before.0 - after.0).abs() < 1e-12 && after.1 < before.1);
    }

    #[test]
    fn an_inner_product_of_any_length() {
        for length in [0, 1, 7, 8, 9, 30] {
            let a: Vec<f64> = (0..length).map(f64::from).collect();
            let expected: f64 = a.iter().map(|value| value * value).sum();
            assert!((dot(&a, &a) - expected).abs() < 1e-9, "{length}");
        }
    }
}
