//! Reads device files. A device file describes a device by numbers, and every number has a source.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kiln_space::NumberFormat;
use serde::{Deserialize, Serialize};

use crate::measuring::MeasuringReport;
use crate::work::WorkKind;
use crate::{FittedKernels, FittedNetworks, HwError};

mod check;

/// Maximum size of a device file in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The files of the built-in devices.
const BUILTIN: [(&str, &str); 5] = [
    ("cortex-a72", include_str!("../devices/cortex-a72.toml")),
    ("cortex-m7", include_str!("../devices/cortex-m7.toml")),
    ("h200", include_str!("../devices/h200.toml")),
    ("jetson-tx2", include_str!("../devices/jetson-tx2.toml")),
    ("xeon-4210r", include_str!("../devices/xeon-4210r.toml")),
];

/// A number with its source. The source names a document or starts with `derived:`, `fitted to` or
/// `assumption:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The number, in the unit that its key states.
    pub value: f64,
    /// Source of the number.
    pub source: String,
}

/// The numbers of a device file, which describe a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Short name for configs: lower-case letters, digits, `-`, `.` and `_`.
    pub name: String,
    /// Description for people.
    pub title: String,
    /// Names the measurements to which the numbers were fitted. It is the last part of a model's name. `None`
    /// for a file that was written from documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<String>,
    /// Number of units that share the work of one layer: processor cores, or 1 for a whole GPU.
    pub cores: Number,
    /// Loss per additional thread. With `t` threads the device is `t / (1 + loss (t - 1))` times as fast as
    /// with one.
    pub parallel_loss: Number,
    /// Overhead of every kernel, in microseconds.
    pub layer_overhead_us: Number,
    /// Number of kernel outputs that is needed to use the device fully. `None` if one output suffices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturating_outputs: Option<Number>,
    /// Peak multiply-accumulates per second and core, for each number format in which the device computes.
    pub macs_per_s_per_core: BTreeMap<NumberFormat, Number>,
    /// Fractions of the peak rate that kernels reach.
    pub efficiency: Efficiency,
    /// Sparsity that saves time or bytes on the device.
    #[serde(default)]
    pub sparsity: SparsitySupport,
    /// Sizes and bandwidths of the memories.
    pub memory: Memory,
    /// Energy per operation and byte, and static power.
    pub energy: Energy,
    /// Expected error of predictions from this file.
    pub error: RelativeError,
    /// Measured networks, for the model `fitted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<FittedNetworks>,
    /// Measured kernels, for the models `kernels` and `table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<FittedKernels>,
    /// Whether the latencies of kernels add up to those of networks. Models that add them refuse a device on
    /// which they are known not to. `None` if nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adds_up: Option<AddsUp>,
    /// What the file says about its measurements, if `kiln hw measure` wrote it. No prediction depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuringReport>,
}

/// Whether the latencies of kernels add up on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddsUp {
    /// Whether they do.
    pub value: bool,
    /// Where this is known from.
    pub source: String,
}

/// Fraction of the peak rate that a compute-bound kernel reaches, for each kind of operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// Convolutions that read several channels per group.
    pub dense_conv: Number,
    /// Convolutions that read one channel per group.
    pub depthwise_conv: Number,
    /// Fully connected layers.
    pub linear: Number,
    /// Layers without weights, and batch normalization that is not folded.
    pub element_wise: Number,
}

impl Efficiency {
    /// Returns the efficiency for a kind of work.
    pub(crate) const fn of(&self, kind: WorkKind) -> &Number {
        match kind {
            WorkKind::DenseConv => &self.dense_conv,
            WorkKind::DepthwiseConv => &self.depthwise_conv,
            WorkKind::Linear => &self.linear,
            WorkKind::ElementWise => &self.element_wise,
        }
    }

    pub(crate) const fn of_mut(&mut self, kind: WorkKind) -> &mut Number {
        match kind {
            WorkKind::DenseConv => &mut self.dense_conv,
            WorkKind::DepthwiseConv => &mut self.depthwise_conv,
            WorkKind::Linear => &mut self.linear,
            WorkKind::ElementWise => &mut self.element_wise,
        }
    }
}

/// Sparsity that the device exploits. All other zeros are read and computed like any other number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparsitySupport {
    /// Patterns that run faster than dense weights.
    #[serde(default)]
    pub n_of_m: Vec<NOfMSpeedup>,
    /// Number of index bits per kept weight, if the device stores unstructured sparsity without zeros. `None`
    /// if it stores the zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unstructured_index_bits: Option<Number>,
}

