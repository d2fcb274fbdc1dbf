//! Corrects the errors of shared weights. The correction is fitted to a few networks that were trained on
//! their own.

/// Minimum number of points for a fit.
pub(crate) const FEWEST_POINTS: usize = 4;
/// Variance of the noise, relative to the variance that the description explains.
const NOISE: f64 = 2.0;
/// A slope is fitted only if the guesses vary. After a constant is fitted to the guesses, more than this
/// fraction of their sum of squares must remain.
const INDEPENDENT: f64 = 1e-9;

/// A linear model of a metric: a constant, plus a slope times the guess, plus weights times a description of
/// the network. Constant and slope are fitted by generalized least squares. The weights have a prior that
/// shrinks them towards zero. The strength of the prior is fixed, because a few dozen points are too few to
/// estimate it.
///
/// Source: Rasmussen, Williams, Gaussian processes for machine learning, MIT Press 2006, section 2.7
/// (explicit basis functions, equation 2.41 in the limit of a vague prior) with a linear kernel.
///
/// # Example
/// ```
/// use kiln_evaluator::{Correction, CorrectionPoint};
/// // Guesses are right for kind 0, and 1 too low for kind 1.
/// let points = |kind: f64| {
///     [1.0, 2.0, 3.0, 4.0, 5.0].map(|guess| CorrectionPoint {
///         description: vec![kind, 1.0 - kind],
///         guess,
///         measured: guess + kind,
///     })
/// };
/// let correction = Correction::fit(&[points(0.0), points(1.0)].concat()).expect("enough points");
/// let by = |kind: f64| correction.corrected(2.5, &[kind, 1.0 - kind]) - 2.5;
/// assert!(by(1.0) > by(0.0) + 0.5);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    constant: f64,
    slope: f64,
    means: Vec<f64>,
    weights: Vec<f64>,
}

impl Correction {
    /// Fits the model to points whose descriptions have the same length. The slope is 0 if the fitted slope
    /// would be negative. Returns `None` for fewer than four points.
    #[must_use]
    pub fn fit(points: &[CorrectionPoint]) -> Option<Self> {
        if points.len() < FEWEST_POINTS {
            return None;
        }
        let count = points.len() as f64;
        let length = points.iter().map(|point| point.description.len()).min().unwrap_or(0);
        let mean_of = |index: usize| points.iter().map(|point| point.description[index]).sum::<f64>() / count;
        let means: Vec<f64> = (0..length).map(mean_of).collect();
        let centered: Vec<Vec<f64>> = points
            .iter()
            .map(|point| point.description.iter().zip(&means).map(|(x, mean)| x - mean).collect())
            .collect();
        let spread = centered.iter().map(|row| dot(row, row)).sum::<f64>() / count;
        let spread = if spread > 0.0 { spread } else { 1.0 };

        let factor = Factor::of(&centered, |a, b| dot(a, b) / spread);
        let whitened = |column: Vec<f64>| factor.whitened(column);
        let ones = whitened(vec![1.0; points.len()]);
        let guesses = whitened(points.iter().map(|point| point.guess).collect());
        let measured = whitened(points.iter().map(|point| point.measured).collect());
        let [oo, og, gg] = [dot(&ones, &ones), dot(&ones, &guesses), dot(&guesses, &guesses)];
        let [om, gm] = [dot(&ones, &measured), dot(&guesses, &measured)];
        let determinant = oo * gg - og * og;
        let slope = if determinant > INDEPENDENT * oo * gg { (oo * gm - og * om) / determinant } else { 0.0 };
        let slope = slope.max(0.0);
        let constant = (om - slope * og) / oo;

        let rest = measured.iter().zip(&ones).zip(&guesses);
        let rest = rest.map(|((measured, one), guess)| measured - constant * one - slope * guess).collect();
        let shares = factor.unwhitened(rest);
        let weight = |index: usize| {
            centered.iter().zip(&shares).map(|(row, share)| row[index] * share).sum::<f64>() / spread
        };
        Some(Self { constant, slope, weights: (0..length).map(weight).collect(), means })
    }

    /// Predicts the measurement from a guess and a description.
    #[must_use]
    pub fn corrected(&self, guess: f64, description: &[f64]) -> f64 {
        let described = description.iter().zip(&self.means).zip(&self.weights);
        let by_description: f64 = described.map(|((x, mean), weight)| (x - mean) * weight).sum();
        self.constant + self.slope * guess + by_description
    }
}

