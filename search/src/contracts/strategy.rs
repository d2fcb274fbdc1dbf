//! The contract of every search strategy.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Registration, Settings, SettingsError};
use rand::Rng;

use crate::domain::Domain;
use crate::trials::{Fidelities, Fidelity, Proposal, Trial};

/// A strategy's answer when it is asked for work.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Judge this.
    Propose(Proposal),
    /// Nothing before a running trial is told.
    Wait,
    /// Nothing any more.
    Done,
    /// The strategy's settings turned out not to fit what was measured: the study stops with this.
    Misfit(SettingsError),
}

/// Makes a strategy from its settings.
pub type StrategyBuilder = fn(&Settings) -> Result<Box<dyn Strategy>, SettingsError>;

/// A strategy as it is registered.
pub type StrategyPart = Registration<StrategyBuilder>;

/// What a strategy spends until it first asks for [`Fidelity::Full`], that ask included, if no trial fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Trials.
    pub trials: u64,
    /// Epochs of these trials.
    pub epochs: u64,
}

/// Proposes genotypes and learns from trials.
///
/// Laws (checked by `testing::check_strategy` for every registered strategy): what it proposes is feasible
/// and canonical; its asks are a function of the domain, the trials told and the generators given; it
/// survives failed trials; it says `Done` when a small space is used up, and never `Wait` with nothing
/// running; it asks for the fidelities alone that it states. A strategy has no clock, file or generator of
/// its own.
pub trait Strategy: Send {
    /// Whether what the strategy was told in its settings fits the space and the limits: a study asks before
    /// anything else, and stops at an error. Strategies whose settings name no genotypes need not override
    /// this.
    ///
    /// # Errors
    /// [`SettingsError`] with the key of what does not fit.
    fn fits(&self, _domain: &Domain<'_>) -> Result<(), SettingsError> {
        Ok(())
    }

    /// The next proposal. `rng` is derived from the study's seed and the number of this ask.
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask;

    /// Why there is nothing more to propose, for people; asked after [`Ask::Done`]. That a small space is
    /// used up the study finds out by itself, so that most strategies need not override this.
    fn why_done(&self) -> Option<String> {
        None
    }

    /// Learns from a trial; trials come in virtual completion order.
    fn tell(&mut self, trial: &Trial);

    /// The fidelities that it asks an evaluator for that answers these, lowest first. A study whose evaluator
    /// does not answer them all is refused. Unless stated, [`Fidelity::Full`] alone.
    fn fidelities(&self, _answered: Fidelities) -> Vec<Fidelity> {
        vec![Fidelity::Full]
    }

    /// Hears, before anything else, what the evaluator answers. Strategies that ask for full effort alone
    /// need not override this.
    fn hear_fidelities(&mut self, _answered: Fidelities) {}

    /// What it spends until a network is judged with full effort, with this many proposals out at one time;
    /// `None` if it never comes to that. A study whose budget is smaller is refused: it would judge no
    /// network with full effort.
    fn needs(&self, answered: Fidelities, _in_flight: usize) -> Option<Needs> {
        Some(Needs { trials: 1, epochs: u64::from(answered.full_epochs) })
    }

    /// Hears, before the first ask, what zero-cost proxies say of some genotypes: the place that their scores together give to
    /// each, 0 the best and 1 the last. Strategies that ignore proxies need not override this.
    fn hear_proxies(&mut self, _places: &BTreeMap<Genotype, f64>) {}
}
