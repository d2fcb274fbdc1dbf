//! Kinds of data sets by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_space::SettingsError;

use super::{DataError, DataSet, Opening, cifar, csv_table, digits, idx, images, new_examples, npy};

/// Opens a data set from its settings and the folder given on the command line.
pub type DataBuilder = fn(&Opening<'_>) -> Result<DataSet, DataError>;

/// Kinds of data sets by name.
#[derive(Clone, Debug)]
pub struct DataRegistry {
    builders: BTreeMap<&'static str, DataBuilder>,
}

impl DataRegistry {
    /// The built-in kinds.
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

    /// Adds a kind, or replaces the one with this name.
    pub fn register(&mut self, kind: &'static str, builder: DataBuilder) {
        self.builders.insert(kind, builder);
    }

    /// Names of all kinds, sorted.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.builders.keys().copied()
    }

    /// Opens a data set.
    ///
    /// # Errors
    /// [`DataError`] for an unknown kind, impossible settings, and missing or damaged files.
    pub fn open(&self, kind: &str, opening: &Opening<'_>) -> Result<Arc<DataSet>, DataError> {
        let builder = self.builders.get(kind).ok_or_else(|| {
            let known: Vec<&str> = self.kinds().collect();
            let expected = format!("one of `{}`", known.join("`, `"));
            SettingsError::value(opening.settings.key("kind"), format!("`{kind}`"), &expected)
        })?;
        let data = builder(opening)?;
        let reading = new_examples::reading(kind, opening.settings, data.shape());
        Ok(Arc::new(data.with_reading(reading)))
    }
}
