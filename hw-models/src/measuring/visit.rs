//! What one visit to a network gave. A session is nothing but its visits, so it can go on from them.

use serde::{Deserialize, Serialize};

/// Why a network was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Its turn in a round.
    Planned,
    /// The network that is measured again at the end of each round, so that drift shows.
    Reference,
    /// After failures of others, to see whether the device still works.
    Check,
    /// An earlier visit was disturbed.
    Repeat,
}

/// Result of a visit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitOutcome {
    /// The network ran.
    Measured {
        /// Median latency in microseconds.
        median_us: f64,
        /// Lower end of its 95 % interval.
        low_us: f64,
        /// Upper end of its 95 % interval.
        high_us: f64,
        /// Number of measured runs.
        runs: usize,
    },
    /// The network did not run, with the reason for people.
    Failed {
        /// The reason.
        reason: String,
    },
}

/// One visit to a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visit {
    /// Index of the network.
    pub network: usize,
    /// Round, from 0.
    pub round: u32,
    /// Why it was visited.
    pub place: Place,
    /// Seconds that the visit took, with loading and warming up.
    pub took_s: f64,
    /// What it gave.
    pub outcome: VisitOutcome,
}

impl Visit {
    /// The median, if the network ran.
    #[must_use]
    pub fn median_us(&self) -> Option<f64> {
        match self.outcome {
            VisitOutcome::Measured { median_us, .. } => Some(median_us),
            VisitOutcome::Failed { .. } => None,
        }
    }

    /// Whether the network failed.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.median_us().is_none()
    }

    /// Whether every number is one that a session writes. `networks` is the number of networks.
    #[must_use]
    pub fn is_plausible(&self, networks: usize) -> bool {
        let latency = |value: f64| value.is_finite() && value > 0.0;
        let outcome = match self.outcome {
            VisitOutcome::Measured { median_us, low_us, high_us, runs } => {
                [median_us, low_us, high_us].into_iter().all(latency) && runs > 0
            }
            VisitOutcome::Failed { .. } => true,
        };
        outcome && self.network < networks && self.took_s.is_finite() && self.took_s >= 0.0
    }
}
