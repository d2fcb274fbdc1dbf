//! Describes problems with settings, as typed data. The messages use serde's wording, so serde's errors read
//! like the errors of a part.

use std::fmt;

use serde::de::{self, Expected, Unexpected};
use serde_json::Number;

/// A problem with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsProblem {
    /// The table has a key that is not accepted.
    UnknownKey {
        /// The key.
        found: String,
        /// The keys that the table may have.
        accepted: Vec<String>,
    },
    /// The name is not in the list of accepted names.
    UnknownName {
        /// The name.
        found: String,
        /// The accepted names.
        accepted: Vec<String>,
    },
    /// A required key is missing.
    MissingKey {
        /// The key.
        key: String,
    },
    /// The value does not fit the type into which it is deserialized.
    Mismatch {
        /// How the value does not fit.
        kind: Mismatch,
        /// The value that was found.
        found: Found,
        /// The expected type, or the accepted values.
        expected: String,
    },
    /// The part refuses the value.
    Value {
        /// The value that was found.
        found: String,
        /// The accepted values.
        expected: String,
    },
    /// The settings break a rule that involves several values. The sentence states the rule.
    Rule(String),
}

/// States how a value does not fit a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The value has another type.
    Type,
    /// The value has the right type, but it is not accepted.
    Value,
    /// The value is a list of the wrong length.
    Length,
}

/// The value that was found instead of the expected one, for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A table.
    Table,
    /// A list.
    List,
    /// A plain value, formatted as serde formats it.
    Plain(String),
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { found, accepted } if accepted.is_empty() => {
                write!(f, "unknown field `{found}`, there are no fields")
            }
            Self::UnknownKey { found, accepted } => {
                write!(f, "unknown field `{found}`, expected {}", one_of(accepted))
            }
            Self::UnknownName { found, accepted } => {
                write!(f, "unknown variant `{found}`, expected {}", one_of(accepted))
            }
            Self::MissingKey { key } => write!(f, "missing field `{key}`"),
            Self::Mismatch { kind, found, expected } => {
                let kind = match kind {
                    Mismatch::Type => "type:",
                    Mismatch::Value => "value:",
                    Mismatch::Length => "length",
                };
                write!(f, "invalid {kind} {found}, expected {expected}")
            }
            Self::Value { found, expected } => write!(f, "found {found}, expected {expected}"),
            Self::Rule(sentence) => f.write_str(sentence),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => f.write_str("map"),
            Self::List => f.write_str("sequence"),
            Self::Plain(value) => f.write_str(value),
        }
    }
}

impl std::error::Error for SettingsProblem {}

impl de::Error for SettingsProblem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Rule(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Mismatch { kind: Mismatch::Type, found: found.into(), expected: expected.to_string() }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Mismatch { kind: Mismatch::Value, found: found.into(), expected: expected.to_string() }
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let found = Found::Plain(length.to_string());
        Self::Mismatch { kind: Mismatch::Length, found, expected: expected.to_string() }
    }

    fn unknown_variant(found: &str, accepted: &'static [&'static str]) -> Self {
        Self::UnknownName { found: found.to_owned(), accepted: owned(accepted) }
    }

    fn unknown_field(found: &str, accepted: &'static [&'static str]) -> Self {
        Self::UnknownKey { found: found.to_owned(), accepted: owned(accepted) }
    }

    fn missing_field(key: &'static str) -> Self {
        Self::MissingKey { key: key.to_owned() }
    }
}

impl From<Unexpected<'_>> for Found {
    fn from(found: Unexpected<'_>) -> Self {
        match found {
            Unexpected::Map => Self::Table,
            Unexpected::Seq => Self::List,
            Unexpected::Unit => Self::Plain("null".to_owned()),
            Unexpected::Float(value) => {
                let shown =
                    Number::from_f64(value).map_or_else(|| value.to_string(), |number| number.to_string());
                Self::Plain(format!("floating point `{shown}`"))
            }
            plain => Self::Plain(plain.to_string()),
        }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Formats a list of names as serde does.
fn one_of(names: &[String]) -> String {
    match names {
        [one] => format!("`{one}`"),
        [one, other] => format!("`{one}` or `{other}`"),
        _ => format!("one of `{}`", names.join("`, `")),
    }
}
