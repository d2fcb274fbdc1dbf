//! The trials that models are fitted to, with their squared distances.

use std::sync::Arc;

use kiln_regression::squared_distance;

use super::told::Told;

/// Number of trials that are chosen if there are too many trials, and number of best trials among them. The
/// time for fitting a Gaussian process is cubic in the number of points.
const CHOSEN: usize = 200;
const BEST: usize = 140;
/// Number of trials that may be added before the trials are chosen again.
const GROWTH: usize = 40;

/// The chosen trials, in the order in which they were reported.
#[derive(Default)]
pub(super) struct Points {
    pub(super) trials: Vec<usize>,
    pub(super) vectors: Vec<Arc<[f64]>>,
    /// Row `i` contains the squared distances of point `i` to the points before it.
    pub(super) distances: Vec<Vec<f64>>,
}

impl Points {
    /// Adds the trials from index `heard` on. Returns whether the points were chosen again. If not, the new
    /// trials were added to the existing points. `order` contains the trials from best to worst.
    pub(super) fn update(&mut self, told: &[Told], heard: usize, order: &[usize]) -> bool {
        let anew = self.trials.len() + told.len() - heard > CHOSEN + GROWTH;
        let mut added: Vec<usize> = if anew {
            *self = Self::default();
            chosen(order)
        } else {
            (heard..told.len()).collect()
        };
        added.sort_unstable();
        for trial in added {
            let vector = told[trial].vector();
            self.distances.push(self.distances_to(vector, 0));
            self.vectors.push(Arc::clone(vector));
            self.trials.push(trial);
        }
        anew
    }

    /// Returns the squared distances of a vector to the points from index `from` on.
    pub(super) fn distances_to(&self, vector: &[f64], from: usize) -> Vec<f64> {
        self.vectors.iter().skip(from).map(|point| squared_distance(vector, point)).collect()
    }
}

/// Returns all trials. If there are more than the maximum number, returns the best trials and evenly spaced
/// other trials.
fn chosen(order: &[usize]) -> Vec<usize> {
    if order.len() <= CHOSEN {
        return order.to_vec();
    }
    let (best, others) = order.split_at(BEST);
    let wanted = CHOSEN - BEST;
    best.iter().copied().chain((0..wanted).map(|i| others[i * others.len() / wanted])).collect()
}

#[cfg(test)]
mod tests {
    use kiln_space::Genotype;

    use super::*;
    use crate::strategies::surrogate::told::Features;

    fn told(values: std::ops::Range<usize>) -> Vec<Told> {
        let one = |value: usize| Told {
            id: value as u64,
            genotype: Genotype::new([0]),
            features: Some(Features { vector: Arc::from([value as f64]), known: Arc::from([None]) }),
            objectives: vec![value as f64],
            violation: 0.0,
        };
        values.map(one).collect()
    }

    #[test]
    fn points_grow_and_are_chosen_anew_when_there_are_too_many() {
        let (mut points, all) = (Points::default(), told(0..1_000));
        let order: Vec<usize> = (0..1_000).collect();
        assert!(!points.update(&all[..3], 0, &order[..3]));
        assert!(!points.update(&all[..CHOSEN + GROWTH], 3, &order[..CHOSEN + GROWTH]));
        assert_eq!(points.trials, order[..CHOSEN + GROWTH]);
        assert!(points.update(&all, CHOSEN + GROWTH, &order));
        assert_eq!((points.trials.len(), &points.trials[..BEST]), (CHOSEN, &order[..BEST]));
        assert!(points.trials.is_sorted_by(|a, b| a < b) && points.trials[CHOSEN - 1] > 980);
        // In this test, points 5 and 2 are trials 5 and 2.
        assert!((points.distances[5][2] - 9.0).abs() < 1e-12 && points.distances[5].len() == 5);
    }
}
