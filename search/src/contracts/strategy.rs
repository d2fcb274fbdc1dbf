//! The trait of search strategies.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Registration, Settings, SettingsError};
use rand::Rng;

use crate::domain::Domain;
use crate::trials::{Fidelities, Fidelity, Proposal, Trial};

/// A strategy's answer to a request for the next proposal.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// The study should evaluate this proposal.
    Propose(Proposal),
    /// The strategy has no proposal until a running trial is reported to it.
    Wait,
    /// The strategy has no more proposals for the rest of the search.
    Done,
    /// The strategy's settings do not match the measured metrics. The study stops with this error.
    Misfit(SettingsError),
}

/// Builds a strategy from its settings.
pub type StrategyBuilder = fn(&Settings) -> Result<Box<dyn Strategy>, SettingsError>;

/// A strategy's entry in the registry.
pub type StrategyPart = Registration<StrategyBuilder>;

/// The budget that a strategy needs to evaluate its first network at [`Fidelity::Full`], including that
/// evaluation, if no trial fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Number of trials.
    pub trials: u64,
    /// Number of epochs in these trials.
    pub epochs: u64,
}

/// Proposes genotypes and learns from trials.
///
/// Every strategy must obey these laws, and `testing::check_strategy` checks them for every registered
/// strategy:
/// - Proposals are feasible and canonical.
/// - Proposals depend only on the domain, the reported trials, and the random generators passed to `ask`.
/// - Failed trials do not make the strategy panic.
/// - `ask` returns `Done` when a small space is used up, and never returns `Wait` while no trial is running.
/// - Proposals have only fidelities that `fidelities` returns.
///
/// A strategy must not use a clock, files or a random generator of its own.
pub trait Strategy: Send {
    /// Checks that the settings fit the space and the limits. A study calls this method first and stops at an
    /// error. Only strategies whose settings contain genotypes need to override this method.
    ///
    /// # Errors
    /// [`SettingsError`] with the key of the setting that does not fit.
    fn fits(&self, _domain: &Domain<'_>) -> Result<(), SettingsError> {
        Ok(())
    }

    /// Returns the next proposal. `rng` is derived from the study's seed and the index of this call.
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask;

    /// Explains to the user why the strategy has no more proposals. This method is called after
    /// [`Ask::Done`]. The study itself detects that a small space is used up, so most strategies need not
    /// override this method.
    fn why_done(&self) -> Option<String> {
        None
    }

    /// Learns from a trial. Trials come in virtual completion order.
    fn tell(&mut self, trial: &Trial);

    /// Returns the fidelities of the strategy's proposals, lowest first, if the evaluator supports
    /// `answered`. A study is refused if the evaluator does not support all of them. By default, all
    /// proposals have [`Fidelity::Full`].
    fn fidelities(&self, _answered: Fidelities) -> Vec<Fidelity> {
        vec![Fidelity::Full]
    }

    /// Receives the fidelities that the evaluator supports, before the first ask. Strategies that propose
    /// only [`Fidelity::Full`] need not override this method.
    fn hear_fidelities(&mut self, _answered: Fidelities) {}

    /// Returns the budget that the strategy needs to evaluate its first network with full fidelity, with
    /// `in_flight` proposals at a time. Returns `None` if the strategy never evaluates a network with full
    /// fidelity. A study with a smaller budget is refused, since it could not evaluate any network with full
    /// fidelity.
    fn needs(&self, answered: Fidelities, _in_flight: usize) -> Option<Needs> {
        Some(Needs { trials: 1, epochs: u64::from(answered.full_epochs) })
    }

    /// Receives the joint ranking of some genotypes by zero-cost proxies, before the first ask. Ranks are
    /// scaled from 0 (best genotype) to 1 (worst genotype). Strategies that ignore proxies need not override
    /// this method.
    fn hear_proxies(&mut self, _places: &BTreeMap<Genotype, f64>) {}
}