/// A network to which a [`Correction`] is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrectionPoint {
    /// Description of the network.
    pub description: Vec<f64>,
    /// Estimate of the network's metric before the correction.
    pub guess: f64,
    /// Measured value of the metric.
    pub measured: f64,
}

/// Cholesky factor of the points' covariance matrix. Row `i` contains the first `i + 1` numbers.
struct Factor(Vec<Vec<f64>>);

impl Factor {
    fn of(points: &[Vec<f64>], covariance: impl Fn(&[f64], &[f64]) -> f64) -> Self {
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(points.len());
        for (i, point) in points.iter().enumerate() {
            let mut row = Vec::with_capacity(i + 1);
            for (j, other) in factor.iter().enumerate() {
                row.push((covariance(point, &points[j]) - dot(&row, &other[..j])) / other[j]);
            }
            // Without rounding, `rest` would be at least the noise, because earlier points cannot explain
            // more than the point's own variance.
            let rest = covariance(point, point) + NOISE - dot(&row, &row);
            row.push(rest.max(NOISE).sqrt());
            factor.push(row);
        }
        Self(factor)
    }

    /// Solves `factor * x = column` for `x`.
    fn whitened(&self, mut column: Vec<f64>) -> Vec<f64> {
        for (i, row) in self.0.iter().enumerate() {
            column[i] = (column[i] - dot(&row[..i], &column[..i])) / row[i];
        }
        column
    }

    /// Solves `transpose(factor) * x = column` for `x`.
    fn unwhitened(&self, mut column: Vec<f64>) -> Vec<f64> {
        for i in (0..column.len()).rev() {
            let later: f64 = (i + 1..column.len()).map(|j| self.0[j][i] * column[j]).sum();
            column[i] = (column[i] - later) / self.0[i][i];
        }
        column
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    fn point(description: Vec<f64>, guess: f64, measured: f64) -> CorrectionPoint {
        CorrectionPoint { description, guess, measured }
    }

    #[test]
    fn line_is_found_whatever_the_descriptions_are() {
        let at = |i: u8| {
            let guess = f64::from(i * i);
            point(vec![f64::from(i % 3), f64::from(i % 2)], guess, 3.0 + 0.5 * guess)
        };
        let correction = Correction::fit(&(0..8).map(at).collect::<Vec<_>>()).unwrap();
        assert!(near(correction.slope, 0.5), "{correction:?}");
        assert!(near(correction.corrected(10.0, &[2.0, 0.0]), 8.0), "{correction:?}");
    }

    #[test]
    fn descriptions_explain_the_ridge_share_of_the_residuals() {
        // Two kinds of networks with equal guesses lie 1 above and 1 below the common line. The covariance of
        // two points is 1 within a kind and -1 between kinds. With n points of each kind, the model explains
        // 2n / (2n + noise) of the distance to the line.
        let points = |kind: f64| [0.0, 1.0, 2.0].map(|guess| point(vec![kind], guess, guess + kind));
        let correction = Correction::fit(&[points(-1.0), points(1.0)].concat()).unwrap();
        let share = 6.0 / (6.0 + NOISE);
        assert!(near(correction.slope, 1.0), "{correction:?}");
        assert!(near(correction.corrected(1.0, &[1.0]), 1.0 + share), "{correction:?}");
        assert!(near(correction.corrected(1.0, &[-1.0]), 1.0 - share), "{correction:?}");
    }

    #[test]
    fn useless_guesses_have_slope_zero() {
        let fit = |guess: fn(f64) -> f64| {
            let points: Vec<_> = (0..6).map(|i| point(vec![], guess(f64::from(i)), f64::from(i))).collect();
            Correction::fit(&points).unwrap()
        };
        for correction in [fit(|i| -i), fit(|_| 7.0), fit(|_| 0.0)] {
            assert!(
                near(correction.slope, 0.0) && near(correction.corrected(99.0, &[]), 2.5),
                "{correction:?}"
            );
        }
        assert_eq!(Correction::fit(&vec![point(vec![], 1.0, 1.0); FEWEST_POINTS - 1]), None);
    }
}
