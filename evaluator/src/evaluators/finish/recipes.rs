//! Compresses finished networks by the recipes of `[finish]`.

use std::path::Path;

use kiln_export::CompressedRecord;
use kiln_files::make_folder;
use kiln_search::{EvalError, Progress, RunPaths, TrialId};
use kiln_space::{Settings, SettingsError};

use crate::compression::compressor::Compressor;
use crate::compression::error::CompressionError;
use crate::compression::grammar::Combination;
use crate::compression::record::Compressed;
use crate::compression::registry::RecipeRegistry;

/// Maximum size in bytes of a file of a compressed network.
const LONGEST_BYTES: u64 = 16 << 30;

/// The compressed forms of a network, and their files relative to the network's folder.
pub(super) struct Recipes {
    /// Each with the name of its folder.
    pub(super) records: Vec<(String, Compressed)>,
    pub(super) files: Vec<String>,
}

/// Reads the setting `recipes`.
///
/// # Errors
/// [`SettingsError`] for an unknown recipe, settings that it refuses, a recipe that is named twice, and a
/// teacher that the study does not have.
pub(super) fn read(
    stated: &[String],
    settings: &Settings,
    has_supernet: bool,
) -> Result<Vec<Combination>, SettingsError> {
    let registry = RecipeRegistry::builtin();
    let mut recipes: Vec<Combination> = Vec::new();
    for (index, text) in stated.iter().enumerate() {
        let key = settings.key(&format!("recipes.{index}"));
        let recipe = registry.read(text).map_err(|error| match error {
            CompressionError::UnknownRecipe(unknown) => unknown.at(&key),
            error => SettingsError::rule(&key, error.to_string()),
        })?;
        if recipes.iter().any(|known| known.folder() == recipe.folder()) {
            return Err(SettingsError::value(key, format!("`{text}` again"), "each recipe once"));
        }
        if recipe.needs_supernet() && !has_supernet {
            return Err(SettingsError::rule(key, CompressionError::NoSupernet.to_string()));
        }
        recipes.push(recipe);
    }
    Ok(recipes)
}

/// Compresses a network by each recipe, and copies the files into the network's folder. Results are kept
/// beside the network's checkpoints until the network is recorded in the journal, so that an interrupted
/// study does not repeat a finished recipe.
pub(super) fn apply(
    (compressor, recipes): (&Compressor, &[Combination]),
    model: &kiln_export::TrainedModel,
    (run, trial): (&Path, TrialId),
    into: &Path,
    progress: &dyn Progress,
) -> Result<Recipes, EvalError> {
    let kept = RunPaths::new(run).training(trial).join("recipes");
    let mut done = Recipes { records: Vec::new(), files: Vec::new() };
    for recipe in recipes {
        let name = recipe.folder();
        let place = kept.join(&name);
        let training = kept.join(format!("{name}.training"));
        let record = compressor.compress(model, recipe, (&place, &training), progress);
        let record = record.map_err(|error| match error {
            CompressionError::Eval(error) => error,
            error => EvalError::Export { trial, source: Box::new(error) },
        })?;
        for file in record.file_names() {
            let to = into.join(&name).join(&file);
            make_folder(to.parent().unwrap_or(into))?;
            kiln_files::write(&to, &kiln_files::read(&place.join(&file), LONGEST_BYTES)?)?;
            done.files.push(format!("{name}/{file}"));
        }
        done.records.push((name, record));
    }
    Ok(done)
}

/// The entry in the model card for the result of a recipe.
pub(super) fn entry(folder: &str, record: &Compressed) -> CompressedRecord {
    CompressedRecord {
        recipe: record.recipe.clone(),
        file: record.file.as_ref().map(|file| format!("{folder}/{file}")),
        file_bytes: record.file_bytes,
        weight_bytes: record.weight_bytes,
        macs: record.macs,
        metrics: record.metrics.clone(),
    }
}
