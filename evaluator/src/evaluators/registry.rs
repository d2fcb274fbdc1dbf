//! The registry of evaluators.

use std::collections::BTreeMap;

use kiln_space::{Settings, SettingsError};

use crate::evaluators::context::{Built, Context};
use crate::evaluators::{proxy, scratch, supernet};

/// Builds an evaluator from `[evaluator]` and `[finish]`.
pub type EvaluatorBuilder = fn(&Settings, Option<&Settings>, Context) -> Result<Built, SettingsError>;

/// Evaluators that train networks, by name.
#[derive(Clone, Debug)]
pub struct EvaluatorRegistry {
    builders: BTreeMap<&'static str, EvaluatorBuilder>,
}

impl EvaluatorRegistry {
    /// The evaluators that come with Kiln.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self { builders: BTreeMap::new() };
        registry.register("supernet", supernet::build);
        registry.register("scratch", scratch::build);
        registry.register("naswot", proxy::build_naswot);
        registry.register("synflow", proxy::build_synflow);
        registry
    }

    /// Adds a kind, or replaces the kind of this name.
    pub fn register(&mut self, kind: &'static str, builder: EvaluatorBuilder) {
        self.builders.insert(kind, builder);
    }

    /// Known kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.builders.keys().copied()
    }

    /// Builds an evaluator. Nothing is trained or written yet.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown kind or impossible settings.
    pub fn build(
        &self,
        kind: &str,
        settings: &Settings,
        finish: Option<&Settings>,
        context: Context,
    ) -> Result<Built, SettingsError> {
        let builder = self.builders.get(kind).ok_or_else(|| {
            let known: Vec<&str> = self.kinds().collect();
            let expected = format!("one of `{}`", known.join("`, `"));
            SettingsError::value(settings.key("kind"), format!("`{kind}`"), &expected)
        })?;
        builder(settings, finish, context)
    }
}
