//! The grammar of recipes: `name[-value][:key=value[;key=value]]`. `+` combines recipes, `,` separates
//! combinations.

use kiln_space::Settings;
use serde_json::{Map, Value};

use super::error::CompressionError;
use super::recipe::{Recipe, Teaching};
use super::registry::{N_OF_M, RecipeRegistry};

/// Maximum length of the name of a compressed network's folder.
const LONGEST_FOLDER: usize = 150;

/// Recipes that are applied one after another.
pub struct Combination {
    text: String,
    pub(super) recipes: Vec<(String, Box<dyn Recipe>)>,
}

impl Combination {
    /// The combination as it was written, such as `structured-0.5+qat-int8`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the folder with the compressed network: the text, with `_` for characters that file names
    /// of some systems cannot have. Long texts are cut, and end with a hash.
    #[must_use]
    pub fn folder(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "+-.=".contains(c) { c } else { '_' };
        let name: String = self.text.chars().map(plain).collect();
        if name.len() <= LONGEST_FOLDER {
            return name;
        }
        let hash = blake3::hash(self.text.as_bytes()).to_hex();
        format!("{}-{}", &name[..LONGEST_FOLDER - 17], &hash[..16])
    }

    /// How the combination's retrainings are taught, if one of its recipes brings a teacher.
    pub(super) fn teaching(&self) -> Option<&Teaching> {
        self.recipes.iter().find_map(|(_, recipe)| recipe.teaching())
    }

    /// Whether the largest subnet of the study's supernet teaches.
    #[must_use]
    pub fn needs_supernet(&self) -> bool {
        self.teaching().is_some_and(|teaching| teaching.teacher == super::teachers::SUPERNET)
    }

    /// Versions of the recipes' algorithms, as text. Empty if all are the first ones.
    pub(super) fn versions(&self) -> String {
        let versions: Vec<String> =
            self.recipes.iter().map(|(_, recipe)| recipe.version().to_string()).collect();
        if versions.iter().all(|version| version == "1") { String::new() } else { versions.join(",") }
    }

    /// Number of passes over the training split, if the finish stage makes `epochs` passes.
    #[must_use]
    pub fn epochs(&self, epochs: u32) -> u32 {
        self.recipes.iter().map(|(_, recipe)| recipe.epochs(epochs)).sum()
    }
}

impl std::fmt::Debug for Combination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Combination").field("text", &self.text).finish_non_exhaustive()
    }
}

impl RecipeRegistry {
    /// Reads a list of recipes, such as `ptq-int8,structured-0.5+qat-int8:epochs=4`.
    ///
    /// # Errors
    /// [`CompressionError`] with the recipe that is unknown, named twice, or refuses its settings.
    pub fn read_list(&self, list: &str) -> Result<Vec<Combination>, CompressionError> {
        let mut combinations: Vec<Combination> = Vec::new();
        for text in list.split(',').map(str::trim) {
            let combination = self.read(text).map_err(|error| match error {
                CompressionError::NoRecipe { .. } => CompressionError::NoRecipe { list: list.to_owned() },
                error => error,
            })?;
            if combinations.iter().any(|known| known.folder() == combination.folder()) {
                return Err(CompressionError::Twice { recipe: text.to_owned() });
            }
            combinations.push(combination);
        }
        Ok(combinations)
    }

    /// Reads one combination of recipes.
    ///
    /// # Errors
    /// The same as for [`RecipeRegistry::read_list`].
    pub fn read(&self, text: &str) -> Result<Combination, CompressionError> {
        let one = |text: &str| Ok((text.to_owned(), self.read_one(text)?));
        let recipes =
            text.split('+').map(str::trim).map(one).collect::<Result<Vec<_>, CompressionError>>()?;
        let teachers = recipes.iter().filter(|(_, recipe)| recipe.teaching().is_some()).count();
        if teachers > 1 {
            return Err(CompressionError::Twice { recipe: "distill".to_owned() });
        }
        Ok(Combination { text: text.to_owned(), recipes })
    }

