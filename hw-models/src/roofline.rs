//! The roofline cost model. A kernel's latency is its compute time or its memory time, whichever is larger.
//! See `docs/roofline.md`.

use std::sync::Arc;

use kiln_space::{Architecture, LayerId, NumberFormat, Precision, Settings, SettingsError, Sparsity};
use serde::Deserialize;

use crate::demand::{Constants, Demand};
use crate::work::{Work, working_set_bytes};
use crate::{
    Conditions, Cost, CostModel, Device, Estimate, HwError, Interval, Kernel, Lack, ModelPart, Schedule,
    peak_memory_bytes,
};

/// Predicts the cost of each kernel of a [`Schedule`] from a [`Device`] file alone. A network's cost is the
/// sum over its layers.
///
/// Source: S. Williams, A. Waterman, D. Patterson, Roofline: an insightful visual performance model for
/// multicore architectures, Communications of the ACM 52(4), 2009. This model differs in two ways. First,
/// efficiencies lower the compute roof. The efficiency depends on the kind of operation and on the number of
/// outputs. Second, every kernel has a fixed overhead.
#[derive(Clone, Debug)]
pub struct Roofline {
    name: String,
    device: Device,
    constants: Constants,
    conditions: Conditions,
}

/// Settings of a `[[hardware]]` table with `model = "roofline"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RooflineSettings {
    batch: u64,
    threads: u64,
}

impl Default for RooflineSettings {
    fn default() -> Self {
        Self { batch: 1, threads: 1 }
    }
}

/// Descriptions of the settings for the schema of configs.
const KEYS: &str = r##"
batch = { "$ref" = "#/$defs/count", description = "Examples for which costs are predicted.", default = 1 }

[threads]
"$ref" = "#/$defs/count"
description = "Threads for which costs are predicted; at most the cores of the device."
default = 1
"##;

/// Maximum batch size and maximum number of threads.
const COUNT_MAX: u64 = 65_536;

