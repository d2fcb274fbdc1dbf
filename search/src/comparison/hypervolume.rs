//! The exact hypervolume of a set of points.

use std::cmp::Ordering;

use super::pareto::dominates;

/// Returns the volume that at least one point dominates, up to the reference point. Every objective is
/// minimized. Points that are not finite, or not better than the reference point in every objective, add
/// nothing to the volume.
///
/// Source: While, Bradstreet, Barone, A fast way of calculating exact hypervolumes, IEEE TEC 2012 (WFG). For
/// two objectives the time is `O(n log n)`. In the worst case, the time is exponential in the number of
/// objectives. Up to four objectives are fast enough.
///
/// # Example
/// ```
/// use kiln_search::hypervolume::hypervolume;
/// let front = [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]];
/// assert_eq!(hypervolume(&front, &[4.0, 4.0]), 6.0);
/// ```
///
/// # Panics
/// If a point and the reference point have different numbers of objectives.
#[must_use]
pub fn hypervolume<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> f64 {
    let inside = points.iter().map(AsRef::as_ref).filter(|point| {
        assert_eq!(point.len(), reference.len(), "a point and the reference point have as many objectives");
        point.iter().zip(reference).all(|(value, limit)| value.is_finite() && value < limit)
    });
    let points: Vec<Vec<f64>> = inside.map(<[f64]>::to_vec).collect();
    if reference.is_empty() { 0.0 } else { volume(non_dominated(points), reference) }
}

/// Returns the volume that `point` adds to the volume that `others` dominate. The result is 0 if `point` is
/// not better than the reference point in every objective.
///
/// # Panics
/// If a point and the reference point have different numbers of objectives.
#[must_use]
pub fn contribution<P: AsRef<[f64]>>(point: &[f64], others: &[P], reference: &[f64]) -> f64 {
    assert_eq!(point.len(), reference.len(), "a point and the reference point have as many objectives");
    if reference.is_empty()
        || !point.iter().zip(reference).all(|(value, limit)| value.is_finite() && value < limit)
    {
        return 0.0;
    }
    let inclusive: f64 = point.iter().zip(reference).map(|(value, limit)| limit - value).product();
    let limited: Vec<Vec<f64>> = others
        .iter()
        .map(|other| other.as_ref().iter().zip(point).map(|(o, p)| o.max(*p)).collect())
        .collect();
    inclusive - hypervolume(&limited, reference)
}

/// Returns the volume that mutually non-dominated points dominate. All points must be better than the
/// reference point.
fn volume(mut points: Vec<Vec<f64>>, reference: &[f64]) -> f64 {
    match reference.len() {
        1 => points.iter().map(|point| reference[0] - point[0]).fold(0.0, f64::max),
        2 => area(points, reference),
        last => {
            // To compute the volume that a point adds, the later points are limited to the region that the
            // point dominates. Points are sorted by descending last objective, so the limited points are
            // equal in that objective. Then more of the limited points are dominated and can be dropped.
            points.sort_by(|a, b| b[last - 1].total_cmp(&a[last - 1]));
            (0..points.len()).map(|i| exclusive(&points[i], &points[i + 1..], reference)).sum()
        }
    }
}

/// Returns the volume for two objectives, which is the area of a staircase.
fn area(mut points: Vec<Vec<f64>>, reference: &[f64]) -> f64 {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let mut total = 0.0;
    let mut height = reference[1];
    for point in points {
        if point[1] < height {
            total += (reference[0] - point[0]) * (height - point[1]);
            height = point[1];
        }
    }
    total
}

/// Returns the volume that `point` dominates but none of `others` does.
fn exclusive(point: &[f64], others: &[Vec<f64>], reference: &[f64]) -> f64 {
    let inclusive: f64 = point.iter().zip(reference).map(|(value, limit)| limit - value).product();
    let limited =
        others.iter().map(|other| other.iter().zip(point).map(|(o, p)| o.max(*p)).collect()).collect();
    inclusive - volume(non_dominated(limited), reference)
}

/// Returns the non-dominated points without duplicates.
fn non_dominated(mut points: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let compare = |a: &f64, b: &f64| a.total_cmp(b);
    points.sort_by(|a, b| {
        a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    let mut kept: Vec<Vec<f64>> = Vec::with_capacity(points.len());
    for point in points {
        let beaten = |other: &Vec<f64>| {
            dominates(other, &point) || other.iter().zip(&point).all(|(a, b)| a.total_cmp(b).is_eq())
        };
        if !kept.iter().any(beaten) {
            kept.push(point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::comparison::pareto::points::points;

    /// Computes the volume by inclusion and exclusion over all subsets.
    fn by_inclusion_exclusion(points: &[Vec<f64>], reference: &[f64]) -> f64 {
        (1_u32..1 << points.len())
            .map(|subset| {
                let members: Vec<&Vec<f64>> =
                    points.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, p)| p).collect();
                let common: f64 = (0..reference.len())
                    .map(|d| {
                        let corner = members.iter().map(|point| point[d]).fold(f64::MIN, f64::max);
                        (reference[d] - corner).max(0.0)
                    })
                    .product();
                if members.len() % 2 == 1 { common } else { -common }
            })
            .sum()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + b.abs())
    }

    #[test]
    fn volume_of_four_points_in_a_plane_by_hand() {
        // The area consists of columns of width 1, 2, 1 and 2, starting at x = 1, with heights 1, 3, 5 and 6.
        // The reference point is (7, 7).
        let front = [[1.0, 6.0], [2.0, 4.0], [4.0, 2.0], [5.0, 1.0]];
        assert!(close(hypervolume(&front, &[7.0, 7.0]), 1.0 + 6.0 + 5.0 + 12.0));
    }

    #[test]
    fn volume_of_four_points_in_three_dimensions_by_hand() {
        // The first three points span boxes of 1x2x2, 2x1x2 and 2x2x1 unit cubes with a common corner. Their
        // union has 12 - 3 * 2 + 1 = 7 cubes. The fourth point is dominated.
        let points = [[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 2.0], [2.0, 2.0, 2.0]];
        assert!(close(hypervolume(&points, &[3.0, 3.0, 3.0]), 7.0));
    }

    #[test]
    fn points_beyond_the_reference_point_add_nothing() {
        assert!(close(hypervolume(&[[1.0, 1.0], [0.0, 5.0], [f64::NAN, 0.0]], &[2.0, 2.0]), 1.0));
        assert!(close(hypervolume::<[f64; 2]>(&[], &[2.0, 2.0]), 0.0));
        assert!(close(hypervolume(&[[1.0], [0.5]], &[2.0]), 1.5));
    }

    proptest! {
        #[test]
        fn hypervolume_equals_inclusion_and_exclusion(
            points in points(5, 12, 9),
        ) {
            let reference = vec![10.0; points.first().map_or(1, Vec::len)];
            let expected = by_inclusion_exclusion(&points, &reference);
            prop_assert!(close(hypervolume(&points, &reference), expected));
        }
    }
}
