//! The registry of kinds of data sets. Other programs can register their own.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use kiln_space::Registry;

use super::part::{DataBuilder, DataSample};
use super::{DataError, DataSet, Opening, new_examples};

/// The registry of kinds of data sets.
#[derive(Clone, Debug, Default)]
pub struct DataRegistry(Registry<DataBuilder, DataSample>);

impl DataRegistry {
    /// The built-in kinds.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("cifar", super::cifar::PART);
        registry.add("csv", super::csv_table::PART);
        registry.add("digits", super::digits::PART);
        registry.add("idx", super::idx::PART);
        registry.add("images", super::images::PART);
        registry.add("npy", super::npy::PART);
        registry
    }

    /// Opens a data set.
    ///
    /// # Errors
    /// [`DataError`] for an unknown kind, invalid settings, and missing or damaged files.
    pub fn open(&self, kind: &str, opening: &Opening<'_>) -> Result<Arc<DataSet>, DataError> {
        let part = self.find(kind).map_err(|unknown| unknown.at(opening.settings.key("kind")))?;
        let data = (part.build)(opening)?;
        let reading = new_examples::reading(kind, opening.settings, data.shape());
        Ok(Arc::new(data.with_reading(reading)))
    }
}

impl Deref for DataRegistry {
    type Target = Registry<DataBuilder, DataSample>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for DataRegistry {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::Settings;

    use super::*;
    use crate::data::testing;

    #[test]
    fn every_registered_data_set_obeys_the_laws() {
        for (kind, part) in DataRegistry::builtin().entries() {
            assert!(!part.doc.is_empty(), "`{kind}` needs a line of documentation");
            let sample = part.fixture.unwrap_or_else(|| panic!("`{kind}` is registered without a sample"));
            let folder = tempfile::tempdir().unwrap();
            for (name, bytes) in (sample.files)() {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let settings = Settings::new("data", serde_json::from_str(sample.settings).unwrap());
            testing::check_data_set(part.build, &settings, folder.path());
        }
    }
}
