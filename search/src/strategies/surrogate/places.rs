//! Transforms an objective's values to scaled ranks among the trials. Models use the scaled ranks instead of
//! the values.

/// The scaled ranks ("places") of an objective's values: `ln(p / (1 - p)) / 1.7`, where `p` is the share of
/// trials that are better. This transformation spreads out the best values, which matter most, and limits the
/// influence of outliers. The divisor makes the distribution of places nearly standard normal. A failed trial
/// has the last place.
#[derive(Default)]
pub(super) struct Places {
    /// Values of the measured trials, ascending.
    sorted: Vec<f64>,
    /// Number of trials, including failed ones.
    trials: usize,
}

impl Places {
    /// Adds the value of a trial. `None` stands for a failed trial.
    pub(super) fn insert(&mut self, value: Option<f64>) {
        self.trials += 1;
        if let Some(value) = value {
            self.sorted.insert(self.sorted.partition_point(|other| other.total_cmp(&value).is_le()), value);
        }
    }

    /// Returns the place of the best trial.
    pub(super) fn lowest(&self) -> f64 {
        self.of(self.sorted.first().copied())
    }

    /// Returns the place of a value. Equal values share one place, computed from their mean rank.
    pub(super) fn of(&self, value: Option<f64>) -> f64 {
        let n = self.count();
        let place = value.map_or(n - 0.5, |value| {
            let below = self.sorted.partition_point(|other| other.total_cmp(&value).is_lt());
            let not_above = self.sorted.partition_point(|other| other.total_cmp(&value).is_le());
            f64::midpoint(below as f64, not_above as f64)
        });
        logit(place / n, n)
    }

    /// Returns the value at a place. Between two trials, the value is interpolated. Below the best trial, the
    /// value is extrapolated with the slope of the best tenth. The result is never above the highest value.
    /// Without a measured trial, it is 0.
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

/// Returns the scaled logit of a share of `n` trials. The share is clamped to half a trial above 0 and half a
/// trial below 1.
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
    fn places_of_four_trials_by_hand() {
        let places = places(&[Some(3.0), Some(1.0), Some(3.0), None]);
        let logit = |share: f64| (share / (1.0 - share)).ln() / 1.7;
        // There are four trials. The rank of the lowest value is 1/2. The two values of 3 share the ranks
        // between 1 and 3. The failed trial comes last.
        let expected =
            [(Some(1.0), 0.5 / 4.0), (Some(3.0), 2.0 / 4.0), (None, 3.5 / 4.0), (Some(0.0), 0.5 / 4.0)];
        for (value, share) in expected {
            assert!((places.of(value) - logit(share)).abs() < 1e-12, "{value:?}");
        }
    }

    #[test]
    fn value_inverts_the_place_of_each_trial() {
        let places = places(&[Some(8.0), Some(1.0), Some(2.0), Some(4.0)]);
        for value in [1.0, 2.0, 4.0, 8.0] {
            // Trial `i` of `n` has the share (i + 1/2) / n.
            assert!((places.value(places.of(Some(value))) - value).abs() < 1e-9, "{value}");
        }
        // The tested places are between the second and the third trial, above all trials, and as far below
        // the first trial as the second trial is above it.
        assert!((places.value(0.0) - 3.0).abs() < 1e-9 && (places.value(50.0) - 8.0).abs() < 1e-12);
        let (first, second) = (places.of(Some(1.0)), places.of(Some(2.0)));
        assert!(places.value(2.0 * first - second) < 1e-9);
        assert!(Places::default().value(1.0).abs() < 1e-12);
    }
}
