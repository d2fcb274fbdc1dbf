//! The contract of every search strategy.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Registration, Settings, SettingsError};
use rand::Rng;

use crate::domain::Domain;
use crate::trials::{Fidelities, Fidelity, Proposal, Trial};

/// A strategy's answer when it is asked for work.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Evaluate this.
    Propose(Proposal),
    /// Nothing to propose until the strategy is told of a running trial.
    Wait,
    /// Nothing more to propose for the rest of the search.
    Done,
    /// The strategy's settings do not match the measured metrics. The study stops with this error.
    Misfit(SettingsError),
}

/// Makes a strategy from its settings.
pub type StrategyBuilder = fn(&Settings) -> Result<Box<dyn Strategy>, SettingsError>;

/// A strategy's entry in the registry.
pub type StrategyPart = Registration<StrategyBuilder>;

/// The budget that a strategy needs to evaluate its first network at [`Fidelity::Full`], including that
/// evaluation, if no trial fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Trials.
    pub trials: u64,
    /// Epochs of these trials.
    pub epochs: u64,
}

/// Proposes genotypes and learns from trials.
///
/// Every strategy must obey these laws, and `testing::check_strategy` checks them for every registered
/// strategy:
/// - Proposals are feasible and canonical.
/// - Its asks depend only on the domain, the trials it was told of, and the generators passed to it.
/// - It survives failed trials.
/// - It returns `Done` when a small space is used up, and never returns `Wait` while nothing is running.
/// - It asks only for fidelities that it states.
///
/// A strategy uses no clock, no files and no random generator of its own.
pub trait Strategy: Send {
    /// Checks that the settings fit the space and the limits. A study calls this first and stops at an error.
    /// Only strategies whose settings name genotypes need to override it.
    ///
    /// # Errors
    /// [`SettingsError`] with the key of the setting that does not fit.
    fn fits(&self, _domain: &Domain<'_>) -> Result<(), SettingsError> {
        Ok(())
    }

    /// Returns the next proposal. `rng` is derived from the study's seed and the number of this ask.
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask;

    /// Explains to the user why there is nothing more to propose; called after [`Ask::Done`]. The study
    /// itself detects that a small space is used up, so most strategies need not override this.
    fn why_done(&self) -> Option<String> {
        None
    }

    /// Learns from a trial. Trials come in virtual completion order.
    fn tell(&mut self, trial: &Trial);

    /// Returns the fidelities that the strategy asks for, lowest first, if the evaluator supports `answered`.
    /// A study is refused if its evaluator does not support all of them. The default is [`Fidelity::Full`]
    /// only.
    fn fidelities(&self, _answered: Fidelities) -> Vec<Fidelity> {
        vec![Fidelity::Full]
    }

    /// Receives the fidelities that the evaluator supports, before the first ask. Strategies that ask only
    /// for full effort need not override this.
    fn hear_fidelities(&mut self, _answered: Fidelities) {}

    /// Returns the budget that the strategy needs to evaluate its first network with full effort, with
    /// `in_flight` proposals at a time. Returns `None` if it never does. A study with a smaller budget is
    /// refused, since it would evaluate no network with full effort.
    fn needs(&self, answered: Fidelities, _in_flight: usize) -> Option<Needs> {
        Some(Needs { trials: 1, epochs: u64::from(answered.full_epochs) })
    }

    /// Receives the joint ranking of some genotypes by zero-cost proxies, before the first ask. Ranks are
    /// scaled: 0 is the best genotype, and 1 is the worst. Strategies that ignore proxies need not override
    /// this.
    fn hear_proxies(&mut self, _places: &BTreeMap<Genotype, f64>) {}
}
