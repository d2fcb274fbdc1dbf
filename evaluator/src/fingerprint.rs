//! What an outcome depends on besides genotype and fidelity.

use crate::Context;
use crate::devices::Devices;

/// Joins what decides outcomes: evaluator and settings, space, data, seed, build, instruction set and device class, and
/// the hash of the shared weights if there are any.
pub(crate) fn fingerprint(
    kind: &str,
    settings: &str,
    devices: &Devices,
    context: &Context,
    weights: Option<&str>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let parts = [
        kind,
        settings,
        &context.space_settings,
        context.data.hash(),
        &context.seed.to_string(),
        env!("CARGO_PKG_VERSION"),
        weights.unwrap_or_default(),
    ];
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{kind}/{}/{}", devices.class(), &hasher.finalize().to_hex()[..32])
}

/// What a training for a study depends on, as text: its settings, space, data and their augmentation, seed, device class and build. What
/// has been trained under other conditions is not gone on with.
pub(crate) fn conditions(settings: &str, devices: &Devices, context: &Context) -> String {
    let augmentation = format!("{:?}", context.data.augmentation());
    let seed = context.seed.to_string();
    let parts = [
        settings,
        &context.space_settings,
        context.data.hash(),
        &augmentation,
        &seed,
        devices.class(),
        env!("CARGO_PKG_VERSION"),
    ];
    parts.join("\n")
}
