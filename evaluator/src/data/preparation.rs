//! Settings that all kinds of data sets share: splits, augmentation, and the number of examples.

use kiln_space::{Settings, SettingsError, SettingsProblem};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::split::{self, Given, Sizes};
use super::{Augmentation, DataError, DataSet, Opening, RawData, ReadingRules, Targets};

/// Default fraction of the examples that is held out.
pub(super) const FIFTH: f64 = 0.2;
/// Default fraction for large data sets.
pub(super) const TENTH: f64 = 0.1;

/// Schema of the settings that all kinds of data sets share.
pub(super) const KEYS: &str = r##"
split_seed = { type = "integer", minimum = 0, description = "Draws other splits.", default = 0 }
limit = { "$ref" = "#/$defs/count", description = "Takes this many examples." }

[validation]
"$ref" = "#/$defs/share"
description = "Share of what is not tested on that judges networks during the search."
"##;
/// The schema of the setting `test`, for kinds with [`Offer::test`].
pub(super) const TEST_KEYS: &str = r##"
[test]
"$ref" = "#/$defs/share"
description = "Share that is held out for the test; 0.2 unless stated or in files of its own."
"##;
/// The schema of the setting `augment`, for kinds with [`Offer::augment`].
pub(super) const AUGMENT_KEYS: &str = r##"
augment = { "$ref" = "#/$defs/augment", description = "Random changes of training images." }
"##;

/// The settings in `[data]` that all kinds share.
#[derive(Clone, Debug)]
pub(super) struct Preparation {
    /// Fraction held out for testing. It is `None` if the data set has its own test split.
    pub(super) test: Option<f64>,
    validation: f64,
    /// The fraction for validation if the config contains it.
    pub(super) stated_validation: Option<f64>,
    split_seed: u64,
    augment: Augmentation,
    limit: Option<usize>,
    rules: ReadingRules,
}

/// The shared settings that a kind supports, and their defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Whether a fraction can be held out for testing.
    pub(super) test: bool,
    /// Whether training examples can be augmented.
    pub(super) augment: bool,
    /// Default fraction of the examples outside the test split on which networks are evaluated during the
    /// search.
    pub(super) validation: f64,
}

/// The shared settings as the config contains them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    test: Option<f64>,
    validation: Option<f64>,
    #[serde(default)]
    split_seed: u64,
    #[serde(default)]
    augment: Augmentation,
    limit: Option<usize>,
}

impl Offer {
    fn keys(self) -> Vec<&'static str> {
        let mut keys = vec!["validation", "split_seed", "limit"];
        keys.extend(self.augment.then_some("augment"));
        keys.extend(self.test.then_some("test"));
        keys
    }
}

impl Preparation {
    /// Reads a table. The shared settings are read here, and the remaining keys are read into the kind's own
    /// settings, which must refuse unknown keys.
    ///
    /// # Errors
    /// [`SettingsError`] with the key.
    pub(super) fn read<T: DeserializeOwned>(
        opening: &Opening<'_>,
        offer: Offer,
    ) -> Result<(T, Self), SettingsError> {
        let settings = opening.settings;
        let keys = offer.keys();
        let (mut own, mut rest) = (Map::new(), Map::new());
        for (key, value) in settings.table() {
            let table = if keys.contains(&key.as_str()) { &mut own } else { &mut rest };
            table.insert(key.clone(), value.clone());
        }
        let part = |table: Map<String, Value>| Settings::new(settings.path(), table);
        let read = part(rest).read().map_err(|error| with_keys(error, &keys))?;
        let Keys { test, validation, split_seed, augment, limit } = part(own).read()?;
        let stated_validation = validation;
        let validation = validation.unwrap_or(offer.validation);
        let preparation =
            Self { test, validation, stated_validation, split_seed, augment, limit, rules: opening.rules };
        preparation.check(settings)?;
        Ok((read, preparation))
    }

    /// Holds out a fifth for testing, unless the config states another fraction.
    pub(super) fn hold_out(&mut self) {
        self.test.get_or_insert(FIFTH);
    }

