//! Describes which properties of a network may vary. A decision has a name and ordered options. A decision
//! may depend on an earlier decision.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ActivationKind, NumberFormat};

/// One property of a network that may vary. If the options have a natural order, they are listed in that
/// order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Unique name, such as `stage1.block0.kernel`.
    pub name: String,
    /// Between 1 and 255 options.
    pub options: Vec<Choice>,
    /// The condition under which the decision is active; `None` means always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_if: Option<Condition>,
}

/// An option of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Choice {
    /// On or off.
    Flag(bool),
    /// A count or size.
    Int(i64),
    /// A continuous quantity.
    Real(f64),
    /// The name of a kind, such as an activation.
    Text(String),
}

impl Choice {
    /// Returns the option as a number. Returns 0 or 1 for a flag, and `None` for a text.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Flag(flag) => Some(f64::from(u8::from(*flag))),
            Self::Int(int) => Some(*int as f64),
            Self::Real(real) => Some(*real),
            Self::Text(_) => None,
        }
    }
}

impl From<bool> for Choice {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<usize> for Choice {
    fn from(size: usize) -> Self {
        Self::Int(size as i64)
    }
}

impl From<&str> for Choice {
    fn from(kind: &str) -> Self {
        Self::Text(kind.to_owned())
    }
}

impl From<ActivationKind> for Choice {
    fn from(kind: ActivationKind) -> Self {
        kind.name().into()
    }
}

impl From<NumberFormat> for Choice {
    fn from(format: NumberFormat) -> Self {
        format.name().into()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Int(int) => int.fmt(f),
            Self::Real(real) => real.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// A condition on an earlier decision. The condition is true if the earlier decision is active and has one of
/// the given options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Index of the earlier decision.
    pub decision: usize,
    /// Indices of the options under which the condition is true.
    pub any_of: Vec<u8>,
}
