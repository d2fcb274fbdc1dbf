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
    /// Nothing until a running trial is told.
    Wait,
    /// Nothing more, ever.
    Done,
    /// The strategy's settings do not fit what was measured. The study stops with this error.
    Misfit(SettingsError),
}

/// Makes a strategy from its settings.
pub type StrategyBuilder = fn(&Settings) -> Result<Box<dyn Strategy>, SettingsError>;

/// A strategy as it is registered.
pub type StrategyPart = Registration<StrategyBuilder>;

/// What a strategy spends up to its first ask for [`Fidelity::Full`], that ask included, if no trial fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Trials.
    pub trials: u64,
    /// Epochs of these trials.
    pub epochs: u64,
}

/// Proposes genotypes and learns from trials.
///
/// Laws, which `testing::check_strategy` checks for every registered strategy:
/// - Proposals are feasible and canonical.
/// - Asks are a function of the domain, the trials told and the generators given.
/// - It survives failed trials.
/// - It says `Done` when a small space is used up, and never `Wait` while nothing is running.
/// - It asks only for fidelities that it states.
///
/// A strategy has no clock, file or generator of its own.
pub trait Strategy: Send {
    /// Checks that the settings fit the space and the limits. A study asks this first and stops at an error.
    /// Only strategies whose settings name genotypes need to override this.
    ///
    /// # Errors
    /// [`SettingsError`] with the key of what does not fit.
    fn fits(&self, _domain: &Domain<'_>) -> Result<(), SettingsError> {
        Ok(())
    }

    /// The next proposal. `rng` is derived from the study's seed and the number of this ask.
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask;

    /// Tells people why there is nothing more to propose; called after [`Ask::Done`]. The study itself finds
    /// out that a small space is used up, so most strategies need not override this.
    fn why_done(&self) -> Option<String> {
        None
    }

    /// Learns from a trial. Trials come in virtual completion order.
    fn tell(&mut self, trial: &Trial);

    /// The fidelities that it asks for, lowest first, when the evaluator answers `answered`. A study is
    /// refused whose evaluator does not answer them all. The default is [`Fidelity::Full`] only.
    fn fidelities(&self, _answered: Fidelities) -> Vec<Fidelity> {
        vec![Fidelity::Full]
    }

    /// Hears which fidelities the evaluator answers, before the first ask. Strategies that ask for full
    /// effort only need not override this.
    fn hear_fidelities(&mut self, _answered: Fidelities) {}

    /// What it spends until it asks for full effort, with `in_flight` proposals out at one time; `None` if it
    /// never does. A study with a smaller budget is refused, since it would evaluate no network with full
    /// effort.
    fn needs(&self, answered: Fidelities, _in_flight: usize) -> Option<Needs> {
        Some(Needs { trials: 1, epochs: u64::from(answered.full_epochs) })
    }

    /// Hears the joint ranking of some genotypes by zero-cost proxies, before the first ask. A place is
    /// between 0 for the best and 1 for the last. Strategies that ignore proxies need not override this.
    fn hear_proxies(&mut self, _places: &BTreeMap<Genotype, f64>) {}
}