    fn read_one(&self, text: &str) -> Result<Box<dyn Recipe>, CompressionError> {
        if text.is_empty() {
            return Err(CompressionError::NoRecipe { list: text.to_owned() });
        }
        let (name, value, rest) = self.split(text);
        let part = self.find(name).map_err(CompressionError::UnknownRecipe)?;
        let mut table = Map::new();
        for setting in rest.split(';').filter(|setting| !setting.is_empty()) {
            let not_a_setting =
                || CompressionError::NotASetting { recipe: text.to_owned(), found: setting.to_owned() };
            let (key, value) = setting.split_once('=').ok_or_else(not_a_setting)?;
            table.insert(key.trim().to_owned(), scalar(value.trim()));
        }
        let settings = Settings::new("", table);
        (part.build)(value, &settings)
            .map_err(|problem| CompressionError::Settings { recipe: text.to_owned(), problem })
    }

    /// Splits a recipe into name, value and settings.
    fn split<'a>(&self, text: &'a str) -> (&'a str, Option<&'a str>, &'a str) {
        // The pattern of `2:4` contains the character before settings.
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let first = digits(text);
        if first > 0 && text[first..].starts_with(':') {
            let second = digits(&text[first + 1..]);
            let end = first + 1 + second;
            if second > 0 {
                return (N_OF_M, Some(&text[..end]), text[end..].trim_start_matches(':'));
            }
        }
        let (head, settings) = text.split_once(':').unwrap_or((text, ""));
        if self.find(head).is_ok() {
            return (head, None, settings);
        }
        match head.rsplit_once('-') {
            Some((name, value)) if self.find(name).is_ok() => (name, Some(value), settings),
            _ => (head, None, settings),
        }
    }
}

/// Reads a value of a setting: a number, `true` or `false`, or a text.
fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => {
            let whole = text.parse::<i64>().ok().map(Value::from);
            let number = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from);
            whole.or_else(number).unwrap_or_else(|| Value::String(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(list: &str) -> String {
        RecipeRegistry::builtin().read_list(list).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn lists_are_split_into_combinations_with_names_values_and_settings() {
        let registry = RecipeRegistry::builtin();
        let list = "ptq-int8:max-loss=0.3,unstructured-0.7+distill:temperature=2;share=0.7,2:4,2:4:epochs=3";
        let combinations = registry.read_list(list).unwrap();
        let texts: Vec<&str> = combinations.iter().map(Combination::text).collect();
        assert_eq!(texts, list.split(',').collect::<Vec<_>>());
        let folders: Vec<String> = combinations.iter().map(Combination::folder).collect();
        let expected = [
            "ptq-int8_max-loss=0.3",
            "unstructured-0.7+distill_temperature=2_share=0.7",
            "2_4",
            "2_4_epochs=3",
        ];
        assert_eq!(folders, expected);
        let teaching = combinations[1].teaching().unwrap();
        assert_eq!((teaching.teacher.as_str(), teaching.temperature), ("uncompressed", 2.0));
        let taught = registry.read("2:4+distill:teacher=supernet").unwrap();
        assert!(taught.needs_supernet() && !combinations[1].needs_supernet());
        let versions = |text: &str| registry.read(text).unwrap().versions();
        // A version of 1 is not part of the identity of results, as in builds that had no versions.
        assert_eq!((versions("2:4").as_str(), versions("2:4+qat-int8").as_str()), ("", "1,2"));
        assert_eq!(registry.split("unstructured-0.7"), ("unstructured", Some("0.7"), ""));
        assert_eq!(registry.split("qat-int8:epochs=2"), ("qat-int8", None, "epochs=2"));
        assert_eq!(registry.split("2:4:epochs=3"), (N_OF_M, Some("2:4"), "epochs=3"));
    }

    #[test]
    fn mistakes_name_the_recipe_and_what_was_expected() {
        assert!(refused("ptq-int8,,f16").contains("`ptq-int8,,f16`: a recipe is missing"));
        assert!(refused("pqt-int8").contains("found `pqt-int8`, expected one of"));
        assert!(refused("ptq-int8,ptq-int8").contains("named twice"));
        assert!(refused("distill+distill:share=0.2").contains("named twice"));
        assert!(refused("ptq-int8:max-loss").contains("found `max-loss`, expected `key=value`"));
        assert!(refused("ptq-int8:max_los=1").contains("unknown field `max_los`"));
        for share in ["unstructured-1", "unstructured-1.0", "unstructured-100", "unstructured", "2:2", "0:4"]
        {
            assert!(refused(share).contains("expected"), "{share}: {}", refused(share));
        }
        assert!(refused("ptq-int8-3").contains("no value"), "{}", refused("ptq-int8-3"));
    }
}
