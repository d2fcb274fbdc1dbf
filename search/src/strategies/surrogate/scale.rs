//! Scales the values of an objective for the hypervolume. After scaling, the front has the same extent in
//! each objective, so no unit outweighs another.

use super::told::Told;

/// Scaled values above this threshold grow logarithmically. The unit is the extent of the front.
const LINEAR: f64 = 1.1;
/// Without a limit, the reference point exceeds the worst trial by this amount. The unit is the extent of the
/// front.
const BEHIND: f64 = 0.1;

/// The scale of an objective. It maps the front's lowest value to 0 and the front's highest value to 1.
#[derive(Default)]
pub(super) struct Scale {
    low: f64,
    extent: f64,
    /// Highest value of all trials.
    highest: f64,
    /// The study's limit for the objective. `None` if there is no limit.
    limit: Option<f64>,
}

impl Scale {
    /// Creates the scale of objective `index` from its values on the front, its values in all trials, and its
    /// limit.
    pub(super) fn new(index: usize, told: &[Told], front: &[usize], limit: Option<f64>) -> Self {
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
            return Self { low, extent: 1.0, highest: low, limit };
        }
        Self { low, extent: high - low, highest, limit }
    }

    /// Returns the scaled value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let scaled = (value - self.low) / self.extent;
        if scaled > LINEAR { LINEAR + (scaled - LINEAR).ln_1p() } else { scaled }
    }

    /// Returns this objective's component of the reference point. It exceeds the values of all trials, not
    /// only those of the front, because a network that is best in one objective can extend the front in the
    /// others. If the study's limit is even higher, the component is the limit. So a network can add volume
    /// even if it costs more than all trials so far.
    pub(super) fn reference(&self) -> f64 {
        let behind = self.at(self.highest).max(1.0) + BEHIND;
        self.limit.map_or(behind, |limit| self.at(limit).max(behind))
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::Genotype;

    use super::*;

    #[test]
    fn scaled_front_spans_zero_to_one_and_far_values_grow_logarithmically() {
        let told = |value: Option<f64>| Told {
            id: 0,
            genotype: Genotype::new([0]),
            features: None,
            objectives: value.into_iter().collect(),
            violation: 0.0,
        };
        let all: Vec<Told> = [Some(10.0), Some(20.0), Some(110.0), None].map(told).into();
        let scale = Scale::new(0, &all, &[0, 1], None);
        let expected = [(10.0, 0.0), (20.0, 1.0), (5.0, -0.5), (110.0, LINEAR + 9.9_f64.ln())];
        for (value, scaled) in expected {
            assert!((scale.at(value) - scaled).abs() < 1e-12, "{value}");
        }
        assert!((scale.reference() - (LINEAR + 9.9_f64.ln() + BEHIND)).abs() < 1e-12);
        // A limit determines the reference point if it is worse than all trials.
        for (limit, scaled) in [(210.0, LINEAR + 18.9_f64.ln_1p()), (50.0, LINEAR + 9.9_f64.ln() + BEHIND)] {
            let reference = Scale::new(0, &all, &[0, 1], Some(limit)).reference();
            assert!((reference - scaled).abs() < 1e-12, "{limit}");
        }
        // With at most one value, the scale is finite.
        for (all, front) in [(&all[..1], &[0][..]), (&all[3..], &[])] {
            let scale = Scale::new(0, all, front, None);
            assert!(scale.at(10.0).is_finite() && scale.reference() >= 1.0);
        }
    }
}
