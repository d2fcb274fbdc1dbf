//! Combines several objectives into one value: the hypervolume that a candidate adds to the front. The value
//! is estimated along random directions, because computing the exact volume for every draw of every candidate
//! would take too long.
//!
//! Source: Emmerich, Giannakoglou, Naujoks, Single- and multiobjective evolutionary optimization assisted by
//! Gaussian random field metamodels, IEEE TEC 2006 (expected hypervolume improvement); Deng, Zhang,
//! Approximating hypervolume and hypervolume contributions using polar coordinate, IEEE TEC 2019; Zhang,
//! Golovin, Random hypervolume scalarizations for provable multi-objective black box optimization, ICML 2020,
//! lemma 5 (the hypervolume as a mean over directions).

use rand::Rng;

use super::normal::normal;

/// Number of directions along which the volume is measured.
const DIRECTIONS: usize = 128;

/// The extent of the region that the front dominates, measured from the reference point along random
/// directions.
pub(super) struct Volume {
    /// Reciprocals of the components of each direction, because the components are only used as divisors.
    directions: Vec<Vec<f64>>,
    reached: Vec<f64>,
    reference: Vec<f64>,
}

impl Volume {
    /// Creates an empty front with this reference point and random directions.
    pub(super) fn new(reference: Vec<f64>, rng: &mut dyn Rng) -> Self {
        let objectives = reference.len();
        let direction = |_| {
            let drawn: Vec<f64> = (0..objectives).map(|_| normal(rng).abs().max(1e-9)).collect();
            let length = drawn.iter().map(|value| value * value).sum::<f64>().sqrt();
            drawn.into_iter().map(|value| length / value).collect()
        };
        let directions: Vec<Vec<f64>> = (0..DIRECTIONS).map(direction).collect();
        Self { reached: vec![0.0; directions.len()], directions, reference }
    }

    /// Adds a point to the front.
    pub(super) fn insert(&mut self, point: &[f64]) {
        for (direction, reached) in self.directions.iter().zip(&mut self.reached) {
            *reached = reached.max(reach(direction, &self.reference, point));
        }
    }

    /// Returns the volume that a point adds, up to a constant factor. For a point that adds no volume, the
    /// result is negative. Its absolute value is the distance from adding volume.
    pub(super) fn gain(&self, point: &[f64]) -> f64 {
        let dimensions = point.len() as i32;
        let (mut gain, mut nearest) = (0.0, f64::NEG_INFINITY);
        for (direction, reached) in self.directions.iter().zip(&self.reached) {
            let reach = reach(direction, &self.reference, point);
            nearest = nearest.max(reach - reached);
            if reach > *reached {
                gain += reach.powi(dimensions) - reached.powi(dimensions);
            }
        }
        if gain > 0.0 { gain / DIRECTIONS as f64 } else { nearest }
    }
}

/// Returns the extent, along a direction from the reference point, of the region that a point dominates. The
/// result is negative for points beyond the reference point.
fn reach(direction: &[f64], reference: &[f64], point: &[f64]) -> f64 {
    let sides = reference.iter().zip(point).map(|(reference, value)| reference - value);
    direction.iter().zip(sides).map(|(reciprocal, side)| reciprocal * side).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;
    use crate::comparison::hypervolume::contribution;

    const REFERENCE: f64 = 1.1;

    /// Returns the volume of the unit ball in the positive orthant. This is the constant factor of the mean
    /// over directions.
    fn factor(dimensions: usize) -> f64 {
        [1.0, std::f64::consts::FRAC_PI_4, std::f64::consts::PI / 6.0][dimensions - 1]
    }

    #[test]
    fn mean_gain_over_directions_equals_the_hypervolume_added() {
        let front = [[0.2, 0.8, 0.5], [0.5, 0.4, 0.6], [0.9, 0.1, 0.3]];
        let points = [[0.3, 0.3, 0.3], [0.1, 1.0, 1.0], [0.8, 0.2, 0.2]];
        for dimensions in [2, 3] {
            let cut = |point: &[f64; 3]| point[..dimensions].to_vec();
            let others: Vec<Vec<f64>> = front.iter().map(cut).collect();
            for point in points.iter().map(cut) {
                let mean = (0..200).map(|seed| {
                    let mut volume =
                        Volume::new(vec![REFERENCE; dimensions], &mut Pcg64::seed_from_u64(seed));
                    for other in &others {
                        volume.insert(other);
                    }
                    volume.gain(&point).max(0.0) / 200.0
                });
                let mean = mean.sum::<f64>() * factor(dimensions);
                let exact = contribution(&point, &others, &vec![REFERENCE; dimensions]);
                // With 25,600 directions, the error is a few percent of the largest volume.
                assert!((mean - exact).abs() < 0.01, "{point:?}: {mean} {exact}");
            }
        }
    }

    #[test]
    fn gain_of_a_dominated_point_is_lower_the_farther_it_is() {
        let mut volume = Volume::new(vec![REFERENCE; 2], &mut Pcg64::seed_from_u64(1));
        volume.insert(&[0.2, 0.2]);
        let (near, far) = (volume.gain(&[0.3, 0.3]), volume.gain(&[2.0, 2.0]));
        assert!(near < 0.0 && far < near, "{near} {far}");
        assert!(volume.gain(&[0.1, 0.3]) > 0.0);
    }
}