impl Roofline {
    /// The registry entry of this cost model.
    pub(crate) const PART: ModelPart =
        ModelPart::new("from the device file alone, layer by layer", Self::from_settings)
            .with_keys(&[KEYS])
            .tested_with(&["{}", r#"{ "threads": 4 }"#, r#"{ "batch": 32, "threads": 2 }"#]);

    /// Creates the model of a device for this batch size and number of threads. A value of 0 counts as 1. The
    /// number of threads is limited to the device's cores.
    #[must_use]
    pub fn new(device: Device, batch: u64, threads: u64) -> Self {
        let name =
            format!("{}/roofline/{}", device.name, device.calibration.as_deref().unwrap_or("datasheet"));
        let threads = (threads.max(1) as f64).min(device.cores.value);
        let constants = Constants::new(&device, threads);
        let conditions = Conditions { batch: batch.max(1), threads: threads as u64 };
        Self { name, device, constants, conditions }
    }

    /// Reads the settings `batch` and `threads`.
    ///
    /// # Errors
    /// [`HwError::Settings`], which names the key.
    fn from_settings(device: Device, settings: &Settings) -> Result<Arc<dyn CostModel>, HwError> {
        let RooflineSettings { batch, threads } = settings.read()?;
        for (key, value) in [("batch", batch), ("threads", threads)] {
            if !(1..=COUNT_MAX).contains(&value) {
                let expected = format!("a whole number from 1 to {COUNT_MAX}");
                return Err(SettingsError::value(settings.key(key), value, &expected).into());
            }
        }
        Ok(Arc::new(Self::new(device, batch, threads)))
    }

    /// Returns the device.
    #[must_use]
    pub const fn device_file(&self) -> &Device {
        &self.device
    }

    /// Returns the constants of the latency formula.
    pub(crate) const fn constants(&self) -> Constants {
        self.constants
    }

    /// Returns the demands of all kernels of a network, in execution order.
    ///
    /// # Errors
    /// The errors of [`CostModel::network`].
    pub(crate) fn demands(&self, architecture: &Architecture) -> Result<Vec<Demand>, HwError> {
        self.demands_of(architecture, &Schedule::new(architecture))
    }

    /// As [`Roofline::demands`], for a known schedule of the network.
    pub(crate) fn demands_of(
        &self,
        architecture: &Architecture,
        schedule: &Schedule,
    ) -> Result<Vec<Demand>, HwError> {
        let weights = self.weights_place(architecture, schedule);
        let demands = schedule.kernels.iter().map(|kernel| self.demand(architecture, kernel, weights));
        demands.map(|demand| demand.map(|(demand, _)| demand)).collect()
    }

    /// Returns the demand of one kernel and the format in which it computes.
    fn demand(
        &self,
        architecture: &Architecture,
        kernel: &Kernel,
        weights: Place,
    ) -> Result<(Demand, NumberFormat), HwError> {
        let head = architecture.layer(kernel.head());
        for &id in &kernel.layers {
            self.rate(architecture, id, Some(architecture.layer(id).precision.activations))?;
        }
        let work = Work::new(architecture, kernel, self.conditions.batch);
        let (format, peak_per_s) = self.rate(architecture, kernel.head(), work.format)?;
        let saved = self.saved(head.sparsity, head.precision.weights, format);
        let mut bytes = Bytes::default();
        let fits = work.activation_bytes <= self.device.memory.on_chip_bytes.value;
        bytes.add(if fits { Place::OnChip } else { Place::External }, work.activation_bytes);
        bytes.add(weights, work.weight_bytes * saved.stored + work.vector_bytes);
        let demand = Demand {
            kind: work.kind,
            operations: work.operations / saved.speedup,
            peak_per_s,
            parallel: work.parallel,
            external_bytes: bytes.external,
            on_chip_bytes: bytes.on_chip,
        };
        Ok((demand, format))
    }

    /// Returns the cost of one kernel.
    fn kernel(&self, architecture: &Architecture, kernel: &Kernel, weights: Place) -> Result<Cost, HwError> {
        let (demand, format) = self.demand(architecture, kernel, weights)?;
        let latency_us = self.constants.latency_us(&demand);
        let energy = &self.device.energy;
        let dynamic_pj = demand.operations
            * energy.pj_per_mac.get(&format).map_or(0.0, |number| number.value)
            + demand.external_bytes * energy.external_pj_per_byte.value
            + demand.on_chip_bytes * energy.on_chip_pj_per_byte.value;
        Ok(Cost { latency_us, energy_uj: dynamic_pj * 1e-6 + energy.static_w.value * latency_us })
    }

    /// Returns the format in which a layer computes, and the peak rate of one core in that format.
    fn rate(
        &self,
        architecture: &Architecture,
        id: LayerId,
        format: Option<NumberFormat>,
    ) -> Result<(NumberFormat, f64), HwError> {
        let layer = architecture.layer(id);
        let op = layer.op.name();
        let refuse =
            |lack: Lack| HwError::Unsupported { model: self.name.clone(), layer: layer.name.clone(), lack };
        let Some(format) = format else {
            let Precision { weights, activations } = layer.precision;
            return Err(refuse(Lack::Formats { op, weights, activations }));
        };
        let Some(rate) = self.device.macs_per_s(format) else {
            let known = self.device.macs_per_s_per_core.keys().copied().collect();
            return Err(refuse(Lack::Format { op, format, known }));
        };
        Ok((format, rate))
    }

    /// Returns the speedup and the reduction of stored bytes that this device gains from sparsity.
    fn saved(&self, sparsity: Sparsity, weights: NumberFormat, format: NumberFormat) -> Saved {
        let support = &self.device.sparsity;
        let stored =
            |kept: f64, index_bits: f64| (kept * (1.0 + index_bits / weights.bits() as f64)).min(1.0);
        match sparsity {
            Sparsity::Dense => Saved::NOTHING,
            Sparsity::Unstructured { permille } => match &support.unstructured_index_bits {
                Some(index_bits) => {
                    let kept = f64::from(1000_u16.saturating_sub(permille)) / 1000.0;
                    Saved { speedup: 1.0, stored: stored(kept, index_bits.value) }
                }
                None => Saved::NOTHING,
            },
            Sparsity::NOfM { n, m } => {
                let pattern =
                    support.n_of_m.iter().find(|p| (p.n, p.m) == (n, m) && p.formats.contains(&format));
                pattern.map_or(Saved::NOTHING, |pattern| {
                    let index_bits = f64::from(m.next_power_of_two().trailing_zeros());
                    let kept = f64::from(n) / f64::from(m);
                    Saved { speedup: pattern.speedup, stored: stored(kept, index_bits) }
                })
            }
        }
    }

    /// Returns the bytes of a kernel's weights as the device stores them. Zeros are excluded if the device
    /// can store the weights without them.
    fn stored_bytes(&self, architecture: &Architecture, kernel: &Kernel) -> Result<u64, HwError> {
        let head = architecture.layer(kernel.head());
        let work = Work::new(architecture, kernel, self.conditions.batch);
        let (format, _) = self.rate(architecture, kernel.head(), work.format)?;
        let saved = self.saved(head.sparsity, head.precision.weights, format);
        Ok((work.weight_bytes * saved.stored + work.vector_bytes).ceil() as u64)
    }

    /// Returns the memory from which weights are read. Weights are read from on-chip memory if the network's
    /// working set fits into it.
    fn weights_place(&self, architecture: &Architecture, schedule: &Schedule) -> Place {
        let memory = &self.device.memory;
        let fits =
            || working_set_bytes(architecture, schedule, self.conditions.batch) <= memory.on_chip_bytes.value;
        if memory.flash_bytes.is_none() && fits() { Place::OnChip } else { Place::External }
    }
}

impl CostModel for Roofline {
    fn name(&self) -> &str {
        &self.name
    }

    fn conditions(&self) -> Option<Conditions> {
        Some(self.conditions)
    }

    fn basis(&self) -> String {
        format!("{:?}", self.device)
    }

    fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError> {
        let schedule = Schedule::new(architecture);
        let Some(kernel) = schedule.kernel(layer) else { return Ok(Cost::default()) };
        let cost = self.kernel(architecture, kernel, self.weights_place(architecture, &schedule))?;
        Ok(if kernel.head() == layer { cost } else { Cost::default() })
    }

    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError> {
        self.network_of(architecture, &Schedule::new(architecture))
    }
}

impl Roofline {
    /// As [`CostModel::network`], for a known schedule of the network.
    pub(crate) fn network_of(
        &self,
        architecture: &Architecture,
        schedule: &Schedule,
    ) -> Result<Estimate, HwError> {
        let weights = self.weights_place(architecture, schedule);
        let mut total = Cost::default();
        let mut model_bytes = 0;
        for kernel in &schedule.kernels {
            model_bytes += self.stored_bytes(architecture, kernel)?;
            let cost = self.kernel(architecture, kernel, weights)?;
            total.latency_us += cost.latency_us;
            total.energy_uj += cost.energy_uj;
        }
        let error = &self.device.error;
        Ok(Estimate {
            latency_us: Interval::relative(total.latency_us, error.latency_relative_90.value),
            energy_uj: Interval::relative(total.energy_uj, error.energy_relative_90.value),
            peak_memory_bytes: peak_memory_bytes(architecture, schedule, self.conditions.batch),
            model_bytes,
        })
    }
}

/// The memory that bytes are read from or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OnChip,
    External,
}

/// Number of bytes that are read from and written to each memory.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    on_chip: f64,
    external: f64,
}

