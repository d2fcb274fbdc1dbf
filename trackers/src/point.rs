//! Points of series: what trackers record.

use std::collections::BTreeMap;

/// One value of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Name of the series, such as `search/best_error_percent`. The name ends in the unit.
    pub series: String,
    /// The position in the series. It grows from point to point.
    pub step: u64,
    /// The value, which is finite.
    pub value: f64,
    /// When the value was known, in seconds since the Unix epoch.
    pub unix_s: f64,
}

/// The last step of each series that a tracker has recorded. A resumed study repeats its points, and a
/// tracker records only those after this step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps(BTreeMap<String, u64>);

impl Steps {
    /// Whether a series has no point at this step or after it.
    #[must_use]
    pub fn is_new(&self, series: &str, step: u64) -> bool {
        self.last(series).is_none_or(|last| step > last)
    }

    /// Returns the last step of a series. Returns `None` for a series without points.
    #[must_use]
    pub fn last(&self, series: &str) -> Option<u64> {
        self.0.get(series).copied()
    }

    /// Remembers that a series has a point at this step.
    pub fn add(&mut self, series: &str, step: u64) {
        match self.0.get_mut(series) {
            Some(last) => *last = step.max(*last),
            None => {
                self.0.insert(series.to_owned(), step);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_later_steps_are_new() {
        let mut steps = Steps::default();
        assert!(steps.is_new("a", 0));
        for step in [0, 7, 3] {
            steps.add("a", step);
        }
        assert_eq!((steps.is_new("a", 7), steps.is_new("a", 8), steps.is_new("b", 0)), (false, true, true));
    }
}
