//! The fidelity of an evaluation, and the fidelities that an evaluator supports.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The effort of an evaluation. A study's Pareto front contains only trials at the highest measured fidelity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// The network is scored without training.
    Proxy,
    /// The network is trained for the first epochs of the full schedule.
    Epochs(u32),
    /// The network is evaluated with the evaluator's whole schedule.
    Full,
}

impl fmt::Display for Fidelity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy => f.write_str("zero-cost proxy"),
            Self::Epochs(1) => f.write_str("1 epoch"),
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
            Self::Full => f.write_str("full"),
        }
    }
}

impl Fidelity {
    /// Returns a text that qualifies a value measured with less than full fidelity, such as `after 3 of 20
    /// epochs`. If `full_epochs` is 0, the length of the schedule is not known and the text is `after 3
    /// epochs`. Returns `None` for [`Fidelity::Full`].
    #[must_use]
    pub fn qualifier(self, full_epochs: u32) -> Option<String> {
        match self {
            Self::Proxy => Some("by a zero-cost proxy".to_owned()),
            Self::Epochs(epochs) if full_epochs > 0 => {
                let s = if full_epochs == 1 { "" } else { "s" };
                Some(format!("after {epochs} of {full_epochs} epoch{s}"))
            }
            Self::Epochs(_) => Some(format!("after {self}")),
            Self::Full => None,
        }
    }

    /// Encodes the fidelity as bytes: its kind, then its epochs.
    pub(crate) fn bytes(self) -> [u8; 5] {
        let (kind, epochs) = match self {
            Self::Proxy => (0, 0),
            Self::Epochs(epochs) => (1, epochs),
            Self::Full => (2, 0),
        };
        let [a, b, c, d] = u32::to_le_bytes(epochs);
        [kind, a, b, c, d]
    }

    /// Decodes a fidelity from bytes. Returns `None` if the bytes are not valid.
    pub(crate) fn from_bytes([kind, a, b, c, d]: [u8; 5]) -> Option<Self> {
        match kind {
            0 => Some(Self::Proxy),
            1 => Some(Self::Epochs(u32::from_le_bytes([a, b, c, d]))),
            2 => Some(Self::Full),
            _ => None,
        }
    }
}

/// The fidelities that an evaluator supports. No two of them have the same effort: a shorter training has
/// fewer epochs than the whole schedule, and only [`Fidelity::Full`] denotes the whole schedule.
///
/// # Example
/// ```
/// use kiln_search::{Fidelities, Fidelity};
///
/// let scratch = Fidelities::of_schedule(20).with_proxy();
/// assert!(scratch.answers(Fidelity::Epochs(19)) && scratch.answers(Fidelity::Proxy));
/// assert!(!scratch.answers(Fidelity::Epochs(20)), "that is `Full`");
/// assert!(!Fidelities::full_only().answers(Fidelity::Epochs(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fidelities {
    /// Whether the evaluator supports [`Fidelity::Proxy`], a score that needs no training.
    pub proxy: bool,
    /// Whether the evaluator supports all trainings with at least one epoch that are shorter than the whole
    /// schedule.
    pub shorter: bool,
    /// Number of epochs with which [`Fidelity::Full`] trains a network. It is 0 if the evaluator trains no
    /// networks.
    pub full_epochs: u32,
}

impl Fidelities {
    /// Creates fidelities that contain only [`Fidelity::Full`], without training. Tables, formulas and shared
    /// weights are examples of such evaluators.
    #[must_use]
    pub const fn full_only() -> Self {
        Self { proxy: false, shorter: false, full_epochs: 0 }
    }

    /// Creates fidelities with a schedule of this many epochs and every shorter training. A shorter training
    /// consists of the first epochs of the schedule.
    #[must_use]
    pub const fn of_schedule(epochs: u32) -> Self {
        Self { proxy: false, shorter: true, full_epochs: epochs }
    }

    /// Adds support for [`Fidelity::Proxy`].
    #[must_use]
    pub const fn with_proxy(self) -> Self {
        Self { proxy: true, ..self }
    }