impl Bytes {
    fn add(&mut self, place: Place, bytes: f64) {
        match place {
            Place::OnChip => self.on_chip += bytes,
            Place::External => self.external += bytes,
        }
    }
}

/// The savings in time and in stored bytes that a device gains from sparsity.
#[derive(Clone, Copy, Debug)]
struct Saved {
    /// Speedup over dense weights, as a factor.
    speedup: f64,
    /// Stored bytes as a fraction of the bytes of dense weights.
    stored: f64,
}

impl Saved {
    const NOTHING: Self = Self { speedup: 1.0, stored: 1.0 };
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;

    fn conv(precision: Precision, sparsity: Sparsity) -> Architecture {
        conv_of(64, precision, sparsity)
    }

    fn conv_of(channels: usize, precision: Precision, sparsity: Sparsity) -> Architecture {
        let mut b = ArchitectureBuilder::new(Shape::new(channels, 32, 32));
        b.set_compression(precision, sparsity);
        let x = b.conv("conv", b.input(), channels, 3, 1, 1).unwrap();
        b.batch_norm("bn", x).unwrap();
        b.finish().unwrap()
    }

    fn both(format: NumberFormat) -> Precision {
        Precision { weights: format, activations: format }
    }

    fn latency(device: &str, batch: u64, threads: u64, architecture: &Architecture) -> f64 {
        let model = Roofline::new(Device::builtin(device).unwrap(), batch, threads);
        model.network(architecture).unwrap().latency_us.value
    }

