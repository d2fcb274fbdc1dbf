//! The cost model `kernels`: the sum of predicted kernels. See `docs/kernels.md`.

mod activations;
pub(crate) mod bound;
mod choice;
mod features;
mod file;
mod fit;
mod kernel_file;
mod overhead;
mod predictor;
mod shape;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_space::{Architecture, LayerId, Precision, Settings, SettingsError};
use serde::Deserialize;

pub use self::choice::{choose_kernels, distinct_kernels};
pub use self::file::FittedKernels;
use self::file::{Key, Restored};
pub use self::fit::{FormatReport, KernelsReport, OddKernel, fit_overhead};
pub use self::kernel_file::{KernelFile, MeasuredKernel};
pub use self::shape::{KernelKind, KernelShape, NoKernel};
use crate::registry::ModelPart;
use crate::{
    Conditions, Cost, CostModel, Device, Estimate, HwError, Interval, Kernel, Lack, Roofline, Schedule,
};

/// Most kernels whose predictions are kept.
const KEPT_MAX: usize = 1 << 16;
/// Factor of the interval of a kernel unlike all measured ones.
const WIDER: f64 = 2.0;
/// Half the interval of a kernel of a kind that was not measured, as a logarithm: a factor of 5.
const UNKNOWN: f64 = 1.609;
/// Most kernels that `unlike` names.
const NAMED: usize = 5;

/// Predicts latency as the sum of a network's kernels, each predicted from measured kernels of its kind and
/// format. Energy and memory are those of the device's roofline.
#[derive(Debug)]
pub struct Kernels {
    name: String,
    roofline: Roofline,
    fitted: FittedKernels,
    conditions: Conditions,
    predictors: BTreeMap<Key, Restored>,
    kept: Mutex<BTreeMap<KernelShape, Predicted>>,
}

/// A predicted kernel.
#[derive(Clone, Copy, Debug)]
struct Predicted {
    latency_us: f64,
    /// Half its interval, as a logarithm.
    half_width: f64,
    /// Whether it lies outside of the measured kernels.
    is_unlike: bool,
}

/// Settings of a `[[hardware]]` table with `model = "kernels"` or `model = "table"`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KernelSettings {
    batch: Option<u64>,
    threads: Option<u64>,
}

/// Descriptions of the settings for the schema of configs.
pub(crate) const KEYS: &str = r##"
[batch]
"$ref" = "#/$defs/count"
description = "For models of measurements: examples of a batch that was measured."

[threads]
"$ref" = "#/$defs/count"
description = "For models of measurements: the threads that were measured."
"##;

/// Reads `batch` and `threads`, and checks `threads`. Returns the batch, if it is given.
pub(crate) fn read_settings(device: &Device, settings: &Settings) -> Result<Option<u64>, HwError> {
    let KernelSettings { batch, threads } = settings.read()?;
    let Some(fitted) = &device.kernels else { return Ok(batch) };
    if let Some(found) = threads.filter(|found| *found != fitted.threads) {
        let expected = format!("{}, as the kernels of the device file were measured", fitted.threads);
        return Err(SettingsError::value(settings.key("threads"), found, &expected).into());
    }
    let (first, last) = (fitted.batches.first(), fitted.batches.last());
    if let Some(found) = batch
        && !(first <= Some(&found) && Some(&found) <= last)
    {
        let range = match (first, last) {
            (Some(first), Some(last)) if first < last => format!("a number from {first} to {last}"),
            (first, _) => first.map_or_else(String::new, u64::to_string),
        };
        let expected = format!("{range}, as the kernels of the device file were measured");
        return Err(SettingsError::value(settings.key("batch"), found, &expected).into());
    }
    Ok(batch)
}

impl FittedKernels {
    /// The conditions of predictions for a batch; the smallest measured one if none is given.
    pub(crate) fn conditions(&self, batch: Option<u64>) -> Conditions {
        let batch = batch.or_else(|| self.batches.first().copied()).unwrap_or(1);
        Conditions { batch, threads: self.threads }
    }

    /// The name of a model of this device.
    pub(crate) fn model_name(&self, device: &str, model: &str) -> String {
        format!("{device}/{model}/{}", self.source)
    }

    /// The latency of a network, given its kernels' latencies alone.
    pub(crate) fn constant_us(&self) -> f64 {
        self.overhead.constant_us
    }

    /// The latency of a kernel inside a network.
    pub(crate) fn inside_us(&self, alone_us: f64) -> f64 {
        self.overhead.kernel_us(alone_us)
    }

    /// The bound of the model `table`.
    pub(crate) const fn table_bound(&self) -> bound::Bound {
        self.table_bound
    }

    /// Number of networks to which the overhead was fitted.
    #[must_use]
    pub const fn networks(&self) -> usize {
        self.networks
    }
}

