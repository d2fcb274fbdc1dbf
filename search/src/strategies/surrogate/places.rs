//! Values of an objective as a model sees them: by their places among the trials.

/// The places of an objective's values: `ln(p / (1 - p)) / 1.7` for the share `p` of trials that are better, which looks hard at
/// the best and does not mind outliers. A failed trial stands behind all others.
#[derive(Default)]
pub(super) struct Places {
    /// Values of the measured trials, ascending.
    sorted: Vec<f64>,
    /// Trials, failed ones included.
    trials: usize,
}

impl Places {
    /// Takes in a trial's value.
    pub(super) fn insert(&mut self, value: Option<f64>) {
        self.trials += 1;
        if let Some(value) = value {
            self.sorted.insert(self.sorted.partition_point(|other| other.total_cmp(&value).is_le()), value);
        }
    }

    /// The place of the best trial.
    pub(super) fn lowest(&self) -> f64 {
        self.of(self.sorted.first().copied())
    }

    /// The place of a value; equal values share the middle of theirs.
    pub(super) fn of(&self, value: Option<f64>) -> f64 {
        let n = self.count();
        let place = value.map_or(n - 0.5, |value| {
            let below = self.sorted.partition_point(|other| other.total_cmp(&value).is_lt());
            let not_above = self.sorted.partition_point(|other| other.total_cmp(&value).is_le());
            f64::midpoint(below as f64, not_above as f64)
        });
        logit(place / n, n)
    }

    /// The value at a place: between those of the trials, below them as steeply as over their first tenth, and never above
    /// them. 0 without a measured trial.
    pub(super) fn value(&self, place: f64) -> f64 {
        let (Some(&first), Some(&last)) = (self.sorted.first(), self.sorted.last()) else { return 0.0 };
        let n = self.count();
        let index = n / (1.0 + (-1.7 * place).exp()) - 0.5;
        if index <= 0.0 {
            let tenth = (self.sorted.len() / 10).max(1).min(self.sorted.len() - 1);
            let lowest = logit(0.5 / n, n);
            let run = logit((tenth as f64 + 0.5) / n, n) - lowest;
            let slope = if run > 0.0 { (self.sorted[tenth] - first) / run } else { 0.0 };
            return first + (place - lowest).min(0.0) * slope;
        }
        let at = index as usize;
        let (low, high) = (self.sorted.get(at), self.sorted.get(at + 1));
        let (low, high) = (low.copied().unwrap_or(last), high.copied().unwrap_or(last));
        low + (high - low) * index.fract()
    }

    fn count(&self) -> f64 {
        self.trials.max(1) as f64
    }
}

/// Of a share of `n` trials, half a trial from either end at least.
fn logit(share: f64, n: f64) -> f64 {
    let share = share.clamp(0.5 / n, 1.0 - 0.5 / n);
    (share / (1.0 - share)).ln() / 1.7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(values: &[Option<f64>]) -> Places {
        let mut places = Places::default();
        for value in values {
            places.insert(*value);
        }
        places
    }

    #[test]
    fn places_by_hand() {
        let places = places(&[Some(3.0), Some(1.0), Some(3.0), None]);
        let logit = |share: f64| (share / (1.0 - share)).ln() / 1.7;
        // Of four trials: half a place is the least; the two of 3 share the places from 1 to 3; failed stands last.
        let expected =
            [(Some(1.0), 0.5 / 4.0), (Some(3.0), 2.0 / 4.0), (None, 3.5 / 4.0), (Some(0.0), 0.5 / 4.0)];
        for (value, share) in expected {
            assert!((places.of(value) - logit(share)).abs() < 1e-12, "{value:?}");
        }
    }

    #[test]
    fn values_and_places_lead_to_each_other() {
        let places = places(&[Some(8.0), Some(1.0), Some(2.0), Some(4.0)]);
        for value in [1.0, 2.0, 4.0, 8.0] {
            // The value of trial i of n is found at the share (i + 1/2) / n.
            assert!((places.value(places.of(Some(value))) - value).abs() < 1e-9, "{value}");
        }
        // Between the second and the third, above all, and as far below the first as the second lies above it.
        assert!((places.value(0.0) - 3.0).abs() < 1e-9 && (places.value(50.0) - 8.0).abs() < 1e-12);
        let (first, second) = (places.of(Some(1.0)), places.of(Some(2.0)));
        assert!(places.value(2.0 * first - second) < 1e-9);
        assert!(Places::default().value(1.0).abs() < 1e-12);
    }
}
