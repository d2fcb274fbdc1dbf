//! A registry of search spaces by name. The settings of a `[space]` table configure a space.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::{Registration, Registry, SearchSpace, Settings, SettingsError, Shape, spaces};

/// The task of a network: the shape of one input example and the number of outputs (classes or predicted
/// values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Shape of one example.
    pub input: Shape,
    /// Number of outputs of the network.
    pub outputs: usize,
}

/// Builds a space from its settings. The task comes from the study's data and is `None` without data.
pub type SpaceBuilder = fn(&Settings, Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError>;

/// The registry entry of a search space.
pub type SpacePart = Registration<SpaceBuilder>;

/// Descriptions of the settings `input` and `outputs` for [`Registration::with_keys`]. [`Task::resolve`]
/// checks both settings.
pub const TASK_KEYS: &str = r##"
[input]
"$ref" = "#/$defs/shape"
description = "Channels, height and width of one example; those of the data unless stated."

[outputs]
"$ref" = "#/$defs/count"
description = "Outputs of the network; those of the data unless stated."
"##;

/// A registry of search spaces by name. Other programs can register their own.
///
/// # Example
/// ```
/// use kiln_space::{Settings, Shape, SpaceRegistry, Task};
/// use serde_json::json;
///
/// let settings = json!({ "layers": [1, 2], "width": [16, 32] });
/// let settings = Settings::new("space", settings.as_object().cloned().unwrap_or_default());
/// let task = Task { input: Shape::new(1, 8, 8), outputs: 10 };
/// let space = SpaceRegistry::builtin().build("mlp", &settings, Some(task))?;
/// assert_eq!(kiln_space::size::count(space.as_ref()), (2_u32 + 2 * 2).into());
/// # Ok::<(), kiln_space::SettingsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SpaceRegistry(Registry<SpaceBuilder>);

impl SpaceRegistry {
    /// Creates a registry with the spaces of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("mlp", spaces::mlp::PART);
        registry.add("nasbench201", spaces::nasbench201::PART);
        registry.add("nasbench_macro", spaces::nasbench_macro::PART);
        registry.add("stages", spaces::stages::PART);
        registry
    }

    /// Builds the space of this kind. `task` is the task of the study's data. Without data, a space that
    /// needs a task reads it from the settings `input` and `outputs`.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown kind and for settings that the space refuses. For an unknown kind,
    /// the error lists the known kinds.
    pub fn build(
        &self,
        kind: &str,
        settings: &Settings,
        task: Option<Task>,
    ) -> Result<Arc<dyn SearchSpace>, SettingsError> {
        let part = self.find(kind).map_err(|unknown| unknown.at(settings.key("kind")))?;
        (part.build)(settings, task)
    }
}

impl Deref for SpaceRegistry {
    type Target = Registry<SpaceBuilder>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for SpaceRegistry {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Task {
    /// Returns the task of the data. Without data, reads the task from the settings `input` and `outputs`.
    ///
    /// # Errors
    /// [`SettingsError`] when a setting contradicts the data, when a setting is missing and there is no data,
    /// or when a size is out of range.
    pub fn resolve(
        data: Option<Self>,
        settings: &Settings,
        input: Option<Shape>,
        outputs: Option<usize>,
    ) -> Result<Self, SettingsError> {
        let refuse = |key: &str, found: String, expected: &str| {
            Err(SettingsError::value(settings.key(key), found, expected))
        };
        if let Some(data) = data {
            if let Some(input) = input.filter(|input| *input != data.input) {
                let expected = format!("`{}` as in the data, or no such key", data.input);
                return refuse("input", format!("`{input}`"), &expected);
            }
            if let Some(outputs) = outputs.filter(|outputs| *outputs != data.outputs) {
                let expected = format!("`{}` as in the data, or no such key", data.outputs);
                return refuse("outputs", format!("`{outputs}`"), &expected);
            }
            return Ok(data);
        }
        let Some(input) = input else {
            return refuse(
                "input",
                "nothing".to_owned(),
                "`[channels, height, width]`, or data to take it from",
            );
        };
        let Some(outputs) = outputs else {
            return refuse("outputs", "nothing".to_owned(), "the number of classes, or data to take it from");
        };
        if !input.is_countable() {
            return refuse("input", format!("`{input}`"), "positive sizes whose product is at most 2^32");
        }
        if !(1..=1 << 20).contains(&outputs) {
            return refuse("outputs", format!("`{outputs}`"), "1 to 2^20");
        }
        Ok(Self { input, outputs })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::check_space;

    fn settings(table: Value) -> Settings {
        let Value::Object(table) = table else { panic!("a table") };
        Settings::new("space", table)
    }

    #[test]
    fn every_registered_space_obeys_the_laws() {
        let registry = SpaceRegistry::builtin();
        let tasks = [(Shape::new(1, 8, 8), 10), (Shape::new(3, 12, 16), 3), (Shape::new(6, 1, 100), 4)];
        let tasks = tasks.map(|(input, outputs)| Some(Task { input, outputs }));
        for (kind, settings) in registry.samples("space") {
            // A sample that states its task belongs to a space that does not accept every task. Do not build
            // it with other tasks.
            let tasks = if settings.table().contains_key("input") { &[None][..] } else { &tasks };
            for (seed, task) in tasks.iter().enumerate() {
                let space = registry.build(kind, &settings, *task);
                let space = space.unwrap_or_else(|error| panic!("{kind}, {:?}: {error}", settings.table()));
                check_space(space.as_ref(), 30, seed as u64);
            }
        }
    }

    #[test]
    fn every_registered_space_has_a_line_of_documentation() {
        assert!(SpaceRegistry::builtin().entries().all(|(_, part)| !part.doc.is_empty()));
    }

    #[test]
    fn build_with_unknown_kind_lists_known_kinds() {
        let registry = SpaceRegistry::builtin();
        let error = registry.build("stage", &settings(json!({})), None).err().unwrap().to_string();
        let known: Vec<String> = registry.names().map(|name| format!("`{name}`")).collect();
        assert_eq!(error, format!("`space.kind`: found `stage`, expected one of {}", known.join(", ")));
        assert!(known.len() >= 4 && known.is_sorted(), "{known:?}");
    }

    #[test]
    fn registry_builds_space_registered_by_caller() {
        let mut registry = SpaceRegistry::builtin();
        registry.register("cell", "the cell under another name", spaces::nasbench201::PART.build);
        let space = registry.build("cell", &settings(json!({})), None).unwrap();
        assert_eq!(space.decisions().len(), 6);
    }
}