    #[track_caller]
    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn latency_of_compute_bound_convolution_matches_hand_computation() {
        let dense = conv(both(NumberFormat::F32), Sparsity::Dense);
        let macs = 64.0 * 64.0 * 9.0 * 1024.0;
        assert_close(latency("cortex-a72", 1, 1, &dense), macs / (6.0e9 * 0.375) * 1e6 + 6.218);
        assert_close(latency("cortex-a72", 2, 1, &dense), 2.0 * macs / (6.0e9 * 0.375) * 1e6 + 6.218);
        assert_close(latency("cortex-a72", 1, 4, &dense), macs / (6.0e9 * 0.375 * 4.0 / 1.3) * 1e6 + 6.218);
        assert_close(latency("cortex-a72", 1, 64, &dense), latency("cortex-a72", 1, 4, &dense));
        let int8 = conv(both(NumberFormat::Int8), Sparsity::Dense);
        assert_close(latency("cortex-a72", 1, 1, &int8), macs / (12.0e9 * 0.375) * 1e6 + 6.218);
    }

    #[test]
    fn cost_of_memory_bound_linear_layer_matches_hand_computation() {
        // The 4 Mi weights take 16 MiB, which exceeds the 1 MiB cache. The activations (16 KiB) fit into it.
        let mut b = ArchitectureBuilder::new(Shape::vector(2048));
        let head = b.linear("head", b.input(), 2048).unwrap();
        let architecture = b.finish().unwrap();
        let model = Roofline::new(Device::builtin("cortex-a72").unwrap(), 1, 1);
        let cost = model.layer(&architecture, head).unwrap();
        let (external, on_chip) = (4.0 * 2048.0 * 2048.0 + 4.0 * 2048.0, 4.0 * 2.0 * 2048.0);
        let seconds = external / 5.56e9 + on_chip / 12.0e9;
        assert!(seconds > 2048.0 * 2048.0 / (6.0e9 * 0.4));
        assert_close(cost.latency_us, seconds * 1e6 + 6.218);
        let dynamic_pj = 2048.0 * 2048.0 * 236.0 + external * 162.5 + on_chip * 12.5;
        assert_close(cost.energy_uj, dynamic_pj * 1e-6 + 2.7 * cost.latency_us);
    }

    #[test]
    fn int8_weights_with_f32_activations_save_bytes_only() {
        let weights = Precision { weights: NumberFormat::Int8, activations: NumberFormat::F32 };
        let narrow = conv(weights, Sparsity::Dense);
        let wide = conv(both(NumberFormat::F32), Sparsity::Dense);
        assert_close(latency("cortex-a72", 1, 1, &narrow), latency("cortex-a72", 1, 1, &wide));
        let model = Roofline::new(Device::builtin("cortex-a72").unwrap(), 1, 1);
        let bytes = model.network(&narrow).unwrap().model_bytes;
        // Each weight takes one byte. Each output channel has a scale and a bias.
        assert_eq!(bytes, 64 * 64 * 9 + 2 * 64 * 4);
    }