/// A sparsity pattern that runs faster than dense weights. Its weights are stored without zeros, and each
/// kept weight has an index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NOfMSpeedup {
    /// Number of weights kept in each group.
    pub n: u8,
    /// Size of a group of neighboring weights.
    pub m: u8,
    /// Formats in which the pattern is supported.
    pub formats: Vec<NumberFormat>,
    /// Speedup over dense weights, as a factor.
    pub speedup: f64,
    /// Source of the speedup.
    pub source: String,
}

/// Sizes and bandwidths of the memories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Memory for activations, and for weights on devices without flash.
    pub capacity_bytes: Number,
    /// Separate memory for weights, on devices that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flash_bytes: Option<Number>,
    /// Bandwidth of the external memory, or of the flash if there is one, for all cores together.
    pub external_bytes_per_s: Number,
    /// Bandwidth of the external memory for one core, if one core cannot use all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_bytes_per_s_per_core: Option<Number>,
    /// Size of the cache or memory on the chip.
    pub on_chip_bytes: Number,
    /// Bandwidth of the on-chip memory for one core. This bandwidth is at least that of the external memory.
    pub on_chip_bytes_per_s_per_core: Number,
}

/// Energy per operation and byte, and static power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Energy {
    /// Watts drawn while a network runs, independent of the work.
    pub static_w: Number,
    /// Picojoules per byte from or to external memory.
    pub external_pj_per_byte: Number,
    /// Picojoules per byte from or to on-chip memory.
    pub on_chip_pj_per_byte: Number,
    /// Picojoules per multiply-accumulate, for the formats of [`Device::macs_per_s_per_core`].
    pub pj_per_mac: BTreeMap<NumberFormat, Number>,
}

/// Relative errors. Nine of ten measurements are expected within a factor of one plus the relative error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeError {
    /// Relative error of latency.
    pub latency_relative_90: Number,
    /// Relative error of energy.
    pub energy_relative_90: Number,
}

