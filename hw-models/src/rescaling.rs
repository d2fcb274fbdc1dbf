//! Multiplies all times of a device by one factor, when too few networks are measured for a fit.

use crate::{Device, HwError, Number};

impl Device {
    /// Returns a device whose networks take `factor` times as long. `source` is the source of every changed
    /// number. `name` names the measurements, as the last part of the model's name; other characters than
    /// letters, digits, `-`, `.` and `_` are replaced. The relative error of latencies grows to `error` if it
    /// is smaller.
    ///
    /// The peak rates and bandwidths are divided by the factor, and overheads are multiplied by it.
    /// Efficiencies stay, because they cannot exceed 1. The latencies of measured networks are multiplied.
    ///
    /// # Errors
    /// [`HwError`] if a number then leaves the range that device files have.
    ///
    /// # Example
    /// ```
    /// use kiln_hw_models::{CostModel, Device, Roofline};
    /// use kiln_space::{ArchitectureBuilder, Shape};
    ///
    /// let mut b = ArchitectureBuilder::new(Shape::new(3, 32, 32));
    /// b.conv("conv", b.input(), 64, 3, 1, 1)?;
    /// let network = b.finish()?;
    /// let device = Device::builtin("cortex-a72")?;
    /// let slower = device.rescaled(1.5, 0.1, "measured", "mine")?;
    /// let before = Roofline::new(device, 1, 1).network(&network)?.latency_us.value;
    /// let after = Roofline::new(slower, 1, 1).network(&network)?.latency_us.value;
    /// assert!((after / before - 1.5).abs() < 1e-6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rescaled(&self, factor: f64, error: f64, source: &str, name: &str) -> Result<Self, HwError> {
        let mut device = self.clone();
        let number = |value: f64| Number { value, source: source.to_owned() };
        let letter = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
        device.calibration = Some(name.to_lowercase().chars().map(letter).collect());
        device.measured = None;
        if error > device.error.latency_relative_90.value {
            device.error.latency_relative_90 = number(error);
        }
        if let Some(fitted) = &device.fitted {
            // The fitted model reads the roofline's prediction as a feature, so those numbers stay.
            device.fitted = Some(fitted.rescaled(factor));
        } else {
            for rate in device.macs_per_s_per_core.values_mut() {
                *rate = number(rate.value / factor);
            }
            device.layer_overhead_us = number(device.layer_overhead_us.value * factor);
            let memory = &mut device.memory;
            memory.external_bytes_per_s = number(memory.external_bytes_per_s.value / factor);
            let per_core = memory.external_bytes_per_s_per_core.as_ref();
            memory.external_bytes_per_s_per_core = per_core.map(|rate| number(rate.value / factor));
            memory.on_chip_bytes_per_s_per_core = number(memory.on_chip_bytes_per_s_per_core.value / factor);
        }
        Self::parse(&self.name, &device.to_toml())
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;
    use crate::{CostModel, Roofline};

    #[test]
    fn rescaled_devices_take_longer_by_the_factor_on_every_network() {
        for name in Device::builtin_names() {
            let device = Device::builtin(name).unwrap();
            let slower = device.rescaled(1.7, 0.9, "measured", "Finished run 3").unwrap();
            assert_eq!(slower.calibration.as_deref(), Some("finished-run-3"));
            assert!(slower.error.latency_relative_90.value >= 0.9);
            for channels in [1, 8, 64] {
                let mut b = ArchitectureBuilder::new(Shape::new(3, 16, 16));
                let x = b.conv("conv", b.input(), channels, 3, 1, 1).unwrap();
                let x = b.batch_norm("norm", x).unwrap();
                let x = b.conv("depthwise", x, channels, 3, 2, channels).unwrap();
                let x = b.global_pool("pool", x).unwrap();
                b.linear("head", x, 10).unwrap();
                let network = b.finish().unwrap();
                let of = |device: &Device| {
                    let model = Roofline::new(device.clone(), 2, 1);
                    model.network(&network).unwrap().latency_us.value
                };
                assert!((of(&slower) / of(&device) - 1.7).abs() < 1e-6, "{name}, {channels} channels");
            }
        }
    }
}
