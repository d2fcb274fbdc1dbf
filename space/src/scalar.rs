//! Deserializes a setting that is a boolean, a number or a text.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// The value of a setting that is a boolean, a number or a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A boolean.
    Bool(bool),
    /// A number, with or without a decimal point.
    Number(f64),
    /// A text.
    Text(&'a str),
}

impl<'a> From<Scalar<'a>> for Unexpected<'a> {
    fn from(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Number(value) => Self::Float(value),
            Scalar::Text(value) => Self::Str(value),
        }
    }
}

/// Reads a setting with `read`. If the value is not `expected`, `read` returns `None`.
///
/// # Errors
/// An error that states the value found and what was `expected`.
pub fn deserialize_scalar<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    read: impl FnOnce(Scalar<'_>) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Scalars { expected, read })
}

struct Scalars<F> {
    expected: &'static str,
    read: F,
}

impl<F> Scalars<F> {
    fn read<T, E: Error>(self, scalar: Scalar<'_>) -> Result<T, E>
    where
        F: FnOnce(Scalar<'_>) -> Option<T>,
    {
        (self.read)(scalar).ok_or_else(|| E::invalid_value(scalar.into(), &self.expected))
    }
}

impl<T, F: FnOnce(Scalar<'_>) -> Option<T>> Visitor<'_> for Scalars<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.read(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.read(Scalar::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.read(Scalar::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        self.read(Scalar::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        self.read(Scalar::Text(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn deserialize_scalar_reads_numbers_and_texts_and_refuses_others() {
        let read = |value: Value| {
            let read = |scalar: Scalar<'_>| match scalar {
                Scalar::Bool(_) => None,
                Scalar::Number(value) => Some(value.to_string()),
                Scalar::Text(value) => Some(value.to_owned()),
            };
            deserialize_scalar(value, "a number or a text", read).map_err(|error| error.to_string())
        };
        for (value, expected) in [(json!(2), "2"), (json!(-2), "-2"), (json!(0.5), "0.5"), (json!("a"), "a")]
        {
            assert_eq!(read(value).as_deref(), Ok(expected));
        }
        assert_eq!(
            read(json!(true)).unwrap_err(),
            "invalid value: boolean `true`, expected a number or a text"
        );
        assert_eq!(read(json!([1])).unwrap_err(), "invalid type: sequence, expected a number or a text");
    }
}
