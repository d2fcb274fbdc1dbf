//! A registry of engines by name.

use std::ops::{Deref, DerefMut};

use kiln_space::{Registry, Settings, SettingsError};

use crate::engine::{Engine, EngineBuilder};
use crate::local;
use crate::plan::{self, Plan};
use crate::{ray, slurm};

/// A registry of engines by name. Other programs can register their own.
///
/// # Example
/// ```
/// use kiln_engines::EngineRegistry;
/// use kiln_space::Settings;
/// use serde_json::json;
///
/// let table = json!({ "jobs": 2 });
/// let settings = Settings::new("engine", table.as_object().cloned().unwrap_or_default());
/// let built = EngineRegistry::builtin().build("local", &settings)?;
/// assert_eq!(built.plan.jobs, 2);
/// # Ok::<(), kiln_space::SettingsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct EngineRegistry(Registry<EngineBuilder>);

/// An engine, and how much it does at a time.
pub struct BuiltEngine {
    /// Runs all jobs except the training of a supernet.
    pub engine: Box<dyn Engine>,
    /// Runs the training of a supernet. Its settings are those of `[engine]`, and those of `training` replace
    /// some of them.
    pub training: Box<dyn Engine>,
    /// How many jobs run, and how often they are tried.
    pub plan: Plan,
}

impl EngineRegistry {
    /// Creates a registry with the engines of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("local", local::PART);
        registry.add("ray", ray::PART);
        registry.add("slurm", slurm::PART);
        registry
    }

    /// Builds the engine of this kind. Nothing is started.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown kind and for settings that the engine refuses.
    pub fn build(&self, kind: &str, settings: &Settings) -> Result<BuiltEngine, SettingsError> {
        let part = self.find(kind).map_err(|unknown| unknown.at(settings.key("kind")))?;
        let (plan, own) = Plan::read(settings)?;
        let engine = (part.build)(&own, &plan).map_err(|error| plan::with_keys(settings, error))?;
        // This job runs alone.
        let alone = Plan { jobs: 1, ..plan.clone() };
        let training = (part.build)(&plan.for_training(&own), &alone)?;
        Ok(BuiltEngine { engine, training, plan })
    }
}

impl Deref for EngineRegistry {
    type Target = Registry<EngineBuilder>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for EngineRegistry {
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
        Settings::new("engine", table)
    }

    #[test]
    fn every_registered_engine_is_described_and_builds_its_samples() {
        let registry = EngineRegistry::builtin();
        for (name, part) in registry.entries() {
            assert!(!part.doc.is_empty() && part.keys.is_some() && part.fixture.is_some(), "{name}");
        }
        for (name, settings) in registry.samples("engine") {
            assert!(registry.build(name, &settings).is_ok(), "{name}");
        }
    }

    #[test]
    fn build_refuses_unknown_names_and_wrong_values() {
        let refused = |kind: &str, table| {
            EngineRegistry::builtin().build(kind, &settings(table)).err().unwrap().to_string()
        };
        let message = refused("loca", json!({}));
        assert_eq!(message, "`engine.kind`: found `loca`, expected one of `local`, `ray`, `slurm`");
        for (table, key) in [
            (json!({ "jobs": 0 }), "jobs"),
            (json!({ "jobs": 10_001 }), "jobs"),
            (json!({ "trials_per_job": 0 }), "trials_per_job"),
            (json!({ "attempts": 0 }), "attempts"),
            (json!({ "memory_max_bytes": 0 }), "memory_max_bytes"),
            (json!({ "job": 1 }), "job"),
            (json!({ "training": 1 }), "training"),
            (json!({ "training": { "jobs": 1 } }), "training.jobs"),
            (json!({ "training": { "memory_max_bytes": 0 } }), "training.memory_max_bytes"),
        ] {
            let message = refused("local", table);
            assert!(message.starts_with(&format!("`engine.{key}`: ")), "{message}");
        }
    }
}
