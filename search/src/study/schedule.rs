//! The order in which trials are told. It depends on the proposals alone, never on which evaluation was faster.

use std::collections::BTreeSet;

use crate::{Fidelity, TrialId};

/// Planned cost of a proxy; every other cost is a multiple of an epoch's.
const PROXY_COST: u64 = 1;
const EPOCH_COST: u64 = 100;

/// Virtual workers, each busy for the planned cost of its proposal.
#[derive(Debug)]
pub(super) struct Schedule {
    full_epochs: u32,
    now: u64,
    busy: BTreeSet<(u64, TrialId)>,
}

impl Schedule {
    /// Nothing is running; [`Fidelity::Full`] is planned like `full_epochs` epochs.
    pub(super) const fn new(full_epochs: u32) -> Self {
        Self { full_epochs, now: 0, busy: BTreeSet::new() }
    }

    /// A virtual worker begins with a trial.
    pub(super) fn start(&mut self, trial: TrialId, fidelity: Fidelity) {
        let cost = match fidelity {
            Fidelity::Proxy => PROXY_COST,
            Fidelity::Epochs(epochs) => EPOCH_COST * u64::from(epochs),
            Fidelity::Full => EPOCH_COST * u64::from(self.full_epochs),
        };
        self.busy.insert((self.now.saturating_add(cost), trial));
    }

    /// The trial that ends next in virtual time, which advances to that end; the earliest asked among equals.
    pub(super) fn next(&mut self) -> Option<TrialId> {
        let (end, trial) = self.busy.pop_first()?;
        self.now = end;
        Some(trial)
    }

    /// Virtual workers that are busy.
    pub(super) fn running(&self) -> usize {
        self.busy.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells `fidelities` with `in_flight` virtual workers.
    fn order(fidelities: &[Fidelity], in_flight: usize) -> Vec<TrialId> {
        let mut schedule = Schedule::new(30);
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
    fn equal_fidelities_are_told_in_the_order_of_asking() {
        for in_flight in [1, 2, 3, 8, 20] {
            assert_eq!(order(&[Fidelity::Full; 10], in_flight), (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_long_training_does_not_block_short_ones() {
        let long = Fidelity::Epochs(9);
        let short = Fidelity::Epochs(3);
        // The long one ends at 900, the short ones of the other worker at 300, 600, 900, 1200.
        assert_eq!(order(&[long, short, short, short, short], 2), [1, 2, 0, 3, 4]);
        assert_eq!(order(&[Fidelity::Full, long, Fidelity::Proxy, short], 2), [1, 2, 3, 0]);
        assert_eq!(order(&[long, short, short], 1), [0, 1, 2]);
    }
}
