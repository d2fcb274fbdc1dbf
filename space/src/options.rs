//! Settings that contain one value or a list of values.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, SeqAccess, Visitor};

use crate::{Settings, SettingsError};

/// Maximum number of options of a decision.
pub const OPTIONS_MAX: usize = 255;

/// The options that a user lists in a setting, as `3` or `[3, 5, 7]`. A single value fixes the property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options<T>(pub Vec<T>);

impl<T: PartialEq + fmt::Display> Options<T> {
    /// Checks that there are 1 to 255 distinct values and that `accepts` returns `true` for each. `key` is
    /// relative to the path of `settings`.
    ///
    /// # Errors
    /// [`SettingsError`] that names the key and the value.
    pub fn check(
        &self,
        settings: &Settings,
        key: &str,
        expected: &str,
        accepts: impl Fn(&T) -> bool,
    ) -> Result<(), SettingsError> {
        let refuse =
            |found: String, expected: &str| Err(SettingsError::value(settings.key(key), found, expected));
        if self.0.is_empty() || self.0.len() > OPTIONS_MAX {
            return refuse(format!("{} values", self.0.len()), "1 to 255 values");
        }
        for (index, value) in self.0.iter().enumerate() {
            if !accepts(value) {
                return refuse(format!("`{value}`"), expected);
            }
            if self.0[..index].contains(value) {
                return refuse(format!("`{value}` twice"), "each value once");
            }
        }
        Ok(())
    }
}

impl<T> From<T> for Options<T> {
    fn from(value: T) -> Self {
        Self(vec![value])
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Options<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

/// Deserializes a single value as `T`, so that errors state what `T` accepts.
struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Options<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value or a list of values")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Options::from)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Options::from)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Options::from)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Options::from)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Options::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(values)).map(Options)
    }
}
