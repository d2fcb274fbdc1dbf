//! The model files that a runtime loads.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;

use kiln_evaluator::with_random_weights;
use kiln_export::{ExportError, Exporter, Onnx, TrainedModel};
use kiln_files::make_folder;
use kiln_space::Architecture;

use super::journal::{Place, refused};
use crate::exit::Failure;
use crate::output;

/// The path of each network's file, in a form that does not depend on the current folder.
pub(super) fn paths(place: &Place, format: &str, networks: usize) -> Vec<PathBuf> {
    let folder = folder(place);
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    (0..networks).map(|network| folder.join(format!("{network}.{format}"))).collect()
}

fn folder(place: &Place) -> PathBuf {
    place.folder().join("networks")
}

/// Writes the networks that have no file yet. One that cannot be written in this format gets none, so the
/// runtime fails to load it, as one that the runtime does not support.
pub(super) fn write(
    place: &Place,
    format: &str,
    probes: &[(impl Display, Architecture)],
    seed: u64,
) -> Result<(), Failure> {
    make_folder(&folder(place)).map_err(refused)?;
    for (path, (name, architecture)) in paths(place, format, probes.len()).iter().zip(probes) {
        if path.is_file() {
            continue;
        }
        let name = name.to_string();
        let Some(model) = with_random_weights(architecture, &name, seed) else {
            output::say(&format!("warning: network {name} has no finite values with random weights"));
            continue;
        };
        match bytes(&model, format) {
            Ok(bytes) => kiln_files::write(path, &bytes).map_err(refused)?,
            Err(error) => output::say(&format!("warning: network {name} cannot be written: {error}")),
        }
    }
    Ok(())
}

fn bytes(model: &TrainedModel, format: &str) -> Result<Vec<u8>, ExportError> {
    let mut bytes = Vec::new();
    if format == Onnx.extension() {
        Onnx.export(model, &mut bytes)?;
    } else {
        model.write(&mut bytes)?;
    }
    Ok(bytes)
}

/// Removes the files after everything was measured. They can be written again at any time.
pub(super) fn remove(place: &Place, format: &str, networks: usize) {
    for path in paths(place, format, networks) {
        let _ = fs::remove_file(path);
    }
    let _ = fs::remove_dir(folder(place));
}
