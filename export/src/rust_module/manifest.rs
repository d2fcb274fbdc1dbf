//! Generates the `Cargo.toml` of a package.

use crate::{TrainedModel, plain_text};

/// Burn with the features that a fast run on the CPU needs, and with `autodiff` for further training.
const DEPENDENCIES: &str = r#"
[dependencies]
# `flex` is the CPU; add `cuda`, `vulkan`, `metal` or `wgpu` for other devices.
burn = { version = "=0.22.1", default-features = false, features = [
    "std", "autodiff", "flex", "simd", "rayon", "x86-v4",
] }
safetensors = { version = "0.8", default-features = false, features = ["std"] }

# A project of its own, also inside the folder of another one.
[workspace]
"#;

/// Generates the manifest of the package `name`.
pub(super) fn manifest(name: &str, model: &TrainedModel) -> String {
    let description =
        format!("The network {} as a burn module, written by Kiln", plain_text(&model.card.name));
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nrust-version = \"1.95\"\n\
         publish = false\ndescription = {}\n{DEPENDENCIES}",
        // Every JSON string is a valid TOML string.
        serde_json::Value::from(description)
    )
}
