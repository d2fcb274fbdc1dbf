//! The contract of every search strategy.

use std::collections::BTreeMap;

use kiln_space::Genotype;
use rand::Rng;

use crate::{Domain, Proposal, Trial};

/// A strategy's answer when it is asked for work.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Judge this.
    Propose(Proposal),
    /// Nothing before a running trial is told.
    Wait,
    /// Nothing any more.
    Done,
}

/// Proposes genotypes and learns from trials.
///
/// Laws (checked by `testing::check_strategy` for every registered strategy): what it proposes is feasible and
/// canonical; its asks are a function of the domain, the trials told and the generators given; it survives failed
/// trials; it says `Done` when a small space is used up, and never `Wait` with nothing running. A strategy has no clock,
/// file or generator of its own.
pub trait Strategy: Send {
    /// The next proposal. `rng` is derived from the study's seed and the number of this ask.
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask;

    /// Learns from a trial; trials come in virtual completion order.
    fn tell(&mut self, trial: &Trial);

    /// Hears, before the first ask, what zero-cost proxies say of some genotypes: the place that their scores together give to
    /// each, 0 the best and 1 the last. Who does not learn from that ignores it.
    fn hear_proxies(&mut self, _places: &BTreeMap<Genotype, f64>) {}
}
