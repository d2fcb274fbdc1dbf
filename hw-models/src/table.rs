//! The cost model `table`: measured latencies of exactly the kernels of a network. See `docs/table.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_space::{Architecture, LayerId, Settings};

use crate::kernels::{KEYS, read_settings};
use crate::registry::ModelPart;
use crate::{
    Conditions, Cost, CostModel, Device, Estimate, FittedKernels, HwError, Interval, Kernel, KernelShape,
    Lack, Roofline, Schedule,
};

/// Looks up the latency of each kernel. A kernel that was not measured is an error. Energy and memory are
/// those of the device's roofline.
///
/// Source: H. Cai, L. Zhu, S. Han, `ProxylessNAS`, ICLR 2019, appendix B; H. Cai et al., Once-for-all, ICLR
/// 2020, section 3.4 (latency lookup tables).
/// Differs: entries are fused kernels and not blocks, so that any network can be looked up whose kernels are
/// known; an overhead, fitted to whole networks, is added.
#[derive(Debug)]
pub struct KernelTable {
    name: String,
    roofline: Roofline,
    fitted: FittedKernels,
    conditions: Conditions,
    /// Latencies inside a network, in microseconds.
    latencies_us: BTreeMap<KernelShape, f64>,
}

impl KernelTable {
    /// The registry entry of this cost model.
    pub(crate) const PART: ModelPart =
        ModelPart::new("a lookup table of the device file's measured kernels", Self::from_settings)
            .with_keys(&[KEYS])
            .tested_with(&[]);

    /// The model of a device file that holds measured kernels, for a batch; the smallest measured one if none
    /// is given.
    ///
    /// # Errors
    /// [`HwError::NoKernels`] when the file holds none; [`HwError::DoesNotAddUp`] for a device for which sums
    /// of kernels are known to fail.
    pub fn new(device: Device, batch: Option<u64>) -> Result<Self, HwError> {
        device.require_additive("table")?;
        let fitted = device.kernels.clone();
        let measured = fitted.as_ref().map(FittedKernels::kernels).unwrap_or_default();
        let Some(fitted) = fitted.filter(|_| !measured.is_empty()) else {
            return Err(HwError::NoKernels { device: device.name, model: "table" });
        };
        let conditions = fitted.conditions(batch);
        let latencies_us = measured.into_iter().map(|(shape, us)| (shape, fitted.inside_us(us))).collect();
        let name = fitted.model_name(&device.name, "table");
        let roofline = Roofline::new(device, conditions.batch, conditions.threads);
        Ok(Self { name, roofline, fitted, conditions, latencies_us })
    }

    fn from_settings(device: Device, settings: &Settings) -> Result<Arc<dyn CostModel>, HwError> {
        let batch = read_settings(&device, settings)?;
        Ok(Arc::new(Self::new(device, batch)?))
    }

    /// Number of kernels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.latencies_us.len()
    }

    /// Whether there are none, which no model has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.latencies_us.is_empty()
    }

    /// The latency of a network in microseconds, from its schedule.
    ///
    /// # Errors
    /// [`HwError::Unsupported`] for the first kernel that was not measured.
    pub fn latency_us(&self, architecture: &Architecture, schedule: &Schedule) -> Result<f64, HwError> {
        let mut sum = self.fitted.constant_us();
        for kernel in &schedule.kernels {
            sum += self.kernel_us(architecture, kernel)?;
        }
        Ok(sum)
    }

    fn kernel_us(&self, architecture: &Architecture, kernel: &Kernel) -> Result<f64, HwError> {
        let shape = KernelShape::new(architecture, kernel, self.conditions.batch);
        self.latencies_us.get(&shape).copied().ok_or_else(|| HwError::Unsupported {
            model: self.name.clone(),
            layer: architecture.layer(kernel.head()).name.clone(),
            lack: Lack::NotInTable { kernel: shape.to_string(), kernels: self.len() },
        })
    }
}

impl CostModel for KernelTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn conditions(&self) -> Option<Conditions> {
        Some(self.conditions)
    }

    fn basis(&self) -> String {
        format!("{:?} {}", self.fitted, self.roofline.basis())
    }

    /// The constant part of the overhead is the cost of the input.
    fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError> {
        let mut cost = self.roofline.layer(architecture, layer)?;
        cost.latency_us = match Schedule::new(architecture).kernel(layer) {
            Some(kernel) if kernel.head() == layer => self.kernel_us(architecture, kernel)?,
            None if layer == LayerId(0) => self.fitted.constant_us(),
            _ => 0.0,
        };
        Ok(cost)
    }

    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError> {
        let estimate = self.roofline.network(architecture)?;
        let value = self.latency_us(architecture, &Schedule::new(architecture))?;
        let factor = self.fitted.table_bound().half_width(0.0).exp();
        Ok(Estimate { latency_us: Interval { value, low: value / factor, high: value * factor }, ..estimate })
    }
}
