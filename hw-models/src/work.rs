//! The work of a kernel: its operations and bytes, which do not depend on the device.

use kiln_space::{ActivationKind, Architecture, Layer, LayerId, NumberFormat, Op, Precision};

use crate::memory::stored_weight_bytes;
use crate::{Kernel, Schedule};

/// Kinds of work. Each kind has its own efficiency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkKind {
    DenseConv,
    DepthwiseConv,
    Linear,
    ElementWise,
}

impl WorkKind {
    pub(crate) const COUNT: usize = 4;
    /// All kinds, ordered by discriminant.
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::DenseConv, Self::DepthwiseConv, Self::Linear, Self::ElementWise];
}

/// The number of operations and bytes of one kernel, for a whole batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    pub(crate) kind: WorkKind,
    /// Number of multiply-accumulates, or of operations with the same cost.
    pub(crate) operations: f64,
    /// Format of the computation. `None` if no kernel supports the layer's formats together.
    pub(crate) format: Option<NumberFormat>,
    /// Number of values that can be computed independently: outputs, or inputs for global pooling.
    pub(crate) parallel: f64,
    /// Bytes that are read and written, without weights.
    pub(crate) activation_bytes: f64,
    /// Bytes of the weights of convolutions and fully connected layers, including zeros.
    pub(crate) weight_bytes: f64,
    /// Bytes of biases, scales and shifts.
    pub(crate) vector_bytes: f64,
}

impl Work {
    /// Computes the work of a kernel for `batch` examples.
    pub(crate) fn new(architecture: &Architecture, kernel: &Kernel, batch: u64) -> Self {
        let layer = architecture.layer(kernel.head());
        let (kind, operations) = operations(architecture, kernel.head());
        let parallel = match layer.op {
            Op::GlobalPool => architecture.input_shapes(kernel.head())[0].elements(),
            _ => layer.output.elements(),
        };
        let (weight_bytes, vector_bytes) = stored_weight_bytes(architecture, kernel);
        Self {
            kind,
            operations: operations * batch as f64,
            format: compute_format(layer),
            parallel: parallel as f64 * batch as f64,
            activation_bytes: kernel
                .inputs
                .iter()
                .chain([&kernel.output()])
                .map(|&id| buffer_bytes(architecture, id, batch) as f64)
                .sum(),
            weight_bytes: weight_bytes as f64,
            vector_bytes: vector_bytes as f64,
        }
    }
}

/// Returns the bytes of a layer's output for `batch` examples.
pub(crate) fn buffer_bytes(architecture: &Architecture, id: LayerId, batch: u64) -> u64 {
    let layer = architecture.layer(id);
    layer.precision.activations.bytes(layer.output.elements() as u64 * batch)
}

/// Returns the bytes of all weights plus the activations of the largest kernel.
pub(crate) fn working_set_bytes(architecture: &Architecture, schedule: &Schedule, batch: u64) -> f64 {
    let (mut weights, mut activations) = (0.0, 0.0_f64);
    for kernel in &schedule.kernels {
        let work = Work::new(architecture, kernel, batch);
        weights += work.weight_bytes + work.vector_bytes;
        activations = activations.max(work.activation_bytes);
    }
    weights + activations
}

/// Returns the format of the computation. A layer with weights uses the wider of its two formats, because
/// narrow weights are widened when they are read. Other layers use the format of their output.
fn compute_format(layer: &Layer) -> Option<NumberFormat> {
    let Precision { weights, activations } = layer.precision;
    if !matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }) || weights == activations {
        return Some(activations);
    }
    match weights.bits().cmp(&activations.bits()) {
        std::cmp::Ordering::Less => Some(activations),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(weights),
    }
}

/// Returns the kind of work and the number of operations of a layer, for one example.
fn operations(architecture: &Architecture, id: LayerId) -> (WorkKind, f64) {
    let layer = architecture.layer(id);
    let inputs = architecture.input_shapes(id);
    let macs = architecture.layer_counts(id).macs as f64;
    let outputs = layer.output.elements() as f64;
    let element_wise = |for_each_output: f64| (WorkKind::ElementWise, outputs * for_each_output);
    match &layer.op {
        Op::Conv2d { groups, .. } if *groups > 1 && inputs[0].channels == *groups => {
            (WorkKind::DepthwiseConv, macs)
        }
        Op::Conv2d { .. } => (WorkKind::DenseConv, macs),
        Op::Linear { .. } => (WorkKind::Linear, macs),
        Op::BatchNorm | Op::Mul => element_wise(1.0),
        Op::Activation { kind } => element_wise(activation_operations(*kind)),
        Op::Pool { kernel, .. } => element_wise((kernel[0] * kernel[1]) as f64),
        Op::GlobalPool => element_wise(inputs[0].positions() as f64),
        Op::Add => element_wise((inputs.len() - 1) as f64),
        Op::Input | Op::Zero { .. } | Op::Flatten | Op::Concat => element_wise(0.0),
    }
}

/// Returns the number of operations per value of an activation that runs as its own kernel. An exponential
/// counts as ten operations.
const fn activation_operations(kind: ActivationKind) -> f64 {
    match kind {
        ActivationKind::Relu => 1.0,
        ActivationKind::Relu6 => 2.0,
        ActivationKind::HardSigmoid => 4.0,
        ActivationKind::HardSwish => 5.0,
        ActivationKind::Sigmoid | ActivationKind::Silu | ActivationKind::Tanh | ActivationKind::Gelu => 12.0,
    }
}
