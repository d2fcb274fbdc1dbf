//! A Pareto front that grows point by point. With one or two objectives, a search tree is used, so that a new
//! point is not compared with the whole front.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::dominance::dominates;

/// A number ordered by `f64::total_cmp`, the order that dominance uses.
#[derive(Clone, Copy, Debug)]
struct Ordered(f64);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

/// A set of mutually non-dominated points, each with a name. Points with equal objective values are all kept.
///
/// # Example
/// ```
/// use kiln_search::pareto::Archive;
/// let mut archive = Archive::default();
/// assert_eq!(archive.insert("a", &[1.0, 3.0]), Some(vec![]));
/// assert_eq!(archive.insert("b", &[2.0, 2.0]), Some(vec![]));
/// assert_eq!(archive.insert("c", &[3.0, 3.0]), None);
/// assert_eq!(archive.insert("d", &[1.0, 2.0]), Some(vec!["a", "b"]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Archive<K> {
    /// Points with one or two objectives, by ascending first value. No point dominates another one, so the
    /// second values are descending.
    plane: BTreeMap<Ordered, (Ordered, Vec<K>)>,
    /// Points with more than two objectives.
    space: Vec<(Vec<f64>, K)>,
}

impl<K> Default for Archive<K> {
    fn default() -> Self {
        Self { plane: BTreeMap::new(), space: Vec::new() }
    }
}

impl<K> Archive<K> {
    /// Adds a point, removes the points that the new point dominates, and returns the names of the removed
    /// points. Returns `None` and adds nothing if a kept point dominates the new one. All points must have
    /// the same number of objectives, at least one.
    pub fn insert(&mut self, name: K, point: &[f64]) -> Option<Vec<K>> {
        match point {
            [x] => self.insert_in_plane(name, Ordered(*x), Ordered(0.0)),
            [x, y] => self.insert_in_plane(name, Ordered(*x), Ordered(*y)),
            _ => {
                if self.space.iter().any(|(member, _)| dominates(member, point)) {
                    return None;
                }
                let beaten = self.space.extract_if(.., |(member, _)| dominates(point, member));
                let beaten = beaten.map(|(_, name)| name).collect();
                self.space.push((point.to_vec(), name));
                Some(beaten)
            }
        }
    }

    fn insert_in_plane(&mut self, name: K, x: Ordered, y: Ordered) -> Option<Vec<K>> {
        // Of the points with a first value of at most `x`, the last one has the lowest second value.
        if let Some((before, (lowest, names))) = self.plane.range_mut(..=x).next_back()
            && *lowest <= y
        {
            if (*before, *lowest) != (x, y) {
                return None;
            }
            names.push(name);
            return Some(Vec::new());
        }
        let mut beaten = self.plane.remove(&x).map_or_else(Vec::new, |(_, names)| names);
        while let Some((&next, _)) = self
            .plane
            .range((Bound::Excluded(x), Bound::Unbounded))
            .next()
            .filter(|(_, (other, _))| *other >= y)
        {
            beaten.extend(self.plane.remove(&next).map_or_else(Vec::new, |(_, names)| names));
        }
        self.plane.insert(x, (y, vec![name]));
        Some(beaten)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::comparison::pareto::points::points;

    proptest! {
        #[test]
        fn archive_keeps_exactly_the_non_dominated_points(
            points in points(4, 7, 60),
        ) {
            let mut archive = Archive::default();
            let mut kept: Vec<usize> = Vec::new();
            for (number, point) in points.iter().enumerate() {
                if let Some(beaten) = archive.insert(number, point) {
                    prop_assert!(beaten.iter().all(|other| dominates(point, &points[*other])));
                    kept.retain(|other| !beaten.contains(other));
                    kept.push(number);
                }
                let first = &points[..=number];
                let expected: Vec<usize> =
                    (0..=number).filter(|a| !first.iter().any(|b| dominates(b, &points[*a]))).collect();
                prop_assert_eq!(&kept, &expected);
            }
        }
    }
}
