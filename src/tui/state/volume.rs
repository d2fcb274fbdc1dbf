//! How the hypervolume grew over the trials.

use kiln_search::Trial;
use kiln_search::hypervolume::hypervolume;

use super::Front;

/// Measured trials from which the reference point is taken. Later ones beyond it add nothing, so that the curve of a long
/// study need not be computed anew.
const EARLY: usize = 50;
/// Room behind the worst early value, relative to the range of early values.
const MARGIN: f64 = 0.1;

/// The hypervolume after each change of the front. The reference point is the limit of an objective that has one, and a
/// little more than the worst of the first 50 measured values of one that has none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Volume {
    limits: Vec<Option<f64>>,
    /// Smallest and largest value of each objective among the early trials.
    ranges: Vec<(f64, f64)>,
    seen: usize,
    reference: Vec<f64>,
    /// Fronts that were there while the reference point could still move, with the number of trials then.
    early: Vec<(u64, Vec<Vec<f64>>)>,
    points: Vec<(u64, f64)>,
    /// Smallest value of each objective on the front.
    ideal: Vec<f64>,
}

impl Volume {
    /// Nothing yet, with these limits on the objectives.
    pub(crate) const fn new(limits: Vec<Option<f64>>) -> Self {
        Self {
            limits,
            ranges: Vec::new(),
            seen: 0,
            reference: Vec::new(),
            early: Vec::new(),
            points: Vec::new(),
            ideal: Vec::new(),
        }
    }

    /// Forgets all trials.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(std::mem::take(&mut self.limits));
    }

    /// Looks at a measured trial for the reference point.
    pub(crate) fn see(&mut self, trial: &Trial) {
        let values = &trial.objectives.0;
        if self.seen >= EARLY || values.is_empty() || values.len() != self.limits.len() {
            return;
        }
        self.seen += 1;
        if self.ranges.is_empty() {
            self.ranges = values.iter().map(|value| (*value, *value)).collect();
        }
        for ((low, high), value) in self.ranges.iter_mut().zip(values) {
            (*low, *high) = (low.min(*value), high.max(*value));
        }
        let reference =
            |(limit, (low, high)): (&Option<f64>, &(f64, f64))| limit.unwrap_or(high + MARGIN * (high - low));
        let moved: Vec<f64> = self.limits.iter().zip(&self.ranges).map(reference).collect();
        if moved != self.reference {
            self.reference = moved;
            let again =
                |(number, front): &(u64, Vec<Vec<f64>>)| (*number, hypervolume(front, &self.reference));
            self.points = self.early.iter().map(again).collect();
        }
    }

    /// Notes the volume of the front after trial number `number`, counted from 1.
    pub(crate) fn follow(&mut self, number: u64, front: &Front, changed: bool) {
        if !changed || self.reference.is_empty() {
            return;
        }
        let members: Vec<Vec<f64>> = front.objectives().map(<[f64]>::to_vec).collect();
        let smallest = |i: usize| members.iter().map(|member| member[i]).fold(f64::INFINITY, f64::min);
        self.ideal = (0..self.reference.len()).map(smallest).collect();
        self.points.push((number, hypervolume(&members, &self.reference)));
        if self.seen < EARLY {
            self.early.push((number, members));
        } else {
            self.early.clear();
        }
    }

    /// The curve: number of trials and share of the box between the best values and the reference point; empty while the
    /// box is.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let sides = self.reference.iter().zip(&self.ideal).map(|(reference, ideal)| reference - ideal);
        let whole: f64 = sides.product();
        if self.reference.is_empty() || whole <= 0.0 {
            return Vec::new();
        }
        self.points.iter().map(|(number, volume)| (*number as f64, volume / whole)).collect()
    }

    /// The reference point, in the order of the objectives.
    pub(crate) fn reference(&self) -> &[f64] {
        &self.reference
    }

    /// The curve's values as they were computed, without the box.
    #[cfg(test)]
    pub(crate) fn points(&self) -> &[(u64, f64)] {
        &self.points
    }
}
