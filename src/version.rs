//! The text of `kiln --version`: release, commit, features and instruction set. Files that Kiln writes state
//! only the release.

use std::sync::LazyLock;

use kiln_evaluator::InstructionSet;

/// Returns the release, the commit if known, the features, and the instruction set that the kernels use on
/// this machine.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let commit =
            option_env!("KILN_COMMIT").map(|commit| format!("\ncommit: {commit}")).unwrap_or_default();
        format!(
            "{}{commit}\nfeatures: {}\ninstruction set: {}",
            env!("CARGO_PKG_VERSION"),
            features(),
            InstructionSet::best().name()
        )
    });
    &TEXT
}

/// Names the features of this build.
fn features() -> String {
    let features = [
        ("cuda", cfg!(feature = "cuda")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("autotune", cfg!(feature = "autotune")),
    ];
    let on: Vec<&str> = features.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect();
    if on.is_empty() { "none".to_owned() } else { on.join(", ") }
}
