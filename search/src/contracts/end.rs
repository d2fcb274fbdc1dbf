//! The reason why a search ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::trials::TrialId;

/// The reason why a search ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum SearchEnd {
    /// All trials of the budget were reported to the strategy.
    Trials,
    /// The budget of hours is used up.
    Hours,
    /// The budget of epochs is used up.
    Epochs {
        /// Epochs that trials have trained for.
        epochs: u64,
    },
    /// A trial reached the target.
    Target {
        /// The trial that reached the target.
        trial: TrialId,
    },
    /// Every feasible network of the space has been evaluated.
    Exhausted {
        /// Number of feasible networks.
        networks: u64,
    },
    /// The strategy has nothing more to propose.
    Strategy {
        /// Number of feasible networks that were not tried. `None` if the space is too large to enumerate.
        left: Option<u64>,
        /// The reason that the strategy reports, if it reports one.
        why: Option<String>,
    },
}

impl fmt::Display for SearchEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trials => f.write_str("all trials are done"),
            Self::Hours => f.write_str("the hours are used up"),
            Self::Epochs { epochs } => write!(f, "{epochs} epochs are used up"),
            Self::Target { trial } => write!(f, "trial {trial} reached the target"),
            Self::Exhausted { networks: 1 } => {
                f.write_str("the only network of the space that meets the limits was tried")
            }
            Self::Exhausted { networks } => {
                write!(f, "the space is exhausted: all {networks} networks that meet the limits were tried")
            }
            Self::Strategy { left, why } => {
                f.write_str("the strategy has nothing left to propose")?;
                if let Some(left) = left {
                    write!(f, "; {left} networks that meet the limits were not tried")?;
                } else {
                    f.write_str("; it found no network that is new and meets the limits")?;
                }
                why.as_ref().map_or(Ok(()), |why| write!(f, " ({why})"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_ends_survive_serialization_and_read_well() {
        let ends = [
            SearchEnd::Trials,
            SearchEnd::Hours,
            SearchEnd::Epochs { epochs: 40 },
            SearchEnd::Target { trial: 3 },
            SearchEnd::Exhausted { networks: 6 },
            SearchEnd::Strategy { left: Some(2), why: Some("it has converged".to_owned()) },
        ];
        for end in &ends {
            let text = serde_json::to_string(end).unwrap();
            assert_eq!(&serde_json::from_str::<SearchEnd>(&text).unwrap(), end, "{text}");
        }
        assert_eq!(
            ends[5].to_string(),
            "the strategy has nothing left to propose; 2 networks that meet the limits were not tried (it \
             has converged)"
        );
        assert!(ends[4].to_string().starts_with("the space is exhausted: all 6 networks"));
    }
}