    #[test]
    fn sparsity_pattern_is_faster_only_if_file_lists_it() {
        let pattern = Sparsity::NOfM { n: 2, m: 4 };
        let macs = 256.0 * 256.0 * 9.0 * 1024.0 * 16.0;
        let half = both(NumberFormat::F16);
        let time = |sparsity| latency("h200", 16, 1, &conv_of(256, half, sparsity));
        assert_close(time(Sparsity::Dense), macs / (494.7e12 * 0.56) * 1e6 + 5.0);
        assert_close(time(pattern), macs / (494.7e12 * 0.56 * 2.0) * 1e6 + 5.0);
        assert_close(time(Sparsity::NOfM { n: 1, m: 4 }), time(Sparsity::Dense));
        assert_close(time(Sparsity::Unstructured { permille: 900 }), time(Sparsity::Dense));
        let (sparse, dense) = (conv(half, pattern), conv(half, Sparsity::Dense));
        assert_close(latency("jetson-tx2", 1, 1, &sparse), latency("jetson-tx2", 1, 1, &dense));
        let single = both(NumberFormat::F32);
        let (sparse, dense) = (conv(single, pattern), conv(single, Sparsity::Dense));
        assert_close(latency("h200", 64, 1, &sparse), latency("h200", 64, 1, &dense));
    }

    #[test]
    fn model_bytes_omit_zeros_only_if_device_does() {
        let bytes = |device: &Device, sparsity| {
            let model = Roofline::new(device.clone(), 1, 1);
            model.network(&conv(both(NumberFormat::Int8), sparsity)).unwrap().model_bytes
        };
        let (weights, vectors) = (64 * 64 * 9, 2 * 64 * 4);
        let zeros = Sparsity::Unstructured { permille: 750 };
        let mut device = Device::builtin("cortex-m7").unwrap();
        assert_eq!(bytes(&device, zeros), weights + vectors);
        assert_eq!(bytes(&device, Sparsity::NOfM { n: 2, m: 4 }), weights + vectors);
        // A quarter of the weights is stored. Each stored weight takes 8 bits and an index of 4 bits.
        device.sparsity.unstructured_index_bits =
            Some(crate::Number { value: 4.0, source: "a test".to_owned() });
        assert_eq!(bytes(&device, zeros), weights * 3 / 8 + vectors);
        // Half of the weights is stored. Each stored weight takes 8 bits and an index of 2 bits.
        let device = Device::builtin("h200").unwrap();
        assert_eq!(bytes(&device, Sparsity::NOfM { n: 2, m: 4 }), weights * 5 / 8 + vectors);
        assert_eq!(bytes(&device, zeros), weights + vectors);
    }

    #[test]
    fn stored_fraction_includes_index_bits() {
        let model = Roofline::new(Device::builtin("h200").unwrap(), 1, 1);
        let saved = |weights| model.saved(Sparsity::NOfM { n: 2, m: 4 }, weights, NumberFormat::F16).stored;
        assert_close(saved(NumberFormat::F16), 0.5 * (1.0 + 2.0 / 16.0));
        assert_close(saved(NumberFormat::Int8), 0.5 * (1.0 + 2.0 / 8.0));
    }

    #[test]
    fn error_for_missing_format_lists_formats_of_device() {
        let model = Roofline::new(Device::builtin("jetson-tx2").unwrap(), 1, 1);
        let int8 = conv(both(NumberFormat::Int8), Sparsity::Dense);
        let expected = "`jetson-tx2/roofline/datasheet` has no cost for layer `conv` (`conv2d` in int8; the \
            device has f32, f16)";
        assert_eq!(model.network(&int8).unwrap_err().to_string(), expected);
        assert_eq!(model.layer(&int8, LayerId(2)).unwrap_err().to_string(), expected);
        let mixed = Precision { weights: NumberFormat::F16, activations: NumberFormat::Bf16 };
        let mixed = conv(mixed, Sparsity::Dense);
        let model = Roofline::new(Device::builtin("h200").unwrap(), 1, 1);
        assert_eq!(
            model.network(&mixed).unwrap_err().to_string(),
            "`h200/roofline/datasheet` has no cost for layer `conv` (`conv2d` with f16 weights and bf16 \
             activations)"
        );
    }

    #[test]
    fn latency_on_gpu_grows_if_outputs_do_not_fill_it() {
        let mut b = ArchitectureBuilder::new(Shape::vector(4096));
        b.linear("head", b.input(), 8).unwrap();
        let small = b.finish().unwrap();
        let expected = 4096.0 * 8.0 / (332.8e9 * 0.2 * 8.0 / 4096.0) * 1e6 + 30.0;
        assert_close(latency("jetson-tx2", 1, 1, &small), expected);
    }
}
