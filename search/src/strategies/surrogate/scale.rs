//! Values of an objective as a model sees them: lower is better, and all of one size.

use super::Told;
use super::points::Points;

/// Where the volume that counts ends, in fronts' extents from the best value: a tenth behind the worst of the front.
pub(super) const REFERENCE: f64 = 1.1;

/// The scale of an objective.
pub(super) enum Scale {
    /// By the place among the trials: `ln(p / (1 - p)) / 1.7` for the share `p` of trials that are better, which looks hard at the
    /// best and does not mind outliers. A failed trial stands behind all others.
    Places {
        /// Values of the measured trials, ascending.
        sorted: Vec<f64>,
        /// Trials, failed ones included.
        trials: usize,
    },
    /// By the front: 0 at its lowest value, 1 at its highest, and from [`REFERENCE`] on by the logarithm of what is more. A
    /// failed trial is as bad as the worst.
    Front {
        /// Lowest value of the front, and its extent.
        low: f64,
        extent: f64,
        /// Highest value of all trials.
        highest: f64,
    },
}

impl Scale {
    /// By places.
    pub(super) fn places() -> Self {
        Self::Places { sorted: Vec::new(), trials: 0 }
    }

    /// By the front, given the values of objective `index` on it and of all trials.
    pub(super) fn front(index: usize, told: &[Told], front: &[usize]) -> Self {
        let measured = || told.iter().filter_map(|told| told.objectives.get(index).copied());
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (lowest, highest) = range(&mut measured());
        let (low, high) = range(&mut front.iter().map(|&trial| told[trial].objectives[index]));
        let (low, high) = if high > low { (low, high) } else { (lowest, highest) };
        if !(low.is_finite() && high > low) {
            let low = if low.is_finite() { low } else { 0.0 };
            return Self::Front { low, extent: 1.0, highest: low };
        }
        Self::Front { low, extent: high - low, highest }
    }

    /// Takes in a trial's value.
    pub(super) fn insert(&mut self, value: Option<f64>) {
        if let Self::Places { sorted, trials } = self {
            *trials += 1;
            if let Some(value) = value {
                sorted.insert(sorted.partition_point(|other| other.total_cmp(&value).is_le()), value);
            }
        }
    }

    /// Scaled values of the points, of objective number `index`.
    pub(super) fn targets(&self, index: usize, told: &[Told], points: &Points) -> Vec<f64> {
        points.trials.iter().map(|&trial| self.at(told[trial].objectives.get(index).copied())).collect()
    }

    /// The scaled value of the best trial.
    pub(super) fn lowest(&self) -> f64 {
        match self {
            Self::Places { sorted, .. } => self.at(sorted.first().copied()),
            Self::Front { .. } => 0.0,
        }
    }

    /// The scaled value; equal values share the middle of their places.
    pub(super) fn at(&self, value: Option<f64>) -> f64 {
        match self {
            Self::Places { sorted, trials } => {
                let n = (*trials).max(1) as f64;
                let place = value.map_or(n - 0.5, |value| {
                    let below = sorted.partition_point(|other| other.total_cmp(&value).is_lt());
                    let not_above = sorted.partition_point(|other| other.total_cmp(&value).is_le());
                    f64::midpoint(below as f64, not_above as f64)
                });
                let share = (place / n).clamp(0.5 / n, 1.0 - 0.5 / n);
                (share / (1.0 - share)).ln() / 1.7
            }
            Self::Front { low, extent, highest } => {
                let scaled = (value.unwrap_or(*highest) - low) / extent;
                if value.is_none() && scaled < REFERENCE {
                    return REFERENCE;
                }
                if scaled > REFERENCE { REFERENCE + (scaled - REFERENCE).ln_1p() } else { scaled }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::Genotype;

    use super::*;

    #[test]
    fn places_by_hand() {
        let mut scale = Scale::places();
        for value in [Some(3.0), Some(1.0), Some(3.0), None] {
            scale.insert(value);
        }
        let logit = |share: f64| (share / (1.0 - share)).ln() / 1.7;
        // Of four trials: half a place is the least; the two of 3 share the places from 1 to 3; failed stands last.
        let expected =
            [(Some(1.0), 0.5 / 4.0), (Some(3.0), 2.0 / 4.0), (None, 3.5 / 4.0), (Some(0.0), 0.5 / 4.0)];
        for (value, share) in expected {
            assert!((scale.at(value) - logit(share)).abs() < 1e-12, "{value:?}");
        }
    }

    #[test]
    fn the_front_is_the_unit_and_what_is_far_behind_is_drawn_near() {
        let told = |value: Option<f64>| Told {
            id: 0,
            genotype: Genotype::new([0]),
            features: None,
            objectives: value.into_iter().collect(),
            violation: 0.0,
        };
        let all: Vec<Told> = [Some(10.0), Some(20.0), Some(110.0), None].map(told).into();
        let scale = Scale::front(0, &all, &[0, 1]);
        let expected = [(10.0, 0.0), (20.0, 1.0), (5.0, -0.5), (110.0, REFERENCE + 9.9_f64.ln())];
        for (value, scaled) in expected {
            assert!((scale.at(Some(value)) - scaled).abs() < 1e-12, "{value}");
        }
        assert!((scale.at(None) - scale.at(Some(110.0))).abs() < 1e-12);
        // One value alone, and none: something finite.
        for (all, front) in [(&all[..1], &[0][..]), (&all[3..], &[])] {
            let scale = Scale::front(0, all, front);
            assert!(scale.at(Some(10.0)).is_finite() && scale.at(None) >= REFERENCE);
        }
    }
}
