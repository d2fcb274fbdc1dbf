//! Which kinds of data sets there are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kiln_space::{Settings, SettingsError};

use super::split::Sizes;
use super::{Augmentation, DataError, DataSet, RawData, cifar, csv_table, digits, idx, images, npy};

/// Opens a data set from its settings and the folder given on the command line.
pub type DataBuilder = fn(&Settings, Option<&Path>) -> Result<DataSet, DataError>;

/// Kinds of data sets by name.
#[derive(Clone, Debug)]
pub struct DataRegistry {
    builders: BTreeMap<&'static str, DataBuilder>,
}

impl DataRegistry {
    /// The kinds that come with Kiln.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self { builders: BTreeMap::new() };
        registry.register("cifar", cifar::open);
        registry.register("csv", csv_table::open);
        registry.register("digits", digits::open);
        registry.register("idx", idx::open);
        registry.register("images", images::open);
        registry.register("npy", npy::open);
        registry
    }

    /// Adds a kind, or replaces one.
    pub fn register(&mut self, kind: &'static str, builder: DataBuilder) {
        self.builders.insert(kind, builder);
    }

    /// Known kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.builders.keys().copied()
    }

    /// Opens a data set.
    ///
    /// # Errors
    /// [`DataError`] for an unknown kind, impossible settings, and files that are missing or damaged.
    pub fn open(
        &self,
        kind: &str,
        settings: &Settings,
        folder: Option<&Path>,
    ) -> Result<Arc<DataSet>, DataError> {
        let builder = self.builders.get(kind).ok_or_else(|| {
            let known: Vec<&str> = self.kinds().collect();
            let expected = format!("one of `{}`", known.join("`, `"));
            SettingsError::value(settings.key("kind"), format!("`{kind}`"), &expected)
        })?;
        Ok(Arc::new(builder(settings, folder)?))
    }
}

/// Settings that every data set has.
pub(super) struct Common {
    pub(super) test: Option<f64>,
    pub(super) validation: f64,
    pub(super) split_seed: u64,
    pub(super) augment: Augmentation,
    pub(super) limit: Option<usize>,
}

impl Common {
    pub(super) const fn fifth() -> f64 {
        0.2
    }

    pub(super) const fn tenth() -> f64 {
        0.1
    }

    pub(super) fn check(&self, settings: &Settings) -> Result<(), SettingsError> {
        for (key, share) in [("test", self.test), ("validation", Some(self.validation))] {
            if let Some(share) = share
                && !(share > 0.0 && share < 0.9)
            {
                return Err(SettingsError::value(settings.key(key), share, "a share between 0 and 0.9"));
            }
        }
        if self.limit.is_some_and(|limit| limit < 2) {
            return Err(SettingsError::value(settings.key("limit"), self.limit.unwrap_or(0), "at least 2"));
        }
        self.augment.check(settings)
    }

    pub(super) fn finish(&self, raw: RawData) -> Result<DataSet, DataError> {
        let sizes = Sizes {
            test: self.test.unwrap_or(0.0),
            validation: self.validation,
            seed: self.split_seed,
            limit: self.limit,
        };
        DataSet::new(raw, &sizes, self.augment)
    }
}
