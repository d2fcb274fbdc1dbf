//! Builds fingerprints, which contain everything that an outcome depends on except genotype and fidelity.

use kiln_search::{RESULTS_VERSION, results_part};

use crate::devices::pool::Devices;
use crate::evaluators::context::Context;

/// Builds a fingerprint from everything that determines outcomes: evaluator and settings, space, data, seed,
/// version of the results, instruction set and device class. `learned` contains hashes of the shared weights
/// and the anchors.
pub(crate) fn fingerprint(
    kind: &str,
    settings: &str,
    devices: &Devices,
    context: &Context,
    learned: &[&str],
) -> String {
    let mut hasher = blake3::Hasher::new();
    let parts = [kind, settings, &context.space_settings, context.data.hash(), &context.seed.to_string()];
    for part in parts.iter().chain(learned) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{}{}", start(kind, devices), &hasher.finalize().to_hex()[..32])
}

/// Returns the beginning of a fingerprint, which is known before anything is trained.
pub(crate) fn start(kind: &str, devices: &Devices) -> String {
    format!("{kind}/{}/{}/", devices.class(), results_part())
}

/// Describes, as text, everything that a study's training depends on: its settings, space, data and their
/// augmentation, seed, device class and version of the results. A saved training state is used only if this
/// text is the same as when the state was trained.
pub(crate) fn conditions(settings: &str, devices: &Devices, context: &Context) -> String {
    let augmentation = format!("{:?}", context.data.augmentation());
    let seed = context.seed.to_string();
    let version = RESULTS_VERSION.to_string();
    let parts = [
        settings,
        &context.space_settings,
        context.data.hash(),
        &augmentation,
        &seed,
        devices.class(),
        &version,
    ];
    parts.join("\n")
}
