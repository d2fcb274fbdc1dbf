//! The roofline formula: computes a kernel's latency from the kernel's demand and the device's constants.

use crate::Device;
use crate::work::WorkKind;

/// The operations and bytes of one kernel on a device. They do not depend on the device's efficiencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Demand {
    pub(crate) kind: WorkKind,
    /// Number of operations, without the operations that sparsity saves.
    pub(crate) operations: f64,
    /// Peak operations per second of one core in the kernel's format.
    pub(crate) peak_per_s: f64,
    /// Number of values that can be computed independently.
    pub(crate) parallel: f64,
    pub(crate) external_bytes: f64,
    pub(crate) on_chip_bytes: f64,
}

/// The constants of a device that determine the latency of a kernel, for a given number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Constants {
    thread_speedup: f64,
    pub(crate) efficiency: [f64; WorkKind::COUNT],
    pub(crate) external_bytes_per_s: f64,
    pub(crate) on_chip_bytes_per_s: f64,
    pub(crate) layer_overhead_us: f64,
    pub(crate) saturating_outputs: Option<f64>,
}

impl Constants {
    /// Computes the constants of a device. `threads` is at least 1 and at most the number of cores.
    pub(crate) fn new(device: &Device, threads: f64) -> Self {
        let thread_speedup = threads / (1.0 + device.parallel_loss.value * (threads - 1.0));
        let memory = &device.memory;
        let all = memory.external_bytes_per_s.value;
        let core = memory.external_bytes_per_s_per_core.as_ref();
        Self {
            thread_speedup,
            efficiency: WorkKind::ALL.map(|kind| device.efficiency.of(kind).value),
            external_bytes_per_s: core.map_or(all, |core| all.min(core.value * threads)),
            on_chip_bytes_per_s: memory.on_chip_bytes_per_s_per_core.value * thread_speedup,
            layer_overhead_us: device.layer_overhead_us.value,
            saturating_outputs: device.saturating_outputs.as_ref().map(|outputs| outputs.value),
        }
    }

    /// Computes the latency of a kernel in microseconds. The latency is the larger of compute time and memory
    /// time, plus the overhead.
    pub(crate) fn latency_us(&self, demand: &Demand) -> f64 {
        let filled = self.saturating_outputs.map_or(1.0, |full| (demand.parallel / full).min(1.0));
        let rate = demand.peak_per_s * self.efficiency[demand.kind as usize] * self.thread_speedup * filled;
        let memory_s = demand.external_bytes / self.external_bytes_per_s
            + demand.on_chip_bytes / self.on_chip_bytes_per_s;
        (demand.operations / rate).max(memory_s) * 1e6 + self.layer_overhead_us
    }
}
