//! The virtual completion order: the order in which trials are reported to the strategy. The order depends
//! only on the proposals, not on the real duration of the evaluations.
//!
//! If trials were reported to the strategy in the order in which they really end, the search would depend on
//! the machine and its load. So the schedule simulates workers. Each proposal has a planned duration, which
//! depends only on its fidelity. Trials are reported to the strategy in the order of their planned ends.

use std::collections::BTreeSet;

use crate::trials::{Fidelities, Fidelity, TrialId};

/// Maximum number of proposals that are evaluated at the same time.
pub(crate) const MAX_IN_FLIGHT: u64 = 4_096;

/// Planned duration of a proxy evaluation. It is small but not zero, so that proxy evaluations end in the
/// order in which they were proposed.
const PROXY_COST: u64 = 1;
/// Planned duration of an epoch.
const EPOCH_COST: u64 = 100;

/// Simulates workers. Each worker is busy for the planned duration of its proposal.
#[derive(Debug)]
pub(crate) struct Schedule {
    answered: Fidelities,
    now: u64,
    busy: BTreeSet<(u64, TrialId)>,
}

impl Schedule {
    /// Creates a schedule without running trials. The planned duration is computed from the epochs of
    /// `answered`. If the evaluator trains no networks, an evaluation with full fidelity has the planned
    /// duration of one epoch.
    pub(crate) const fn new(answered: Fidelities) -> Self {
        Self { answered, now: 0, busy: BTreeSet::new() }
    }

    /// Starts a trial on a virtual worker.
    pub(crate) fn start(&mut self, trial: TrialId, fidelity: Fidelity) {
        let cost = match fidelity {
            Fidelity::Proxy => PROXY_COST,
            trained => EPOCH_COST * u64::from(self.answered.epochs(trained).max(1)),
        };
        self.busy.insert((self.now.saturating_add(cost), trial));
    }

    /// Returns the trial that ends next, and advances virtual time to its planned end. If several trials end
    /// at the same time, the one that was proposed first is returned.
    pub(crate) fn next(&mut self) -> Option<TrialId> {
        let (end, trial) = self.busy.pop_first()?;
        self.now = end;
        Some(trial)
    }

    /// Number of busy virtual workers.
    pub(crate) fn running(&self) -> usize {
        self.busy.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the completion order of trials with these fidelities on `in_flight` virtual workers.
    fn order(fidelities: &[Fidelity], in_flight: usize) -> Vec<TrialId> {
        let mut schedule = Schedule::new(Fidelities::of_schedule(30));
        let mut asked = fidelities.iter().zip(0..);
        let mut told = Vec::new();
        loop {
            while schedule.running() < in_flight
                && let Some((&fidelity, id)) = asked.next()
            {
                schedule.start(id, fidelity);
            }
            match schedule.next() {
                Some(id) => told.push(id),
                None => return told,
            }
        }
    }

    #[test]
    fn trials_of_equal_fidelity_are_told_in_the_order_of_asking() {
        for in_flight in [1, 2, 3, 8, 20] {
            assert_eq!(order(&[Fidelity::Full; 10], in_flight), (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn short_trainings_are_told_before_a_long_one_that_started_earlier() {
        let long = Fidelity::Epochs(9);
        let short = Fidelity::Epochs(3);
        // The long trial ends at 900. The short trials on the other worker end at 300, 600, 900 and 1200.
        assert_eq!(order(&[long, short, short, short, short], 2), [1, 2, 0, 3, 4]);
        assert_eq!(order(&[Fidelity::Full, long, Fidelity::Proxy, short], 2), [1, 2, 3, 0]);
        assert_eq!(order(&[long, short, short], 1), [0, 1, 2]);
    }

    #[test]
    fn full_training_takes_the_planned_time_of_its_epochs() {
        let short = Fidelity::Epochs(3);
        // The full training ends at 3000. The tenth short trial on the other worker also ends at 3000.
        let asked: Vec<Fidelity> = std::iter::once(Fidelity::Full).chain([short; 11]).collect();
        let told = order(&asked, 2);
        assert_eq!(told.iter().position(|id| *id == 0), Some(9), "{told:?}");
    }

    #[test]
    fn full_effort_without_training_is_planned_like_one_epoch() {
        let mut schedule = Schedule::new(Fidelities::full_only().with_proxy());
        schedule.start(0, Fidelity::Full);
        schedule.start(1, Fidelity::Proxy);
        assert_eq!([schedule.next(), schedule.next(), schedule.next()], [Some(1), Some(0), None]);
    }
}
