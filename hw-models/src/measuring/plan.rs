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

impl MeasuringPlan {
    /// A plan that shares `total` among `networks`.
    #[must_use]
    pub fn sharing(total: Duration, networks: usize, seed: u64) -> Self {
        const ROUNDS: u32 = 3;
        // One more round for the repeated visits, and half of a visit for loading and warming up.
        let visits = 2 * (ROUNDS + 1) * u32::try_from(networks.max(1)).unwrap_or(u32::MAX / 16);
        Self {
            rounds: ROUNDS,
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
