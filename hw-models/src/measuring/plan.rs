//! How much a session measures.

use std::time::Duration;

/// Bounds of a measuring session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuringPlan {
    /// Rounds. In each, every network is visited once, in an order of its own.
    pub rounds: u32,
    /// A visit ends when half the interval of the median, relative to the median, is at most this.
    pub tolerance: f64,
    /// Minimum number of measured runs in a visit.
    pub runs_min: usize,
    /// Maximum number of measured runs in a visit.
    pub runs_max: usize,
    /// Minimum time of the measured runs of a visit.
    pub visit_min: Duration,
    /// Time after which a visit ends with the runs that it has.
    pub visit_max: Duration,
    /// Time after which no visit begins, over all sessions that share their visits.
    pub total: Duration,
    /// Seed of the order in each round.
    pub seed: u64,
}

/// Minimum number of rounds.
const ROUNDS_MIN: u32 = 3;
/// Maximum number of rounds.
const ROUNDS_MAX: u32 = 15;
/// Time of a visit to a small network on this machine, with loading and warming up.
const SHORT_VISIT: Duration = Duration::from_millis(200);

impl MeasuringPlan {
    /// A plan that shares `total` among `networks` in three rounds, for a device whose visits take long.
    #[must_use]
    pub fn sharing(total: Duration, networks: usize, seed: u64) -> Self {
        Self::in_rounds(total, networks, seed, ROUNDS_MIN)
    }

    /// A plan that shares `total` among `networks` on this machine, in as many rounds of short visits as there
    /// is time for, from 3 to 15. Other programs, and other guests of a virtual machine's host, slow a processor
    /// down for seconds: the median of many short visits says more than that of a few long ones.
    #[must_use]
    pub fn on_this_machine(total: Duration, networks: usize, seed: u64) -> Self {
        let visits = total.as_millis() / SHORT_VISIT.as_millis();
        let rounds = u32::try_from(visits / networks.max(1) as u128).unwrap_or(u32::MAX);
        Self::in_rounds(total, networks, seed, rounds.clamp(ROUNDS_MIN, ROUNDS_MAX))
    }

    fn in_rounds(total: Duration, networks: usize, seed: u64, rounds: u32) -> Self {
        // One more round for the repeated visits, and half of a visit for loading and warming up.
        let networks = u32::try_from(networks.max(1)).unwrap_or(u32::MAX / 64);
        let visits = 2 * (rounds + 1) * networks;
        Self {
            rounds,
            tolerance: 0.01,
            runs_min: 10,
            runs_max: 1000,
            visit_min: Duration::from_millis(50),
            visit_max: (total / visits).clamp(Duration::from_millis(50), Duration::from_secs(10)),
            total,
            seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_on_this_machine_depend_on_the_time() {
        let rounds = |minutes, networks| {
            MeasuringPlan::on_this_machine(Duration::from_mins(minutes), networks, 0).rounds
        };
        // A minute holds 300 visits of 0.2 s.
        assert_eq!([rounds(1, 60), rounds(1, 1000), rounds(30, 10), rounds(1, 0)], [5, 3, 15, 15]);
        let plan = MeasuringPlan::on_this_machine(Duration::from_mins(1), 30, 0);
        assert_eq!((plan.rounds, plan.visit_max), (10, Duration::from_mins(1) / 660));
    }
}
