//! What a session does next. It depends on the visits so far alone, so a session that was killed goes on
//! where it stopped.

use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::disturbance::{disturbed, reference, wants_repeat};
use super::plan::MeasuringPlan;
use super::visit::{Place, Visit};

/// Maximum number of repeated visits to a network.
const REPEATS_MAX: usize = 2;

/// The next visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) network: usize,
    pub(super) round: u32,
    pub(super) place: Place,
}

/// The next visit; `None` when everything is done. Every network is visited once before any is visited twice,
/// a network that failed is not visited again, and each round ends with the reference network.
pub(super) fn next(networks: usize, plan: &MeasuringPlan, visits: &[Visit]) -> Option<Step> {
    let has_failed = |network| visits.iter().any(|visit| visit.network == network && visit.is_failed());
    for round in 0..plan.rounds {
        let is_done = |place, network: Option<usize>| {
            let same = |visit: &&Visit| visit.round == round && visit.place == place;
            visits.iter().filter(same).any(|visit| network.is_none_or(|network| visit.network == network))
        };
        let mut order = order(networks, plan.seed, round).into_iter();
        let open = order.find(|&network| !has_failed(network) && !is_done(Place::Planned, Some(network)));
        if let Some(network) = open {
            return Some(Step { network, round, place: Place::Planned });
        }
        let reference = reference(visits).filter(|network| !has_failed(*network));
        if let Some(network) = reference.filter(|_| !is_done(Place::Reference, None)) {
            return Some(Step { network, round, place: Place::Reference });
        }
    }
    let disturbed = disturbed(visits);
    let repeats = |network| {
        let same = |visit: &&Visit| visit.network == network && visit.place == Place::Repeat;
        visits.iter().filter(same).count()
    };
    let wanting = (0..networks)
        .filter(|&network| !has_failed(network) && repeats(network) < REPEATS_MAX)
        .filter(|&network| wants_repeat(network, visits, &disturbed));
    // The network with the fewest repeats comes first, so that the two repeats of one are apart in time.
    let network = wanting.min_by_key(|&network| repeats(network))?;
    Some(Step { network, round: plan.rounds, place: Place::Repeat })
}

/// The order of a round. Interleaved orders keep a slow drift of the device from looking like a difference
/// between networks.
fn order(networks: usize, seed: u64, round: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..networks).collect();
    order.shuffle(&mut Pcg64::new(u128::from(seed), u128::from(round)));
    order
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::visit::VisitOutcome;
    use super::*;

    fn run(networks: usize, latency: impl Fn(&Step, usize) -> Option<f64>) -> Vec<Visit> {
        let plan = MeasuringPlan::sharing(Duration::from_mins(1), networks, 7);
        let mut visits: Vec<Visit> = Vec::new();
        while let Some(step) = next(networks, &plan, &visits) {
            let outcome = match latency(&step, visits.len()) {
                Some(us) => VisitOutcome::Measured { median_us: us, low_us: us, high_us: us, runs: 10 },
                None => VisitOutcome::Failed { reason: "no".to_owned() },
            };
            let Step { network, round, place } = step;
            visits.push(Visit { network, round, place, took_s: 0.1, outcome });
            assert!(visits.len() < 100, "the session ends");
        }
        visits
    }

    #[test]
    fn rounds_visit_every_network_and_end_with_the_reference() {
        let visits = run(5, |_, _| Some(10.0));
        assert_eq!(visits.len(), 3 * (5 + 1));
        for round in visits.chunks(6) {
            let mut networks: Vec<usize> = round[..5].iter().map(|visit| visit.network).collect();
            networks.sort_unstable();
            assert_eq!(networks, [0, 1, 2, 3, 4]);
            assert_eq!((round[5].place, round[5].network), (Place::Reference, visits[0].network));
        }
        let order = |round: &[Visit]| round.iter().map(|visit| visit.network).collect::<Vec<_>>();
        assert_ne!(order(&visits[..5]), order(&visits[6..11]));
    }

    #[test]
    fn failed_network_is_skipped_and_disturbed_one_is_repeated() {
        let visits = run(5, |step, _| match (step.network, step.round, step.place) {
            (2, ..) => None,
            (3, 1, Place::Planned) => Some(20.0),
            _ => Some(10.0),
        });
        assert_eq!(visits.iter().filter(|visit| visit.network == 2).count(), 1);
        let repeated: Vec<usize> =
            visits.iter().filter(|visit| visit.place == Place::Repeat).map(|visit| visit.network).collect();
        assert_eq!(repeated, [3, 3]);
    }
}
