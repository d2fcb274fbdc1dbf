//! Which visits were disturbed, and what the others say together.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::interval::median;
use super::visit::{Visit, VisitOutcome};

/// A visit is disturbed if it is slower than the median visit of its network by more than this.
const SLOWER: f64 = 0.05;
/// If more than one of so many visits are slower, the machine is like that, and all of them count.
const RARE: usize = 3;
/// A visit is unsettled if half its interval, relative to the median, exceeds this.
const UNSETTLED: f64 = 0.05;

/// A session in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Networks with a latency.
    pub measured: usize,
    /// Networks that failed.
    pub failed: usize,
    /// Networks for which no time was left.
    pub not_reached: usize,
    /// Visits that were slower than others of the same network, and do not count.
    pub disturbed: usize,
    /// Visits that were made because an earlier one was disturbed.
    pub repeated: usize,
    /// How much the slowest visit to the reference network exceeds the fastest, over the whole session.
    pub drift_percent: f64,
}

/// Indices of the disturbed visits. Other programs only ever slow a network down, so a fast visit is never
/// disturbed.
pub(super) fn disturbed(visits: &[Visit]) -> BTreeSet<usize> {
    let networks: BTreeSet<usize> = visits.iter().map(|visit| visit.network).collect();
    let of = |network: usize| {
        let places = visits.iter().enumerate().filter(move |(_, visit)| visit.network == network);
        places.filter_map(|(index, visit)| Some((index, visit.median_us()?))).collect::<Vec<_>>()
    };
    networks.into_iter().flat_map(|network| slower(&of(network))).collect()
}

/// Those of one network's visits that are disturbed.
fn slower(medians: &[(usize, f64)]) -> Vec<usize> {
    let mut sorted: Vec<f64> = medians.iter().map(|(_, value)| *value).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(center) = median(&sorted) else { return Vec::new() };
    let limit = center * (1.0 + SLOWER);
    let slow: Vec<usize> =
        medians.iter().filter(|(_, value)| *value > limit).map(|(index, _)| *index).collect();
    if RARE * slow.len() > medians.len() { Vec::new() } else { slow }
}

/// Whether a network should be visited once more: a visit was disturbed, or none is settled.
pub(super) fn wants_repeat(network: usize, visits: &[Visit], disturbed: &BTreeSet<usize>) -> bool {
    let mine = || visits.iter().enumerate().filter(|(_, visit)| visit.network == network);
    let is_settled = |visit: &Visit| match visit.outcome {
        VisitOutcome::Measured { median_us, low_us, high_us, .. } => {
            high_us - low_us <= 2.0 * UNSETTLED * median_us
        }
        VisitOutcome::Failed { .. } => true,
    };
    mine().any(|(index, _)| disturbed.contains(&index)) || !mine().any(|(_, visit)| is_settled(visit))
}

/// The network that is measured in each round again: the first that ran.
pub(super) fn reference(visits: &[Visit]) -> Option<usize> {
    visits.iter().find(|visit| !visit.is_failed()).map(|visit| visit.network)
}

/// The latency of each network in microseconds, and the session in a few numbers. A network has a latency if
/// it never failed; it is the median of its visits that were not disturbed.
#[must_use]
pub fn summarize(networks: usize, visits: &[Visit]) -> (Vec<Option<f64>>, Summary, BTreeSet<usize>) {
    let disturbed = disturbed(visits);
    let mut summary = Summary::default();
    let mut latencies = Vec::with_capacity(networks);
    for network in 0..networks {
        let mine = || visits.iter().enumerate().filter(|(_, visit)| visit.network == network);
        let has_failed = mine().any(|(_, visit)| visit.is_failed());
        let counted = mine().filter(|(index, _)| !disturbed.contains(index));
        let mut medians: Vec<f64> = counted.filter_map(|(_, visit)| visit.median_us()).collect();
        medians.sort_by(f64::total_cmp);
        let latency = median(&medians).filter(|_| !has_failed);
        summary.measured += usize::from(latency.is_some());
        summary.failed += usize::from(has_failed);
        summary.not_reached += usize::from(mine().next().is_none());
        latencies.push(latency);
    }
    summary.disturbed = disturbed.len();
    summary.repeated = visits.iter().filter(|visit| visit.place == super::visit::Place::Repeat).count();
    if let Some(network) = reference(visits) {
        let medians = visits.iter().filter(|visit| visit.network == network).filter_map(Visit::median_us);
        let (low, high) =
            medians.fold((f64::INFINITY, 0.0_f64), |(l, h), value| (l.min(value), h.max(value)));
        summary.drift_percent = 100.0 * (high / low - 1.0);
    }
    (latencies, summary, disturbed)
}

#[cfg(test)]
mod tests {
    use super::super::visit::Place;
    use super::*;

    fn visit(network: usize, round: u32, median_us: f64) -> Visit {
        let outcome = VisitOutcome::Measured {
            median_us,
            low_us: 0.99 * median_us,
            high_us: 1.01 * median_us,
            runs: 10,
        };
        Visit { network, round, place: Place::Planned, took_s: 1.0, outcome }
    }

    #[test]
    fn slow_visit_is_disturbed_and_does_not_count() {
        let visits = [
            visit(0, 0, 100.0),
            visit(1, 0, 50.0),
            visit(0, 1, 130.0),
            visit(1, 1, 50.5),
            visit(0, 2, 101.0),
        ];
        let (latencies, summary, disturbed) = summarize(3, &visits);
        assert_eq!(disturbed, [2].into());
        assert_eq!(latencies, [Some(100.5), Some(50.25), None]);
        assert_eq!((summary.measured, summary.not_reached, summary.disturbed), (2, 1, 1));
        assert!((summary.drift_percent - 30.0).abs() < 1e-9);
        assert!(wants_repeat(0, &visits, &disturbed) && !wants_repeat(1, &visits, &disturbed));
    }

    #[test]
    fn slow_visits_that_are_not_rare_count() {
        let visits = [100.0, 148.0, 101.0, 150.0, 100.0].map(|median_us| visit(0, 0, median_us));
        assert_eq!(summarize(1, &visits), (vec![Some(101.0)], summarize(1, &visits).1, [].into()));
    }

    #[test]
    fn failed_network_has_no_latency() {
        let mut visits = [visit(0, 0, 100.0), visit(1, 0, 5.0), visit(1, 1, 5.0)];
        visits[2].outcome = VisitOutcome::Failed { reason: "out of memory".to_owned() };
        let (latencies, summary, _) = summarize(2, &visits);
        assert_eq!((latencies, summary.failed), (vec![Some(100.0), None], 1));
    }
}
