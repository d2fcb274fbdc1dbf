//! A registry of trackers by name. The keys of `[track]` are these names.

use std::ops::{Deref, DerefMut};

use kiln_space::{Registry, Settings, SettingsError, SettingsProblem};

use crate::tracker::{Tracker, TrackerBuilder, TrackerSetting};
use crate::{mlflow, tensorboard};

/// A registry of trackers by name. Other programs can register their own.
///
/// # Example
/// ```
/// use kiln_space::Settings;
/// use kiln_trackers::TrackerRegistry;
/// use serde_json::json;
///
/// let table = json!({ "tensorboard": true });
/// let settings = Settings::new("track", table.as_object().cloned().unwrap_or_default());
/// let trackers = TrackerRegistry::builtin().build(&settings)?;
/// assert_eq!(trackers.len(), 1);
/// assert_eq!(trackers[0].name(), "tensorboard");
/// # Ok::<(), kiln_space::SettingsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrackerRegistry(Registry<TrackerBuilder>);

impl TrackerRegistry {
    /// Creates a registry with the trackers of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("mlflow", mlflow::PART);
        registry.add("tensorboard", tensorboard::PART);
        registry
    }

    /// Builds the trackers of a table `[track]`. Nothing is opened, written or sent.
    ///
    /// # Errors
    /// [`SettingsError`] for a name that is not registered and for a value that its tracker refuses.
    pub fn build(&self, settings: &Settings) -> Result<Vec<Box<dyn Tracker>>, SettingsError> {
        let mut trackers = Vec::new();
        for (name, value) in settings.table() {
            let key = settings.key(name);
            let part = self.find(name).map_err(|unknown| SettingsError {
                key: key.clone(),
                problem: SettingsProblem::UnknownKey { found: unknown.found, accepted: unknown.known },
            })?;
            trackers.extend((part.build)(TrackerSetting { key: &key, value })?);
        }
        Ok(trackers)
    }
}

impl Deref for TrackerRegistry {
    type Target = Registry<TrackerBuilder>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for TrackerRegistry {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(table: Value) -> Settings {
        let Value::Object(table) = table else { panic!("a table") };
        Settings::new("track", table)
    }

    #[test]
    fn every_registered_tracker_is_described_and_builds_its_samples() {
        let registry = TrackerRegistry::builtin();
        for (name, part) in registry.entries() {
            assert!(!part.doc.is_empty() && part.keys.is_some() && part.fixture.is_some(), "{name}");
        }
        for (name, settings) in registry.samples("track") {
            let built = registry.build(&settings).unwrap();
            assert!(built.iter().all(|tracker| tracker.name() == name));
        }
    }

    #[test]
    fn build_refuses_unknown_names_and_wrong_values() {
        let message = |table| TrackerRegistry::builtin().build(&settings(table)).err().unwrap().to_string();
        assert_eq!(
            message(json!({ "tensorbord": true })),
            "`track.tensorbord`: unknown field `tensorbord`, expected `mlflow` or `tensorboard`"
        );
        assert_eq!(
            message(json!({ "tensorboard": 1 })),
            "`track.tensorboard`: found `1`, expected `true` or `false`"
        );
    }

    #[test]
    fn empty_table_and_trackers_that_are_turned_off_track_nothing() {
        let registry = TrackerRegistry::builtin();
        for table in [json!({}), json!({ "tensorboard": false })] {
            assert!(registry.build(&settings(table)).unwrap().is_empty());
        }
    }
}
