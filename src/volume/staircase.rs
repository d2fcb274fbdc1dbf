//! Computes exact volumes for points with two or more coordinates. It is fast enough to process all points of
//! a study. A sweep along the last objective maintains a staircase, which is the border of the area that the
//! points dominate in the first two objectives.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A coordinate with a total order.
#[derive(Clone, Copy, Debug)]
struct Coordinate(f64);

impl PartialEq for Coordinate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Coordinate {}

impl PartialOrd for Coordinate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coordinate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The nondominated points of a plane, and the area between these points and the reference point.
#[derive(Clone, Debug)]
pub(super) struct Staircase {
    reference: [f64; 2],
    /// Maps the first coordinate to the second one. The second coordinate falls as the first one grows.
    steps: BTreeMap<Coordinate, f64>,
}

impl Staircase {
    pub(super) const fn new(reference: [f64; 2]) -> Self {
        Self { reference, steps: BTreeMap::new() }
    }

    /// Adds a point and returns the added area. The added area is zero if another point dominates the new
    /// point, or if the new point is not better than the reference point in both coordinates.
    pub(super) fn insert(&mut self, [x, y]: [f64; 2]) -> f64 {
        let [right, top] = self.reference;
        if !(x.is_finite() && y.is_finite() && x < right && y < top) {
            return 0.0;
        }
        let before = self.steps.range(..=Coordinate(x)).next_back().map(|(_, height)| *height);
        if before.is_some_and(|height| height <= y) {
            return 0.0;
        }
        let (mut at, mut height) = (x, before.unwrap_or(top));
        let (mut gain, mut dominated) = (0.0, Vec::new());
        let mut end = right;
        for (step, below) in self.steps.range(Coordinate(x)..) {
            if *below <= y {
                end = step.0;
                break;
            }
            gain += (step.0 - at) * (height - y);
            (at, height) = (step.0, *below);
            dominated.push(*step);
        }
        gain += (end - at) * (height - y);
        for step in dominated {
            self.steps.remove(&step);
        }
        self.steps.insert(Coordinate(x), y);
        gain
    }

    /// Returns the area. The terms are summed from left to right, so the order of insertion changes no bit.
    pub(super) fn area(&self) -> f64 {
        let [right, top] = self.reference;
        let mut ends = self.steps.keys().skip(1).map(|step| step.0);
        self.steps.iter().map(|(at, height)| (ends.next().unwrap_or(right) - at.0) * (top - height)).sum()
    }
}

/// Returns the volume between the points and the reference point, in at least two dimensions. The order of
/// the points changes no bit. The computation takes O(n log n) steps in three dimensions, and each further
/// dimension multiplies the number of steps by n.
pub(super) fn volume(points: &[&[f64]], reference: &[f64]) -> f64 {
    let [first, second, ..] = reference else { return 0.0 };
    let plane = [*first, *second];
    if reference.len() == 2 {
        let mut staircase = Staircase::new(plane);
        for point in points {
            staircase.insert([point[0], point[1]]);
        }
        return staircase.area();
    }
    let last = reference.len() - 1;
    let is_inside = |point: &&&[f64]| {
        point.iter().zip(reference).all(|(value, limit)| value.is_finite() && value < limit)
    };
    let mut sorted: Vec<&[f64]> = points.iter().filter(is_inside).copied().collect();
    sorted.sort_by(|a, b| {
        let backwards = a[..=last].iter().zip(&b[..=last]).rev();
        backwards.map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    let mut staircase = Staircase::new(plane);
    // Terms are added in sorted order, so that the order of the points does not matter.
    let mut area = 0.0;
    let mut total = 0.0;
    for (index, point) in sorted.iter().enumerate() {
        let end = sorted.get(index + 1).map_or(reference[last], |next| next[last]);
        let is_plane = reference.len() == 3;
        if is_plane {
            area += staircase.insert([point[0], point[1]]);
        }
        let depth = end - point[last];
        if depth > 0.0 {
            let below = if is_plane { area } else { volume(&sorted[..=index], &reference[..last]) };
            total += below * depth;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use kiln_search::hypervolume::hypervolume;
    use kiln_search::seed;
    use rand::RngExt;

    use super::*;

    #[test]
    fn point_adds_area_not_yet_dominated() {
        let mut staircase = Staircase::new([10.0, 10.0]);
        let points = [[4.0, 4.0], [2.0, 6.0], [5.0, 5.0], [3.0, 2.0], [3.0, 2.0], [1.0, 11.0], [3.0, 1.0]];
        let gains = points.map(|point| staircase.insert(point));
        let expected = [36.0, 8.0, 0.0, 16.0, 0.0, 0.0, 7.0];
        assert!(
            gains.iter().zip(&expected).all(|(gain, expected)| (gain - expected).abs() < 1e-12),
            "{gains:?}"
        );
        assert!((staircase.area() - 67.0).abs() < 1e-12);
    }

    #[test]
    fn volume_matches_search_crate_in_any_order() {
        let mut rng = seed::generator(1, "volumes", &[]);
        for case in 0..600 {
            let (dimensions, count) = (2 + case % 3, rng.random_range(0..14));
            // Some values are whole numbers, so that coordinates coincide and points lie on the border.
            let mut value =
                || (12.0 * rng.random::<f64>() * 4.0).round() / if case % 2 == 0 { 4.0 } else { 3.7 };
            let points: Vec<Vec<f64>> =
                (0..count).map(|_| (0..dimensions).map(|_| value()).collect()).collect();
            let points: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
            let reference = &[10.0, 9.0, 8.0, 11.0][..dimensions];
            let expected = hypervolume(&points, reference);
            let found = volume(&points, reference);
            assert!((found - expected).abs() <= 1e-9 * (1.0 + expected), "{points:?}: {found} {expected}");
            let reversed: Vec<&[f64]> = points.iter().rev().copied().collect();
            assert_eq!(found.to_bits(), volume(&reversed, reference).to_bits(), "{points:?}");
        }
    }
}