    /// Whether the evaluator supports this fidelity.
    #[must_use]
    pub const fn answers(self, fidelity: Fidelity) -> bool {
        match fidelity {
            Fidelity::Proxy => self.proxy,
            Fidelity::Epochs(epochs) => self.shorter && epochs > 0 && epochs < self.full_epochs,
            Fidelity::Full => true,
        }
    }

    /// Returns the number of epochs for which an evaluation trains a network.
    #[must_use]
    pub const fn epochs(self, fidelity: Fidelity) -> u32 {
        match fidelity {
            Fidelity::Proxy => 0,
            Fidelity::Epochs(epochs) => epochs,
            Fidelity::Full => self.full_epochs,
        }
    }

    /// Checks that the evaluator supports a fidelity. Evaluators call this method before each evaluation.
    ///
    /// # Errors
    /// [`UnansweredFidelity`] for an unsupported fidelity.
    pub const fn check(self, fidelity: Fidelity) -> Result<(), UnansweredFidelity> {
        if self.answers(fidelity) { Ok(()) } else { Err(UnansweredFidelity { fidelity, answered: self }) }
    }
}

/// The error for a fidelity that an evaluator does not support. The evaluator never replaces it with another
/// fidelity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the evaluator was asked for the fidelity `{fidelity}`; it answers {answered}")]
pub struct UnansweredFidelity {
    /// The requested fidelity.
    pub fidelity: Fidelity,
    /// The supported fidelities.
    pub answered: Fidelities,
}

impl fmt::Display for Fidelities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.proxy {
            f.write_str("zero-cost proxies, ")?;
        }
        match self.full_epochs {
            epochs @ 3.. if self.shorter => write!(f, "1 to {} epochs, ", epochs - 1)?,
            2 if self.shorter => f.write_str("1 epoch, ")?,
            _ => {}
        }
        match self.full_epochs {
            0 => f.write_str("full"),
            1 => f.write_str("full (1 epoch)"),
            epochs => write!(f, "full ({epochs} epochs)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_of_the_whole_schedule_are_not_a_fidelity_of_their_own() {
        let nine = Fidelities::of_schedule(9);
        let answered = |epochs| nine.answers(Fidelity::Epochs(epochs));
        assert_eq!([0, 1, 8, 9, 10].map(answered), [false, true, true, false, false]);
        assert!(nine.answers(Fidelity::Full) && !nine.answers(Fidelity::Proxy));
        assert_eq!([Fidelity::Proxy, Fidelity::Epochs(3), Fidelity::Full].map(|f| nine.epochs(f)), [0, 3, 9]);
        assert!(!Fidelities::of_schedule(1).answers(Fidelity::Epochs(1)));
    }

    #[test]
    fn qualifier_names_epochs_or_proxy_and_is_none_for_full() {
        let said = |fidelity: Fidelity, full| fidelity.qualifier(full).unwrap_or_default();
        assert_eq!(said(Fidelity::Epochs(1), 20), "after 1 of 20 epochs");
        assert_eq!(said(Fidelity::Epochs(1), 0), "after 1 epoch");
        assert_eq!(said(Fidelity::Proxy, 20), "by a zero-cost proxy");
        assert_eq!(Fidelity::Full.qualifier(20), None);
    }

    #[test]
    fn check_of_an_unanswered_fidelity_names_it_and_the_answered_ones() {
        let error = Fidelities::of_schedule(20).with_proxy().check(Fidelity::Epochs(30)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the evaluator was asked for the fidelity `30 epochs`; it answers zero-cost proxies, 1 to 19 \
             epochs, full (20 epochs)"
        );
        let said = |answered: Fidelities| answered.to_string();
        assert_eq!(said(Fidelities::full_only()), "full");
        assert_eq!(said(Fidelities::of_schedule(2)), "1 epoch, full (2 epochs)");
        assert_eq!(said(Fidelities::of_schedule(1).with_proxy()), "zero-cost proxies, full (1 epoch)");
    }
}
