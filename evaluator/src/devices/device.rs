//! Opens the device that trains and runs networks.

use burn::tensor::Device;
use kiln_kernels::InstructionSet;
use kiln_space::SettingsError;

/// The device names that a config may contain.
const EXPECTED: &str = "`cpu`, `cuda:0` or `wgpu:0`";

/// Opens a device by its name in configs (`cpu`, `cuda:0`, `wgpu:0`) and checks that it works. `key` is the
/// setting that contains the name.
///
/// # Errors
/// [`SettingsError`] for an unknown name, and for a device that this build does not support, that does not
/// exist, that fails at its first operation, or that computes other results than the CPU.
pub(crate) fn open(name: &str, key: &str) -> Result<Device, SettingsError> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let index: usize = index.parse().map_err(|_| SettingsError::value(key, format!("`{name}`"), EXPECTED))?;
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    let probed = |open: Box<dyn FnOnce() -> Device + Send>| {
        crate::devices::probe::probe(open).map_err(|problem| {
            let expected = format!("a device that works ({problem}); check its driver, or use `cpu`");
            SettingsError::value(key, format!("`{name}`"), &expected)
        })
    };
    match (kind, index) {
        ("cpu", 0) => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        ("cuda", index) => probed(Box::new(move || Device::cuda(index))),
        #[cfg(feature = "wgpu")]
        ("wgpu", index) => {
            // GPUs are ordered by kind: discrete GPUs, GPUs inside a processor, software that emulates a GPU.
            probed(Box::new(move || {
                let mut found = Device::enumerate(burn::tensor::DeviceType::Vulkan).into_vec();
                assert!(index < found.len(), "Vulkan finds {} devices here", found.len());
                found.swap_remove(index)
            }))
        }
        #[cfg(not(feature = "cuda"))]
        ("cuda", _) => Err(not_built(name, key, kind)),
        #[cfg(not(feature = "wgpu"))]
        ("wgpu", _) => Err(not_built(name, key, kind)),
        _ => Err(SettingsError::value(key, format!("`{name}`"), EXPECTED)),
    }
}

/// The error for a kind of device that this build does not support.
#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
fn not_built(name: &str, key: &str, kind: &str) -> SettingsError {
    let expected = format!("`cpu`; for `{kind}` build with `--features {kind}`");
    SettingsError::value(key, format!("`{name}`"), &expected)
}

/// Returns the kind of a device from its name: `cpu`, `cuda` or `wgpu`.
pub(crate) fn kind(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Returns the class of a device, for fingerprints. Outcomes are comparable only between devices of one
/// class. Kernels for another GPU model sum in another order, so the class includes the model.
pub(crate) fn class(kind: &str, device: &Device) -> String {
    if kind == "cpu" {
        return format!("cpu/{}", instruction_set(InstructionSet::best()));
    }
    let tuned = if cfg!(feature = "autotune") { "/autotune" } else { "" };
    format!("{kind}/{}{tuned}", model(device))
}

/// Returns the name that the GPU reports, without spaces.
fn model(device: &Device) -> String {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if let Some(identity) = device.identity() {
        return identity.name.split_whitespace().collect::<Vec<_>>().join("-");
    }
    let _ = device;
    "unnamed".to_owned()
}

/// Returns the name by which fingerprints identify an instruction set. The kernels choose the instruction
/// set.
fn instruction_set(set: InstructionSet) -> String {
    match set {
        InstructionSet::Portable => std::env::consts::ARCH.to_owned(),
        InstructionSet::Avx2 | InstructionSet::Avx512 => format!("x86-64-{}", set.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_of_a_cpu_names_the_instruction_set_of_the_kernels() {
        let class = class("cpu", &Device::flex());
        assert_eq!(class, format!("cpu/{}", instruction_set(InstructionSet::best())));
        // Run folders contain these names, so they must not change.
        assert_eq!(instruction_set(InstructionSet::Avx2), "x86-64-avx2");
        assert_eq!(instruction_set(InstructionSet::Avx512), "x86-64-avx512");
        assert_eq!(instruction_set(InstructionSet::Portable), std::env::consts::ARCH);
    }
}