impl Device {
    /// Names of the built-in devices, sorted.
    #[must_use]
    pub fn builtin_names() -> Vec<&'static str> {
        BUILTIN.iter().map(|(name, _)| *name).collect()
    }

    /// Returns a built-in device.
    ///
    /// # Errors
    /// [`HwError::UnknownDevice`] with the known names.
    pub fn builtin(name: &str) -> Result<Self, HwError> {
        let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == name) else {
            return Err(HwError::UnknownDevice { name: name.to_owned(), known: Self::builtin_names() });
        };
        Self::parse(&format!("device file of `{name}`"), text)
    }

    /// Reads a device file of at most 1 MiB.
    ///
    /// # Errors
    /// [`HwError::Read`] when the file is missing or too large, and the errors of [`Device::parse`].
    pub fn open(path: &Path) -> Result<Self, HwError> {
        let file = path.display().to_string();
        let text = kiln_files::read_text(path, FILE_MAX_BYTES)
            .map_err(|error| HwError::Read { file: file.clone(), error: Arc::new(error) })?;
        Self::parse(&file, &text)
    }

    /// Parses the text of a device file. Errors name the file `file`.
    ///
    /// # Errors
    /// [`HwError::Parse`] when the text is not TOML, or a key is unknown, missing or of the wrong type.
    /// [`HwError::Value`] when a value is out of range.
    pub fn parse(file: &str, text: &str) -> Result<Self, HwError> {
        let device: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..at].split(|byte| *byte == b'\n').count();
            let key = text.lines().nth(line - 1).and_then(|text| Some(text.split_once('=')?.0.trim()));
            let key = key.map(str::to_owned);
            HwError::Parse { file: file.to_owned(), line, key, error: Box::new(error) }
        })?;
        device.check(file)?;
        Ok(device)
    }

    /// Returns the text of the device file. [`Device::parse`] reads it back.
    ///
    /// # Panics
    /// Never, because TOML can express every device.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a device is plain data")
    }

    /// Returns the peak multiply-accumulates per second of one core in a format. Returns `None` if the device
    /// does not support the format.
    #[must_use]
    pub fn macs_per_s(&self, format: NumberFormat) -> Option<f64> {
        self.macs_per_s_per_core.get(&format).map(|number| number.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../devices/cortex-a72.toml");

    #[track_caller]
    fn refused(old: &str, new: &str) -> String {
        assert!(FILE.contains(old), "`{old}` is not in the file");
        Device::parse("mine.toml", &FILE.replacen(old, new, 1)).unwrap_err().to_string()
    }

    #[test]
    fn builtin_devices_parse_under_their_names() {
        for name in Device::builtin_names() {
            assert_eq!(Device::builtin(name).unwrap().name, name);
        }
        assert!(Device::builtin_names().is_sorted());
        let error = Device::builtin("abacus").unwrap_err().to_string();
        let known = "cortex-a72, cortex-m7, h200, jetson-tx2, xeon-4210r";
        assert_eq!(error, format!("there is no device `abacus`; known: {known}"));
    }

    #[test]
    fn error_for_impossible_value_names_file_key_and_expectation() {
        let cases = [
            (
                "cores = { value = 4",
                "cores = { value = 0",
                "`cores` is 0, expected a whole number of at least 1",
            ),
            (
                "cores = { value = 4",
                "cores = { value = 2.5",
                "`cores` is 2.5, expected a whole number of at least 1",
            ),
            (
                "dense_conv = { value = 0.375",
                "dense_conv = { value = 1.5",
                "`efficiency.dense_conv` is 1.5, expected a number above 0, at most 1",
            ),
            (
                "external_bytes_per_s = { value = 5.56e9",
                "external_bytes_per_s = { value = nan",
                "`memory.external_bytes_per_s` is NaN, expected a number above 0",
            ),
            (
                "f32 = { value = 6.0e9",
                "f32 = { value = -1",
                "`macs_per_s_per_core.f32` is -1, expected a number above 0",
            ),
            (
                "source = \"Raspberry Pi documentation, processors, BCM2711: quad-core Cortex-A72 at \
                 1.5 GHz\"",
                "source = \" \"",
                "`cores.source` is empty, expected where the number comes from",
            ),
            (
                "int8 = { value = 118, source = \"derived: as f32 at twice the rate\" }",
                "",
                "`energy.pj_per_mac` is `f32`, expected the number formats of `macs_per_s_per_core`",
            ),
            (
                "on_chip_bytes_per_s_per_core = { value = 12.0e9",
                "on_chip_bytes_per_s_per_core = { value = 1e9",
                "`memory.on_chip_bytes_per_s_per_core` is 1000000000, expected at least what one core gets \
                 from external memory",
            ),
            (
                "name = \"cortex-a72\"",
                "name = \"Cortex A72\"",
                "`name` is `Cortex A72`, expected lower case letters, digits, `-`, `.` and `_`",
            ),
            (
                "[error]",
                "[sparsity]\nn_of_m = [{ n = 4, m = 4, formats = [], speedup = 2, source = \"x\" }]\n[error]",
                "`sparsity.n_of_m.0` is 4 of 4, expected `n` from 1 to `m` - 1",
            ),
        ];
        for (old, new, expected) in cases {
            assert_eq!(refused(old, new), format!("mine.toml: {expected}"));
        }
    }

    #[test]
    fn error_for_wrong_key_or_type_names_the_line() {
        let unknown = refused("parallel_loss =", "paralel_loss =");
        assert!(unknown.starts_with("mine.toml:5: `paralel_loss`: "), "{unknown}");
        assert!(unknown.contains("unknown field `paralel_loss`, expected one of `name`"), "{unknown}");
        let missing = refused("title = ", "# title = ");
        assert!(missing.contains("missing field `title`"), "{missing}");
        let kind = refused("cores = { value = 4", "cores = { value = \"4\"");
        assert!(
            kind.starts_with("mine.toml:4: `cores`: ") && kind.contains("invalid type: string \"4\""),
            "{kind}"
        );
        let format = refused("f32 = { value = 6", "f31 = { value = 6");
        assert!(format.starts_with("mine.toml:9: ") && format.contains("unknown variant `f31`"), "{format}");
    }

    #[test]
    fn open_refuses_large_file_invalid_utf8_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.toml");
        std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
        let error = Device::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("large.toml: cannot be read (is 1048577 bytes long, expected at most 1048576)"),
            "{error}"
        );
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(Device::open(&path), Err(HwError::Read { .. })));
        assert!(matches!(Device::open(folder.path()), Err(HwError::Read { .. })));
    }
}