    fn check(&self, settings: &Settings) -> Result<(), SettingsError> {
        for (key, share) in [("test", self.test), ("validation", Some(self.validation))] {
            if let Some(share) = share
                && !(share > 0.0 && share < 0.9)
            {
                return Err(SettingsError::value(settings.key(key), share, "a share between 0 and 0.9"));
            }
        }
        if let Some(limit) = self.limit.filter(|limit| *limit < 2) {
            return Err(SettingsError::value(settings.key("limit"), limit, "at least 2"));
        }
        self.augment.check(settings)
    }

    /// Splits the data and builds the data set.
    ///
    /// # Errors
    /// [`DataError`] when a split has too few examples.
    pub(super) fn finish(&self, raw: RawData) -> Result<DataSet, DataError> {
        let splits = self.divide(&raw.targets, &raw.given);
        self.finish_divided(raw, splits)
    }

    /// Splits the examples by their targets. Readers that need the splits before they read inputs call this.
    pub(super) fn divide(&self, targets: &Targets, given: &Given) -> [Vec<u32>; 3] {
        split::divide_targets(targets, given, &self.sizes(), self.rules)
    }

    /// Builds the data set with these splits.
    ///
    /// # Errors
    /// [`DataError`] when a split has too few examples.
    pub(super) fn finish_divided(&self, raw: RawData, splits: [Vec<u32>; 3]) -> Result<DataSet, DataError> {
        DataSet::divided(raw, (splits, self.split_seed), self.augment, self.rules)
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            test: self.test.unwrap_or(0.0),
            validation: self.validation,
            seed: self.split_seed,
            limit: self.limit,
        }
    }
}

/// Adds the shared keys to the error for an unknown key, so that it lists all accepted keys.
fn with_keys(mut error: SettingsError, keys: &[&str]) -> SettingsError {
    if let SettingsProblem::UnknownKey { accepted, .. } = &mut error.problem {
        accepted.extend(keys.iter().map(|key| (*key).to_owned()));
    }
    error
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        file: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    const OFFER: Offer = Offer { test: false, augment: true, validation: TENTH };

    fn read<T: DeserializeOwned>(table: &Value) -> Result<(T, Preparation), String> {
        let settings = Settings::new("data", table.as_object().unwrap().clone());
        Preparation::read(&Opening::new(&settings, None), OFFER).map_err(|error| error.to_string())
    }

    #[test]
    fn read_splits_table_into_own_and_shared_settings() {
        let table = json!({ "file": "a", "limit": 9, "augment": { "shift": 2 } });
        let (own, mut preparation) = read::<Own>(&table).unwrap();
        assert_eq!((own.file.as_str(), preparation.limit, preparation.test), ("a", Some(9), None));
        assert!((preparation.validation - TENTH).abs() < 1e-12);
        preparation.hold_out();
        assert_eq!(preparation.test, Some(FIFTH));
    }

    #[test]
    fn read_errors_name_key_and_accepted_keys() {
        let unknown = read::<Own>(&json!({ "file": "a", "limmit": 9 })).err().unwrap();
        let expected = "`data.limmit`: unknown field `limmit`, expected one of `file`, `validation`, \
            `split_seed`, `limit`, `augment`";
        assert_eq!(unknown, expected);
        let unknown = read::<Nothing>(&json!({ "x": 9 })).err().unwrap();
        assert!(
            unknown.ends_with("expected one of `validation`, `split_seed`, `limit`, `augment`"),
            "{unknown}"
        );
        // `test` is not supported here.
        assert!(read::<Own>(&json!({ "file": "a", "test": 0.1 })).err().unwrap().contains("`data.test`"));
        assert!(read::<Own>(&json!({})).err().unwrap().contains("missing field `file`"));
        for (key, value) in [("limit", json!(1)), ("validation", json!(0.9)), ("split_seed", json!(-1))] {
            let mut table = json!({ "file": "a" });
            table[key] = value;
            let refused = read::<Own>(&table).err().unwrap();
            assert!(refused.starts_with(&format!("`data.{key}`")), "{refused}");
        }
        let nested = read::<Own>(&json!({ "file": "a", "augment": { "shif": 1 } })).err().unwrap();
        assert!(nested.starts_with("`data.augment.shif`: unknown field `shif`"), "{nested}");
        assert!(!nested.contains("`limit`"), "{nested}");
    }
}
