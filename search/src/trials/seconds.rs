//! A time in seconds that is always valid: finite, not negative, and small enough for sums to stay valid.

use std::fmt;
use std::iter::Sum;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time in seconds: finite, at least 0, at most [`Seconds::MAX`].
///
/// Every time in a file is read as this type. So adding times, printing them, and converting them to
/// [`Duration`] cannot fail. Sums saturate at [`Seconds::MAX`].
///
/// # Example
/// ```
/// use kiln_search::Seconds;
/// assert_eq!(Seconds::new(1.5)?.get(), 1.5);
/// assert!(Seconds::new(-1.0).is_err() && Seconds::new(1e300).is_err() && Seconds::new(f64::NAN).is_err());
/// assert_eq!(Seconds::saturating(1e300), Seconds::MAX);
/// # Ok::<(), kiln_search::NotSeconds>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Seconds(f64);

/// The error for a number that is not a valid time.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0:?} seconds, expected 0 to {max:?}", max = Seconds::MAX.get())]
pub struct NotSeconds(pub f64);

impl Seconds {
    /// A time of zero seconds.
    pub const ZERO: Self = Self(0.0);
    /// The maximum time, about 3,000 years. No clock exceeds it, and sums of times are exact to a
    /// millisecond.
    pub const MAX: Self = Self(1e11);

    /// Creates a time from a number of seconds.
    ///
    /// # Errors
    /// [`NotSeconds`] for a number that is negative, not finite, or above [`Seconds::MAX`].
    pub fn new(seconds: f64) -> Result<Self, NotSeconds> {
        // `abs` removes the sign of negative zero, which would be printed.
        if (0.0..=Self::MAX.0).contains(&seconds) {
            Ok(Self(seconds.abs()))
        } else {
            Err(NotSeconds(seconds))
        }
    }

    /// Returns the valid time nearest to this number of seconds. Returns [`Seconds::ZERO`] for NaN.
    #[must_use]
    pub fn saturating(seconds: f64) -> Self {
        if seconds.is_nan() { Self::ZERO } else { Self(seconds.clamp(0.0, Self::MAX.0).abs()) }
    }

    /// Returns the number of seconds.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Converts the time to a [`Duration`].
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the value is in range: this is the one place that converts"
    )]
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0)
    }

    /// Returns the sum of two times, at most [`Seconds::MAX`].
    #[must_use]
    pub fn saturating_add(self, more: Self) -> Self {
        Self::saturating(self.0 + more.0)
    }

    /// Returns the time that has passed since `earlier`. Returns zero if `earlier` is later than `self`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self::saturating(self.0 - earlier.0)
    }
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        Self::saturating(duration.as_secs_f64())
    }
}

impl TryFrom<f64> for Seconds {
    type Error = NotSeconds;
    fn try_from(seconds: f64) -> Result<Self, NotSeconds> {
        Self::new(seconds)
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl Sum for Seconds {
    fn sum<I: Iterator<Item = Self>>(times: I) -> Self {
        times.fold(Self::ZERO, Self::saturating_add)
    }
}

impl PartialEq for Seconds {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Seconds {}

impl PartialOrd for Seconds {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Seconds {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_outside_the_range_are_refused_and_saturate() {
        for seconds in [-1e-300, -1e19, 1.1e11, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Seconds::new(seconds).is_err(), "{seconds}");
            assert!(serde_json::from_str::<Seconds>(&format!("{seconds}")).is_err(), "{seconds}");
            // `saturating` always returns a time that can be converted to a duration.
            let nearest = Seconds::saturating(seconds);
            assert!(Seconds::new(nearest.get()).is_ok() && nearest.duration() <= Seconds::MAX.duration());
        }
        for seconds in [0.0, -0.0, 0.1, 1.8e9, 1e11] {
            let text = serde_json::to_string(&Seconds::new(seconds).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<Seconds>(&text).unwrap(), Seconds::new(seconds).unwrap());
            assert!(!text.starts_with('-'), "{text}");
        }
        let error = serde_json::from_str::<Seconds>("1e300").unwrap_err().to_string();
        assert!(error.starts_with("1e300 seconds, expected 0 to 100000000000.0"), "{error}");
    }

    #[test]
    fn sums_and_differences_stay_in_range() {
        let all: Seconds = [Seconds::MAX; 3].into_iter().sum();
        assert_eq!(all, Seconds::MAX);
        assert_eq!(Seconds::ZERO.since(Seconds::MAX), Seconds::ZERO);
        assert_eq!(Seconds::from(Duration::MAX), Seconds::MAX);
        let two = Seconds::new(0.5).unwrap().saturating_add(Seconds::new(1.5).unwrap());
        assert_eq!(two.duration(), Duration::from_secs(2));
    }
}
