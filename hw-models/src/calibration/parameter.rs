//! The numbers of a device file that a fit may change.

use crate::demand::{Constants, Demand};
use crate::work::WorkKind;
use crate::{Device, Number};

/// A number that can be fitted. The fit works on its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// Efficiency of one kind of kernel.
    Efficiency(WorkKind),
    /// One factor that multiplies the bandwidths of all memories.
    Bandwidth,
    /// Overhead of every kernel.
    LayerOverhead,
    /// Number of outputs that a kernel needs to use the device fully, if the device file states it.
    SaturatingOutputs,
}

/// Minimum overhead in microseconds. The minimum is above zero because zero has no logarithm.
const OVERHEAD_MIN_US: f64 = 1e-3;

impl Parameter {
    const ALL: [Self; 7] = [
        Self::Efficiency(WorkKind::DenseConv),
        Self::Efficiency(WorkKind::DepthwiseConv),
        Self::Efficiency(WorkKind::Linear),
        Self::Efficiency(WorkKind::ElementWise),
        Self::Bandwidth,
        Self::LayerOverhead,
        Self::SaturatingOutputs,
    ];

    /// Returns the parameters on which the latencies of these kernels can depend.
    pub(super) fn of<'a>(
        constants: &Constants,
        kernels: &(impl Iterator<Item = &'a Demand> + Clone),
    ) -> Vec<Self> {
        let matters = |parameter: &Self| match *parameter {
            Self::Efficiency(kind) => {
                kernels.clone().any(|demand| demand.kind == kind && demand.operations > 0.0)
            }
            Self::Bandwidth | Self::LayerOverhead => true,
            Self::SaturatingOutputs => constants.saturating_outputs.is_some(),
        };
        Self::ALL.into_iter().filter(matters).collect()
    }

    /// Returns the key in the device file.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Efficiency(WorkKind::DenseConv) => "efficiency.dense_conv",
            Self::Efficiency(WorkKind::DepthwiseConv) => "efficiency.depthwise_conv",
            Self::Efficiency(WorkKind::Linear) => "efficiency.linear",
            Self::Efficiency(WorkKind::ElementWise) => "efficiency.element_wise",
            Self::Bandwidth => "memory.*_bytes_per_s",
            Self::LayerOverhead => "layer_overhead_us",
            Self::SaturatingOutputs => "saturating_outputs",
        }
    }

    /// Returns the value in the device file. The fit starts there, and the prior is centered there.
    pub(super) fn start(self, constants: &Constants) -> f64 {
        match self {
            Self::Efficiency(kind) => constants.efficiency[kind as usize],
            Self::Bandwidth => 1.0,
            Self::LayerOverhead => constants.layer_overhead_us.max(OVERHEAD_MIN_US),
            Self::SaturatingOutputs => constants.saturating_outputs.unwrap_or(1.0),
        }
    }

    /// Returns the minimum and maximum of the parameter.
    pub(super) const fn limits(self) -> (f64, f64) {
        match self {
            Self::Efficiency(_) => (1e-5, 1.0),
            Self::Bandwidth => (1e-3, 1e3),
            Self::LayerOverhead => (OVERHEAD_MIN_US, 1e7),
            Self::SaturatingOutputs => (1.0, 1e9),
        }
    }

    /// Rounds a value to four significant digits, within the limits that a device file accepts.
    pub(super) fn rounded(self, value: f64) -> f64 {
        let (low, high) = self.limits();
        match self {
            Self::SaturatingOutputs => value.clamp(low, high).round(),
            _ => significant(value).clamp(low, high),
        }
    }

    /// Sets the value in a model's constants. `file` contains the constants of the device file.
    pub(super) fn put(self, constants: &mut Constants, file: &Constants, value: f64) {
        match self {
            Self::Efficiency(kind) => constants.efficiency[kind as usize] = value,
            Self::Bandwidth => {
                constants.external_bytes_per_s = file.external_bytes_per_s * value;
                constants.on_chip_bytes_per_s = file.on_chip_bytes_per_s * value;
            }
            Self::LayerOverhead => constants.layer_overhead_us = value,
            Self::SaturatingOutputs => constants.saturating_outputs = Some(value),
        }
    }

    /// Writes the value and its source into a device.
    pub(super) fn write(self, device: &mut Device, value: f64, source: &str) {
        let set = |number: &mut Number, value: f64| {
            *number = Number { value, source: format!("{source}; before {}", number.value) };
        };
        match self {
            Self::Efficiency(kind) => set(device.efficiency.of_mut(kind), value),
            Self::Bandwidth => {
                let memory = &mut device.memory;
                let bandwidths = [
                    Some(&mut memory.external_bytes_per_s),
                    memory.external_bytes_per_s_per_core.as_mut(),
                    Some(&mut memory.on_chip_bytes_per_s_per_core),
                ];
                for number in bandwidths.into_iter().flatten() {
                    let scaled = number.value * value;
                    set(number, scaled);
                }
            }
            Self::LayerOverhead => set(&mut device.layer_overhead_us, value),
            Self::SaturatingOutputs => {
                if let Some(number) = &mut device.saturating_outputs {
                    set(number, value);
                }
            }
        }
    }
}

/// Rounds a positive number to four significant digits.
pub(super) fn significant(value: f64) -> f64 {
    format!("{value:.3e}").parse().expect("a number that was written is read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_and_write_give_the_same_constants() {
        for name in Device::builtin_names() {
            let device = Device::builtin(name).unwrap();
            let threads = device.cores.value.min(3.0);
            let file = Constants::new(&device, threads);
            let (mut written, mut put) = (device.clone(), file);
            for parameter in Parameter::ALL {
                if parameter == Parameter::SaturatingOutputs && file.saturating_outputs.is_none() {
                    continue;
                }
                let value = parameter.rounded(parameter.start(&file) * 0.7);
                parameter.put(&mut put, &file, value);
                parameter.write(&mut written, value, "fitted");
            }
            let found = Constants::new(&written, threads);
            assert_eq!(found.saturating_outputs, put.saturating_outputs, "{name}");
            let mut pairs = vec![
                (found.layer_overhead_us, put.layer_overhead_us),
                (found.external_bytes_per_s, put.external_bytes_per_s),
                (found.on_chip_bytes_per_s, put.on_chip_bytes_per_s),
            ];
            pairs.extend(found.efficiency.into_iter().zip(put.efficiency));
            assert!(pairs.iter().all(|(a, b)| (a - b).abs() <= 1e-12 * a), "{name}: {pairs:?}");
            assert!(Device::parse(name, &written.to_toml()).is_ok());
        }
    }

    #[test]
    fn significant_keeps_four_digits() {
        assert!((significant(0.012_345_6) - 0.012_35).abs() < 1e-15);
        assert!(
            (significant(98_765.0) - 98_760.0).abs() < 1e-9
                || (significant(98_765.0) - 98_770.0).abs() < 1e-9
        );
    }
}
