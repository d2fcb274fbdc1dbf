//! A registry of named components, called parts. A config selects a part by its name. This crate registers
//! spaces. Other crates register cost models, strategies, exporters, evaluators and data sets.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Settings, SettingsError};

/// Sample settings with which tests check the laws of a part. Each sample is a JSON object.
pub type Samples = &'static [&'static str];

/// The entry of a part in a registry: description, builder, settings and test fixture. `B` is the type of the
/// builder function. `F` is the type of the test fixture.
///
/// # Example
/// ```
/// use kiln_space::Registration;
///
/// type Part = Registration<fn(f64) -> f64>;
/// const DOUBLE: Part = Part::new("twice as much", |value| 2.0 * value).tested_with(&["{}"]);
/// assert_eq!((DOUBLE.build)(3.0), 6.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Registration<B, F = Samples> {
    /// One-line description of the part.
    pub doc: &'static str,
    /// Builds the part.
    pub build: B,
    /// The part's settings, described by TOML texts. Each text maps keys to JSON schemas. `None` if the
    /// settings are not described.
    pub keys: Option<&'static [&'static str]>,
    /// The data that tests of the part need.
    pub fixture: Option<F>,
}

impl<B: Copy, F: Copy> Registration<B, F> {
    /// Creates a part without descriptions of settings and without a fixture.
    #[must_use]
    pub const fn new(doc: &'static str, build: B) -> Self {
        Self { doc, build, keys: None, fixture: None }
    }

    /// Returns this part with descriptions of its settings. An empty list means that the part has no
    /// settings.
    ///
    /// Each text maps keys to JSON schemas: `width = { type = "integer", description = "Units." }`.
    /// Schemas may refer to the definitions in `src/config/keys.toml`, as in `{ "$ref" = "#/$defs/count" }`.
    #[must_use]
    pub const fn with_keys(mut self, keys: &'static [&'static str]) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Returns this part with a fixture for tests of its laws.
    #[must_use]
    pub const fn tested_with(mut self, fixture: F) -> Self {
        self.fixture = Some(fixture);
        self
    }
}

/// A registry that maps names to parts of one kind. Other programs can register their own parts.
#[derive(Clone, Debug)]
pub struct Registry<B, F = Samples> {
    parts: BTreeMap<String, Registration<B, F>>,
}

impl<B, F> Default for Registry<B, F> {
    fn default() -> Self {
        Self { parts: BTreeMap::new() }
    }
}

impl<B: Copy, F: Copy> Registry<B, F> {
    /// Adds a part. Replaces the part that has this name, if any. `doc` is a one-line description.
    pub fn register(&mut self, name: impl Into<String>, doc: &'static str, build: B) {
        self.add(name, Registration::new(doc, build));
    }

    /// Adds a part with its described settings and its fixture. Replaces the part that has this name, if any.
    pub fn add(&mut self, name: impl Into<String>, part: Registration<B, F>) {
        self.parts.insert(name.into(), part);
    }

    /// Returns the part with this name.
    ///
    /// # Errors
    /// [`UnknownName`] with the known names.
    pub fn find(&self, name: &str) -> Result<&Registration<B, F>, UnknownName> {
        self.parts.get(name).ok_or_else(|| UnknownName {
            found: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }

    /// Returns all parts, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Registration<B, F>)> {
        self.parts.iter().map(|(name, part)| (name.as_str(), part))
    }

    /// Returns the names of all parts, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }
}

impl<B: Copy> Registry<B> {
    /// Returns each part's name together with each of its sample settings. The settings have the path `path`.
    /// A part without samples appears once, with empty settings.
    ///
    /// # Panics
    /// When a sample is not a JSON object.
    #[must_use]
    pub fn samples(&self, path: &str) -> Vec<(&str, Settings)> {
        let of = |(name, part)| {
            let samples = Registration::<B>::samples(part);
            samples.into_iter().map(move |table| (name, Settings::new(path, table)))
        };
        self.entries().flat_map(of).collect()
    }
}

impl<B> Registration<B> {
    fn samples(&self) -> Vec<Map<String, Value>> {
        let table = |text: &&str| {
            serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("{text} is no sample of settings: {error}"))
        };
        self.fixture.unwrap_or(&["{}"]).iter().map(table).collect()
    }
}

/// The error for a name that no part has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("found `{found}`, expected {}", self.expected())]
pub struct UnknownName {
    /// The name.
    pub found: String,
    /// Names of all parts, sorted.
    pub known: Vec<String>,
}

impl UnknownName {
    /// Returns a text that lists the known names, for error messages.
    #[must_use]
    pub fn expected(&self) -> String {
        let known: Vec<String> = self.known.iter().map(|name| format!("`{name}`")).collect();
        format!("one of {}", known.join(", "))
    }

    /// Converts this error to the error for the setting `key`, whose value is the unknown name.
    #[must_use]
    pub fn at(&self, key: impl Into<String>) -> SettingsError {
        SettingsError::value(key, format!("`{}`", self.found), &self.expected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Part = Registration<fn(u32) -> u32>;

    const HALF: Part = Part::new("half as much", |value| value / 2)
        .with_keys(&[r#"rounds = { type = "boolean" }"#])
        .tested_with(&["{}", r#"{ "rounds": true }"#]);

    fn registry() -> Registry<fn(u32) -> u32> {
        let mut registry = Registry::default();
        registry.register("twice", "twice as much", (|value| value * 2) as fn(u32) -> u32);
        registry.add("half", HALF);
        registry
    }

    #[test]
    fn find_gives_the_part_and_names_known_parts_otherwise() {
        let registry = registry();
        assert_eq!((registry.find("half").unwrap().build)(6), 3);
        assert_eq!(registry.find("half").unwrap().keys.unwrap().len(), 1);
        let unknown = registry.find("third").err().unwrap();
        let message = "found `third`, expected one of `half`, `twice`";
        assert_eq!(unknown.to_string(), message);
        assert_eq!(unknown.at("space.kind").to_string(), format!("`space.kind`: {message}"));
    }

    #[test]
    fn register_replaces_a_part_of_the_same_name() {
        let mut registry = registry();
        registry.register("half", "less", (|value| value - 1) as fn(u32) -> u32);
        let entries: Vec<_> = registry.entries().map(|(name, part)| (name, part.doc, part.keys)).collect();
        assert_eq!(entries, [("half", "less", None), ("twice", "twice as much", None)]);
        assert_eq!((registry.find("half").unwrap().build)(6), 5);
    }

    #[test]
    fn samples_of_a_part_without_a_fixture_are_an_empty_table() {
        let registry = registry();
        let samples = registry.samples("space");
        let names: Vec<(&str, usize)> =
            samples.iter().map(|(name, settings)| (*name, settings.table().len())).collect();
        assert_eq!(names, [("half", 0), ("half", 1), ("twice", 0)]);
        assert_eq!(samples[0].1.path(), "space");
    }
}
