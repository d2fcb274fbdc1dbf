//! Limits the number of points in a series. A study may have a million trials, and no plot shows a million
//! points.

use crate::point::Steps;

/// How many points of a series are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Every point.
    All,
    /// All of the first 512 steps, then 256 points until the number of steps has doubled, and so on.
    Fine,
    /// All of the first 32 steps, then 16 points until the number of steps has doubled, and so on.
    Coarse,
}

impl Detail {
    /// Returns the cell of a step. Only the first point of a cell is kept.
    const fn cell(self, step: u64) -> (u32, u64) {
        let bits = match self {
            Self::All => return (0, step),
            Self::Fine => 8,
            Self::Coarse => 4,
        };
        let level = match step.checked_ilog2() {
            Some(size) => size.saturating_sub(bits),
            None => 0,
        };
        (level, step >> level)
    }
}

/// Decides which points are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Thinning(Steps);

impl Thinning {
    /// Whether a point at this step is kept. Steps of a series only grow.
    pub(super) fn is_due(&self, series: &str, step: u64, detail: Detail) -> bool {
        self.0.last(series).is_none_or(|last| step > last && detail.cell(step) != detail.cell(last))
    }

    /// Remembers a point that was kept.
    pub(super) fn add(&mut self, series: &str, step: u64) {
        self.0.add(series, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(steps: u64, detail: Detail) -> Vec<u64> {
        let mut thinning = Thinning::default();
        let mut found = Vec::new();
        for step in 1..=steps {
            if thinning.is_due("a", step, detail) {
                thinning.add("a", step);
                found.push(step);
            }
        }
        found
    }

    #[test]
    fn points_thin_out_as_the_series_grows() {
        assert_eq!(kept(512, Detail::Fine).len(), 512);
        assert_eq!(kept(1024, Detail::Fine).len(), 512 + 256);
        assert_eq!(kept(1 << 18, Detail::Fine).len(), 512 + 9 * 256);
        assert_eq!(kept(40, Detail::Coarse), (1..=32).chain([34, 36, 38, 40]).collect::<Vec<_>>());
        assert_eq!(kept(5000, Detail::All).len(), 5000);
    }

    #[test]
    fn no_step_is_kept_twice() {
        let mut thinning = Thinning::default();
        thinning.add("a", 7);
        assert!([Detail::All, Detail::Fine].iter().all(|detail| !thinning.is_due("a", 7, *detail)));
        assert!(thinning.is_due("a", u64::MAX, Detail::Fine) && thinning.is_due("b", 0, Detail::Fine));
    }
}
