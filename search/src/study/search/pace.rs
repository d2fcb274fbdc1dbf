//! Estimates the number of trials that a search will have at its end. The estimate is only displayed; it
//! affects no decision.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kiln_space::{SearchSpace, size};

use crate::strategies::ENUMERABLE;
use crate::study::settings::StudySettings;
use crate::trials::Fidelity;

/// Measures the speed at which trials are reported.
pub(super) struct Pace {
    since: Instant,
    /// Number of trials that this process has evaluated. Trials with known outcomes are not counted.
    fresh: u64,
    /// Number of networks in the space, if the space is small enough to be used up.
    networks: Option<u64>,
    /// Fidelities of the trials so far. A network may be evaluated once with each fidelity.
    fidelities: BTreeSet<Fidelity>,
}

impl Pace {
    pub(super) fn new(space: &dyn SearchSpace) -> Self {
        let networks =
            u64::try_from(size::count(space)).ok().filter(|networks| *networks <= ENUMERABLE.into());
        Self { since: Instant::now(), fresh: 0, networks, fidelities: BTreeSet::new() }
    }

    /// Counts a trial that was reported to the strategy. Trials with known outcomes do not affect the speed.
    pub(super) fn count(&mut self, fidelity: Fidelity, known: bool) {
        self.fidelities.insert(fidelity);
        if !known {
            self.fresh += 1;
        } else if self.fresh == 0 {
            self.since = Instant::now();
        }
    }

    /// Returns the estimated number of trials at the end of the search, or 0 if there is no estimate. The
    /// estimate is the minimum of four numbers: the budget of trials, the trials that fit into the remaining
    /// hours, the trials that fit into the remaining epochs, and the trials that the space allows. `elapsed`
    /// is the time spent so far, and `epochs` is the number of epochs spent so far.
    pub(super) fn total(&self, told: u64, epochs: u64, settings: &StudySettings, elapsed: Duration) -> u64 {
        let timely = settings.hours.filter(|_| self.fresh > 0).map(|hours| {
            let left = (hours * 3600.0 - elapsed.as_secs_f64()).max(0.0);
            let speed = self.fresh as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
            // The cast from `f64` saturates.
            told.saturating_add((left * speed) as u64)
        });
        // The budget has already paid for running trials. So the estimate decreases to `told` towards the
        // end.
        let paid = settings.epochs.filter(|_| epochs > 0 && told > 0).map(|budget| {
            let trials = u128::from(told) * u128::from(budget) / u128::from(epochs);
            u64::try_from(trials).unwrap_or(u64::MAX)
        });
        let all = self.networks.map(|networks| networks * self.fidelities.len().max(1) as u64);
        let fewest = [settings.trials, timely, paid, all].into_iter().flatten().min();
        fewest.map_or(0, |fewest| fewest.max(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_follows_from_hours_and_the_speed_so_far() {
        let settings = |trials, hours| StudySettings { trials, hours, ..StudySettings::default() };
        let second = Duration::from_secs(1);
        let since = Instant::now().checked_sub(second).unwrap();
        let mut pace = Pace { since, fresh: 0, networks: None, fidelities: BTreeSet::new() };
        assert_eq!(pace.total(0, 0, &settings(Some(500), Some(1.0)), second), 500, "before there is a speed");
        assert_eq!(pace.total(0, 0, &settings(None, None), second), 0);
        (0..10).for_each(|_| pace.count(Fidelity::Full, false));
        // Ten trials took one second, and 3599 seconds are left. On a slow machine the estimate is lower.
        let total = pace.total(10, 0, &settings(None, Some(1.0)), second);
        assert!((30_000..=36_000).contains(&total), "{total}");
        assert_eq!(pace.total(10, 0, &settings(Some(500), Some(1.0)), second), 500);
        assert_eq!(pace.total(10, 0, &settings(Some(500), Some(1e-9)), second), 10);
        pace.networks = Some(20);
        assert_eq!(pace.total(10, 0, &settings(Some(500), None), second), 20);
        pace.count(Fidelity::Epochs(1), false);
        assert_eq!(pace.total(10, 0, &settings(None, None), second), 40);
        assert_eq!(pace.total(50, 0, &settings(None, None), second), 50);
    }

    #[test]
    fn total_follows_from_epochs_and_the_cost_so_far() {
        let pace = Pace { since: Instant::now(), fresh: 0, networks: None, fidelities: BTreeSet::new() };
        let settings = StudySettings { trials: None, epochs: Some(200), ..StudySettings::default() };
        let total = |told, epochs| pace.total(told, epochs, &settings, Duration::ZERO);
        assert_eq!(total(0, 0), 0, "nothing is known yet");
        assert_eq!(total(10, 50), 40);
        assert_eq!(total(40, 203), 40, "the last trial exceeds the budget");
        assert_eq!(total(u64::MAX, 1), u64::MAX);
    }
}
