//! The registry of recipes.

use kiln_space::{Registry, UnknownName};

use super::recipe::{RecipeBuilder, RecipePart};
use super::recipes;

/// The registry name of the recipe that is written as its pattern, such as `2:4`.
pub(crate) const N_OF_M: &str = "n:m";

/// The recipes that compress finished networks.
///
/// # Example
/// ```
/// use kiln_evaluator::RecipeRegistry;
///
/// let registry = RecipeRegistry::builtin();
/// let combinations = registry.read_list("ptq-int8,unstructured-0.7+qat-int8:epochs=4")?;
/// assert_eq!(combinations[1].text(), "unstructured-0.7+qat-int8:epochs=4");
/// assert!(registry.read_list("ptq-int7").is_err());
/// # Ok::<(), kiln_evaluator::CompressionError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecipeRegistry(Registry<RecipeBuilder>);

impl RecipeRegistry {
    /// The recipes that come with Kiln.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.0.add("codebook", recipes::codebook::PART);
        registry.0.add("distill", recipes::distill::PART);
        registry.0.add("f16", recipes::f16::PART);
        registry.0.add("int4", recipes::post_training::INT4);
        registry.0.add(N_OF_M, recipes::sparse::N_OF_M);
        registry.0.add("ptq-int8", recipes::post_training::INT8);
        registry.0.add("qat-int4", recipes::quantization_aware::INT4);
        registry.0.add("qat-int8", recipes::quantization_aware::INT8);
        registry.0.add("structured", recipes::structured::PART);
        registry.0.add("unstructured", recipes::sparse::UNSTRUCTURED);
        registry
    }

    /// Returns the name of every recipe with its description and the TOML texts that describe its settings,
    /// sorted by name.
    pub fn descriptions(&self) -> impl Iterator<Item = (&str, &'static str, &'static [&'static str])> {
        self.0.entries().map(|(name, part)| (name, part.doc, part.keys.unwrap_or_default()))
    }

    pub(super) fn find(&self, name: &str) -> Result<&RecipePart, UnknownName> {
        self.0.find(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_describes_itself_and_reads_its_samples() {
        let registry = RecipeRegistry::builtin();
        for (name, doc, keys) in registry.descriptions() {
            assert!(!doc.is_empty() && !keys.is_empty(), "`{name}` needs a description and its settings");
            let samples = registry.find(name).unwrap().fixture.unwrap_or_default();
            assert!(!samples.is_empty(), "`{name}` needs samples");
            for sample in samples {
                registry.read(sample).unwrap_or_else(|error| panic!("{sample}: {error}"));
            }
        }
    }
}
