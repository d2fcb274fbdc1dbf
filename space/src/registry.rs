//! Search spaces by name, built from the settings of a `[space]` table.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::spaces::{mlp, nasbench_macro, nasbench201, stages};
use crate::{SearchSpace, Settings, SettingsError, Shape};

/// The task of a network: the shape of one input example and the number of outputs (classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Shape of one example.
    pub input: Shape,
    /// Outputs of the network.
    pub outputs: usize,
}

/// Builds a space from its settings. The task is that of the study's data, or `None` without data.
pub type SpaceBuilder = fn(&Settings, Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError>;

/// Search spaces by name. Other programs can register their own.
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
pub struct SpaceRegistry {
    spaces: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    doc: &'static str,
    build: SpaceBuilder,
}

impl SpaceRegistry {
    /// The spaces of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.register("stages", "stages of convolution blocks, described in the config", stages::build);
        registry.register("mlp", "fully connected layers", mlp::build);
        registry.register("nasbench201", "the NAS-Bench-201 cell: 6 edges, 5 operations", nasbench201::build);
        registry.register("nasbench_macro", "NAS-Bench-Macro: 8 blocks, 3 choices", nasbench_macro::build);
        registry
    }

    /// Adds a space or replaces the one with this name. `doc` is a one-line description.
    pub fn register(&mut self, name: impl Into<String>, doc: &'static str, build: SpaceBuilder) {
        self.spaces.insert(name.into(), Entry { doc, build });
    }

    /// Name and one-line description of each space, sorted by name.
    pub fn spaces(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.spaces.iter().map(|(name, entry)| (name.as_str(), entry.doc))
    }

    /// Builds the space of this kind. `task` is the task of the study's data. Without data, spaces that need
    /// a task read the settings `input` and `outputs`.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown kind (the error lists the known ones) and for settings that the space
    /// refuses.
    pub fn build(
        &self,
        kind: &str,
        settings: &Settings,
        task: Option<Task>,
    ) -> Result<Arc<dyn SearchSpace>, SettingsError> {
        let Some(entry) = self.spaces.get(kind) else {
            let known = self.spaces.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let key = settings.key("kind");
            return Err(SettingsError::value(key, format!("`{kind}`"), &format!("one of {known}")));
        };
        (entry.build)(settings, task)
    }
}

impl Task {
    /// The task of the data or, without data, of the settings `input` and `outputs`.
    ///
    /// # Errors
    /// [`SettingsError`] when both are missing, when they differ, or when a size is out of range.
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

    /// Settings under which the laws are checked. Every registered space needs some.
    fn cases(kind: &str) -> Vec<Value> {
        match kind {
            "stages" => vec![
                json!({ "stages": [{ "blocks": "conv", "width": 8 }] }),
                json!({
                    "stem": {
                        "width": [4, 8], "kernel": [3, 5], "stride": [1, 2], "activation": ["relu", "silu"]
                    },
                    "head": { "width": [0, 16, 32], "activation": ["relu", "gelu"] },
                    "stages": [
                        {
                            "blocks": ["conv", "separable", "mbconv", "residual", "identity"],
                            "depth": [1, 2, 4],
                            "width": [8, 4, 12],
                            "kernel": [3, 1, 7],
                            "expansion": [1, 2, 3],
                            "squeeze_excitation": [false, true],
                            "activation": ["relu", "hard_swish"],
                            "stride": [1, 2]
                        },
                        { "blocks": ["identity", "residual"], "depth": 3, "width": [8, 16], "stride": 2 },
                        { "blocks": "mbconv", "depth": [2, 3], "width": 16, "squeeze_excitation": true }
                    ]
                }),
                json!({
                    "stem": { "width": 4, "precision": ["int8", "f32"], "sparsity": [0.1, 0] },
                    "head": { "width": [0, 8], "precision": ["f32", "int8"], "sparsity": ["2:4", 0.9] },
                    "stages": [
                        { "blocks": ["separable", "identity"], "depth": [1, 3], "width": [4, 8],
                          "precision": ["f32", "int8"], "sparsity": [0, "1:4", "2:4"] },
                        { "blocks": ["residual", "mbconv"], "width": 6, "precision": "int8", "sparsity": 0.5 }
                    ]
                }),
                json!({
                    "head": { "width": 24 },
                    "stages": [
                        {
                            "blocks": ["mbconv", "identity"], "depth": [2, 5], "width": [6, 10],
                            "expansion": 1
                        }
                    ]
                }),
            ],
            "mlp" => vec![
                json!({ "layers": 1, "width": 4 }),
                json!({
                    "layers": [0, 1, 3],
                    "width": [4, 16],
                    "activation": ["relu", "tanh"],
                    "batch_norm": [false, true]
                }),
            ],
            "nasbench201" => vec![
                json!({ "channels": 4, "cells_per_stage": 1 }),
                json!({ "channels": 3, "cells_per_stage": 2, "merge_equal": false }),
            ],
            "nasbench_macro" => vec![json!({ "channels": 3 }), json!({ "merge_equal": false })],
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_registered_space_obeys_the_laws() {
        let registry = SpaceRegistry::builtin();
        let tasks = [(Shape::new(1, 8, 8), 10), (Shape::new(3, 12, 16), 3), (Shape::new(6, 1, 100), 4)];
        for (kind, doc) in registry.spaces() {
            assert!(!doc.is_empty());
            let cases = cases(kind);
            assert!(!cases.is_empty(), "no settings to test `{kind}` with");
            for table in &cases {
                let settings = settings(table.clone());
                for (seed, (input, outputs)) in tasks.into_iter().enumerate() {
                    if kind == "nasbench201" && input.height == 1 {
                        continue;
                    }
                    let task = Some(Task { input, outputs });
                    let space = registry.build(kind, &settings, task).unwrap();
                    check_space(space.as_ref(), 30, seed as u64);
                }
            }
        }
    }

    #[test]
    fn build_with_unknown_kind_lists_known_kinds() {
        let error = SpaceRegistry::builtin().build("stage", &settings(json!({})), None).err().unwrap();
        assert_eq!(
            error.to_string(),
            "`space.kind`: found `stage`, expected one of `mlp`, `nasbench201`, `nasbench_macro`, `stages`"
        );
    }

    #[test]
    fn registry_builds_space_registered_by_caller() {
        let mut registry = SpaceRegistry::builtin();
        registry.register("cell", "the cell under another name", nasbench201::build);
        let space = registry.build("cell", &settings(json!({})), None).unwrap();
        assert_eq!(space.decisions().len(), 6);
    }
}
