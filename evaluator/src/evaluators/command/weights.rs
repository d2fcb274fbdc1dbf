//! Trained weights that a program returns.

use std::path::Path;

use kiln_export::{Arrays, TrainedModel, read_safetensors};
use kiln_space::{Architecture, Precision};

use crate::deploy::random;

/// Maximum size of a file of weights in bytes.
const WEIGHTS_MAX: u64 = 16 << 30;

/// Reads the weights of a network. Every array that the output depends on must be there under the name
/// `<layer>.<part>`, with the shape of its layer and finite values, and no other array.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(super) fn read(path: &Path, architecture: &Architecture) -> Result<Arrays, String> {
    let bytes = kiln_files::read(path, WEIGHTS_MAX).map_err(|error| {
        if error.is_missing() {
            "wrote no file `{weights}`".to_owned()
        } else {
            format!("wrote `{{weights}}`, which cannot be read: {}", error.problem())
        }
    })?;
    let wrong = |error: kiln_export::ExportError| format!("wrote `{{weights}}`, which do not fit: {error}");
    let arrays = read_safetensors(&bytes).map_err(wrong)?;
    let mut model = TrainedModel {
        architecture: in_single_precision(architecture),
        arrays,
        quantization: std::collections::BTreeMap::new(),
        weight_codes: std::collections::BTreeMap::new(),
        card: random::card(architecture, "", 0),
    };
    model.check().map_err(wrong)?;
    Ok(std::mem::take(&mut model.arrays))
}

/// The network as a program trains it. Kiln rounds afterwards.
pub(super) fn in_single_precision(architecture: &Architecture) -> Architecture {
    let mut plain = architecture.clone();
    for layer in &mut plain.layers {
        layer.precision = Precision::default();
    }
    plain
}
