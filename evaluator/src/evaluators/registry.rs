//! The registry of evaluators that train networks. Other programs can register their own.

use std::ops::{Deref, DerefMut};

use kiln_space::{Registry, Settings, SettingsError};

use crate::evaluators::context::{Built, Context, EvaluatorBuilder};

/// The registry of evaluators that train networks.
#[derive(Clone, Debug, Default)]
pub struct EvaluatorRegistry(Registry<EvaluatorBuilder>);

impl EvaluatorRegistry {
    /// The evaluators that come with Kiln.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("command", super::command::PART);
        registry.add("naswot", super::proxy::NASWOT);
        registry.add("scratch", super::scratch::PART);
        registry.add("supernet", super::supernet::PART);
        registry.add("synflow", super::proxy::SYNFLOW);
        registry
    }

    /// Builds an evaluator. Building trains nothing and writes nothing.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown kind or invalid settings.
    pub fn build(
        &self,
        kind: &str,
        settings: &Settings,
        finish: Option<&Settings>,
        context: Context,
    ) -> Result<Built, SettingsError> {
        let part = self.find(kind).map_err(|unknown| unknown.at(settings.key("kind")))?;
        (part.build)(settings, finish, context)
    }
}

impl Deref for EvaluatorRegistry {
    type Target = Registry<EvaluatorBuilder>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for EvaluatorRegistry {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