impl Device {
    /// Refuses a model that adds up kernels, if that is known to fail on this device.
    pub(crate) fn require_additive(&self, model: &'static str) -> Result<(), HwError> {
        match &self.adds_up {
            Some(found) if !found.value => Err(HwError::DoesNotAddUp {
                device: self.name.clone(),
                model,
                source_text: found.source.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl Kernels {
    /// The registry entry of this cost model.
    pub(crate) const PART: ModelPart =
        ModelPart::new("the sum of kernels, from measured kernels of the device file", Self::from_settings)
            .with_keys(&[KEYS])
            .tested_with(&[]);

    /// The model of a device file that holds measured kernels, for a batch; the smallest measured one if none
    /// is given.
    ///
    /// # Errors
    /// [`HwError::NoKernels`] when the file holds none; [`HwError::DoesNotAddUp`] for a device for which sums
    /// of kernels are known to fail.
    pub fn new(device: Device, batch: Option<u64>) -> Result<Self, HwError> {
        device.require_additive("kernels")?;
        let Some(fitted) = device.kernels.clone() else {
            return Err(HwError::NoKernels { device: device.name, model: "kernels" });
        };
        let conditions = fitted.conditions(batch);
        Ok(Self {
            name: fitted.model_name(&device.name, "kernels"),
            roofline: Roofline::new(device, conditions.batch, conditions.threads),
            predictors: fitted.restored(),
            conditions,
            fitted,
            kept: Mutex::default(),
        })
    }

    fn from_settings(device: Device, settings: &Settings) -> Result<Arc<dyn CostModel>, HwError> {
        let batch = read_settings(&device, settings)?;
        Ok(Arc::new(Self::new(device, batch)?))
    }

    /// Predicts one kernel as if it ran alone.
    fn predicted(&self, architecture: &Architecture, kernel: &Kernel) -> Result<Predicted, HwError> {
        let shape = KernelShape::new(architecture, kernel, self.conditions.batch);
        if let Some(found) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&shape) {
            return Ok(*found);
        }
        let layer = architecture.layer(kernel.head());
        let refuse =
            |lack: Lack| HwError::Unsupported { model: self.name.clone(), layer: layer.name.clone(), lack };
        let op = layer.op.name();
        let Some(format) = shape.format() else {
            let Precision { weights, activations } = layer.precision;
            return Err(refuse(Lack::Formats { op, weights, activations }));
        };
        let found = if let Some(found) = self.predictors.get(&(shape.kind, format)) {
            let (latency_us, half_width) = found.predictor.latency_us(&shape);
            let is_unlike = !found.beyond(&shape).is_empty();
            let half_width = half_width * if is_unlike { WIDER } else { 1.0 };
            Predicted { latency_us, half_width, is_unlike }
        } else {
            let known: Vec<_> = self.fitted.formats().into_iter().collect();
            let of_kind = self.predictors.keys().any(|(kind, _)| *kind == shape.kind);
            if of_kind || !known.contains(&format) {
                return Err(refuse(Lack::Format { op, format, known }));
            }
            let latency_us = self.roofline.layer(architecture, kernel.head())?.latency_us;
            Predicted { latency_us, half_width: UNKNOWN, is_unlike: true }
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.insert(shape, found);
        }
        Ok(found)
    }

    /// Number of kernels, the sum of their latencies alone, and half the interval of the sum as a logarithm,
    /// as if all kernels erred in the same direction.
    fn summed(&self, architecture: &Architecture) -> Result<(usize, f64, f64), HwError> {
        let schedule = Schedule::new(architecture);
        let (mut sum, mut upper) = (0.0, 0.0);
        for kernel in &schedule.kernels {
            let Predicted { latency_us, half_width, .. } = self.predicted(architecture, kernel)?;
            sum += latency_us;
            upper += latency_us * half_width.exp();
        }
        let half_width = if sum > 0.0 { (upper / sum).ln() } else { 0.0 };
        Ok((schedule.kernels.len(), sum, half_width))
    }
}

impl CostModel for Kernels {
    fn name(&self) -> &str {
        &self.name
    }

    fn conditions(&self) -> Option<Conditions> {
        Some(self.conditions)
    }

    fn basis(&self) -> String {
        format!("{:?} {}", self.fitted, self.roofline.basis())
    }

    fn unlike(&self, architecture: &Architecture) -> Result<Vec<String>, HwError> {
        let mut found = Vec::new();
        for kernel in &Schedule::new(architecture).kernels {
            if !self.predicted(architecture, kernel)?.is_unlike {
                continue;
            }
            let shape = KernelShape::new(architecture, kernel, self.conditions.batch);
            let key = shape.format().map(|format| (shape.kind, format));
            let why = key.and_then(|key| self.predictors.get(&key)).map_or_else(
                || "no kernel of this kind was measured".to_owned(),
                |found| found.beyond(&shape).join(", "),
            );
            found.push(format!("`{}` ({shape}: {why})", architecture.layer(kernel.head()).name));
        }
        if found.len() > NAMED {
            let others = found.len() - NAMED;
            found.truncate(NAMED);
            found.push(format!("and {others} other kernels"));
        }
        Ok(found)
    }

    /// The constant part of the overhead is the cost of the input.
    fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError> {
        let mut cost = self.roofline.layer(architecture, layer)?;
        let schedule = Schedule::new(architecture);
        cost.latency_us = match schedule.kernel(layer) {
            Some(kernel) if kernel.head() == layer => {
                self.fitted.inside_us(self.predicted(architecture, kernel)?.latency_us)
            }
            None if layer == LayerId(0) => self.fitted.constant_us(),
            _ => 0.0,
        };
        Ok(cost)
    }

    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError> {
        let estimate = self.roofline.network(architecture)?;
        let mut value = self.fitted.constant_us();
        for kernel in &Schedule::new(architecture).kernels {
            value += self.fitted.inside_us(self.predicted(architecture, kernel)?.latency_us);
        }
        let (_, _, half_width) = self.summed(architecture)?;
        let factor = self.fitted.bound.half_width(half_width).exp();
        Ok(Estimate { latency_us: Interval { value, low: value / factor, high: value * factor }, ..estimate })
    }
}
