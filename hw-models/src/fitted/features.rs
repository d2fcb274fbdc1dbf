//! What the fitted model reads from an architecture: a vector of the same numbers for every space.

use kiln_space::{Architecture, LayerId, Op};

use crate::work::{Work, WorkKind};
use crate::{HwError, Kernel, Roofline, Schedule, peak_memory_bytes};

/// Classes of kernels that are counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Pointwise,
    Convolution,
    WideConvolution,
    Grouped,
    Depthwise,
    WideDepthwise,
    Linear,
    Pool,
    GlobalPool,
    Add,
    Activation,
    Other,
}

impl Class {
    /// Ordered by discriminant.
    const NAMES: [&str; 12] = [
        "pointwise",
        "convolution",
        "wide_convolution",
        "grouped",
        "depthwise",
        "wide_depthwise",
        "linear",
        "pool",
        "global_pool",
        "add",
        "activation",
        "other",
    ];

    fn of(architecture: &Architecture, id: LayerId) -> Self {
        match &architecture.layer(id).op {
            Op::Conv2d { kernel, groups, .. } => {
                let channels = architecture.input_shapes(id)[0].channels;
                let (wide, depthwise) = (kernel[0].max(kernel[1]), *groups > 1 && *groups == channels);
                match (wide, depthwise, *groups > 1) {
                    (0..=3, true, _) => Self::Depthwise,
                    (_, true, _) => Self::WideDepthwise,
                    (_, _, true) => Self::Grouped,
                    (0..=1, ..) => Self::Pointwise,
                    (2..=3, ..) => Self::Convolution,
                    _ => Self::WideConvolution,
                }
            }
            Op::Linear { .. } => Self::Linear,
            Op::Pool { .. } => Self::Pool,
            Op::GlobalPool => Self::GlobalPool,
            Op::Add => Self::Add,
            Op::Activation { .. } => Self::Activation,
            Op::Input | Op::Zero { .. } | Op::Flatten | Op::BatchNorm | Op::Concat | Op::Mul => Self::Other,
        }
    }
}

/// What is counted of each class: of the kernels that run, and of the layers that do not.
const OF_CLASS: [&str; 5] = ["kernels", "operations", "moved_bytes", "path_kernels", "idle_layers"];
/// What is counted once.
const OF_NETWORK: [&str; 16] = [
    "kernels",
    "path_kernels",
    "roofline_us",
    "path_roofline_us",
    "inputs",
    "fused_sums",
    "fused_activations",
    "weight_bytes",
    "activation_bytes",
    "peak_memory_bytes",
    "macs",
    "idle_macs",
    "idle_layers",
    "constants",
    "live_constants",
    "views",
];

/// Number of features that have a meaning of their own.
pub(crate) const NAMED: usize = Class::NAMES.len() * OF_CLASS.len() + OF_NETWORK.len();
/// Number of features of [`neighborhoods`].
const NEIGHBORHOODS: usize = 24;
/// Number of features of [`sites`].
const SITES: usize = 48;
const SKETCH: usize = NEIGHBORHOODS + SITES;
/// Number of features.
pub(crate) const COUNT: usize = NAMED + SKETCH;
/// Position of the multiply-accumulates of all layers, which a table's `flops` counts.
pub(crate) const MACS: usize = Class::NAMES.len() * OF_CLASS.len() + 10;

/// Whether a feature depends on the network alone: neither on the device whose roofline is read nor on the
/// batch.
pub(crate) const fn is_portable(feature: usize) -> bool {
    if feature < Class::NAMES.len() * OF_CLASS.len() {
        // Kernels and idle layers.
        return matches!(feature % OF_CLASS.len(), 0 | 4);
    }
    !matches!(feature - Class::NAMES.len() * OF_CLASS.len(), 2 | 3)
}

/// Position of the roofline's prediction.
pub(crate) const ROOFLINE: usize = Class::NAMES.len() * OF_CLASS.len() + 2;

/// Names of the features, in order.
pub(crate) fn names() -> Vec<String> {
    let of_class =
        Class::NAMES.iter().flat_map(|class| OF_CLASS.iter().map(move |of| format!("{class}_{of}")));
    let named = of_class.chain(OF_NETWORK.iter().map(|name| (*name).to_owned()));
    named.chain((0..SKETCH).map(|number| format!("sketch_{number}"))).collect()
}

/// Name of a feature.
pub(crate) fn name(feature: usize) -> String {
    names().swap_remove(feature)
}

/// Features that count operations: kernels that run and layers that do not, by class. A ridge on them is the
/// baseline that every fitted model is compared with.
pub(crate) fn operation_counts() -> Vec<usize> {
    (0..Class::NAMES.len()).flat_map(|class| [0, 4].map(|of| class * OF_CLASS.len() + of)).collect()
}

/// The features of an architecture.
///
/// # Errors
/// As [`Roofline`]'s, for an operation or format that the device does not have.
pub(crate) fn features(architecture: &Architecture, roofline: &Roofline) -> Result<Vec<f64>, HwError> {
    features_of(architecture, &Schedule::new(architecture), roofline)
}

/// As [`features`], for a known schedule of the network.
pub(crate) fn features_of(
    architecture: &Architecture,
    schedule: &Schedule,
    roofline: &Roofline,
) -> Result<Vec<f64>, HwError> {
    let demands = roofline.demands_of(architecture, schedule)?;
    let constants = roofline.constants();
    let mut features = vec![0.0; COUNT];
    let (by_class, network) = features.split_at_mut(Class::NAMES.len() * OF_CLASS.len());
    let (network, sketched) = network.split_at_mut(OF_NETWORK.len());
    let latencies: Vec<f64> = demands.iter().map(|demand| constants.latency_us(demand)).collect();
    let paths = Paths::new(architecture, &schedule.kernels, &latencies);
    let mut runs = vec![false; architecture.layers.len()];
    for (kernel, (demand, &latency)) in schedule.kernels.iter().zip(demands.iter().zip(&latencies)) {
        for layer in &kernel.layers {
            runs[layer.0] = true;
            match architecture.layer(*layer).op {
                Op::Add if *layer != kernel.head() => network[5] += 1.0,
                Op::Activation { .. } if *layer != kernel.head() => network[6] += 1.0,
                _ => {}
            }
        }
        let bytes = demand.external_bytes + demand.on_chip_bytes;
        let of = &mut by_class[Class::of(architecture, kernel.head()) as usize * OF_CLASS.len()..];
        of[0] += 1.0;
        of[1] += demand.operations;
        of[2] += bytes;
        let work = Work::new(architecture, kernel, 1);
        network[0] += 1.0;
        network[2] += latency;
        network[4] += kernel.inputs.len() as f64;
        network[7] += work.weight_bytes + work.vector_bytes;
        network[8] += work.activation_bytes;
        if !matches!(demand.kind, WorkKind::ElementWise) {
            network[10] += work.operations;
        }
    }
    for kernel in paths.longest() {
        let class = Class::of(architecture, schedule.kernels[kernel].head());
        by_class[class as usize * OF_CLASS.len() + 3] += 1.0;
    }
    network[1] = paths.kernels;
    network[3] = paths.latency_us;
    network[9] = peak_memory_bytes(architecture, schedule, 1) as f64;
    let live = architecture.live();
    for id in architecture.ids().filter(|id| !live[id.0]) {
        let class = Class::of(architecture, id);
        if architecture.layer(id).op.has_weights() || !matches!(class, Class::Other) {
            by_class[class as usize * OF_CLASS.len() + 4] += 1.0;
            network[12] += 1.0;
        }
        let macs = architecture.layer_counts(id).macs as f64;
        network[11] += macs;
        network[10] += macs;
    }
    for id in architecture.ids() {
        match architecture.layer(id).op {
            Op::Zero { .. } => {
                network[13] += 1.0;
                network[14] += f64::from(u8::from(live[id.0]));
            }
            Op::Add if live[id.0] && schedule.buffers[id.0] != Some(id) => network[15] += 1.0,
            _ => {}
        }
    }
    let (around, at) = sketched.split_at_mut(NEIGHBORHOODS);
    neighborhoods(architecture, &live, around);
    sites(architecture, &live, at);
    Ok(features)
}

/// Counts the neighborhoods of layers, folded into a vector of fixed length by random signs.
///
/// Source: N. Shervashidze et al., Weisfeiler-Lehman graph kernels, Journal of Machine Learning Research 12,
/// 2011, algorithm 1: a layer's label is refined twice by those of its inputs and readers. K. Weinberger et
/// al., Feature hashing for large scale multitask learning, ICML 2009, equation 1. Differs: batch
/// normalizations and activations pass their input's label on.
fn neighborhoods(architecture: &Architecture, live: &[bool], sketch: &mut [f64]) {
    // The layer whose label stands for each layer.
    let mut stands: Vec<usize> = Vec::with_capacity(live.len());
    for id in architecture.ids() {
        let layer = architecture.layer(id);
        let passes = matches!(layer.op, Op::BatchNorm | Op::Activation { .. } | Op::Flatten);
        stands.push(if passes { stands[layer.inputs[0].0] } else { id.0 });
    }
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); live.len()];
    let mut inputs: Vec<Vec<usize>> = vec![Vec::new(); live.len()];
    for id in architecture.ids().filter(|id| stands[id.0] == id.0) {
        for input in &architecture.layer(id).inputs {
            inputs[id.0].push(stands[input.0]);
            readers[stands[input.0]].push(id.0);
        }
    }
    let mut labels: Vec<u64> = architecture
        .ids()
        .map(|id| {
            let step = match architecture.layer(id).op {
                Op::Conv2d { stride, .. } | Op::Pool { stride, .. } => stride[0] as u64,
                _ => 0,
            };
            mixed([
                Class::of(architecture, id) as u64,
                u64::from(live[id.0]),
                step,
                constant(architecture, id),
            ])
        })
        .collect();
    for round in 0..3_u64 {
        if round > 0 {
            let refined = |layer: usize| {
                let sorted = |neighbors: &[usize]| {
                    let mut found: Vec<u64> = neighbors.iter().map(|&neighbor| labels[neighbor]).collect();
                    found.sort_unstable();
                    mixed(found)
                };
                mixed([labels[layer], sorted(&inputs[layer]), sorted(&readers[layer])])
            };
            labels = (0..labels.len()).map(refined).collect();
        }
        let counted = labels.iter().enumerate().filter(|(layer, _)| stands[*layer] == *layer);
        for (_, &label) in counted {
            fold(mixed([label, round]), sketch);
        }
    }
}

/// Counts what stands at each place of the network, folded as [`neighborhoods`]: the name of a layer tells
/// its place, which a space gives the same name in all networks.
fn sites(architecture: &Architecture, live: &[bool], sketch: &mut [f64]) {
    for id in architecture.ids() {
        let layer = architecture.layer(id);
        // Eight letters at a time; the length tells apart names that end in zeros.
        let letters = |part: &[u8]| part.iter().rev().fold(0, |word, letter| word << 8 | u64::from(*letter));
        let words = layer.name.as_bytes().chunks(8).map(letters);
        let name = mixed(words.chain([layer.name.len() as u64]));
        let class = Class::of(architecture, id) as u64;
        fold(mixed([name, class, layer.output.channels as u64]), sketch);
        if live[id.0] {
            fold(mixed([name, class, layer.output.channels as u64, 1]), sketch);
        }
    }
}

/// Adds a token to a sketch.
fn fold(token: u64, sketch: &mut [f64]) {
    let sign = if token >> 63 == 0 { 1.0 } else { -1.0 };
    let place = (token % sketch.len().max(1) as u64) as usize;
    if let Some(value) = sketch.get_mut(place) {
        *value += sign;
    }
}

/// 1 for a constant, which is of class [`Class::Other`] as some layers that run are.
fn constant(architecture: &Architecture, id: LayerId) -> u64 {
    u64::from(matches!(architecture.layer(id).op, Op::Zero { .. }))
}

/// A hash of numbers in their order, equal on every machine.
///
/// Source: G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, figure
/// 16: the finalizer of `SplittableRandom`.
fn mixed(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0x9e37_79b9_7f4a_7c15, |state, number| {
        let mut z = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// The longest paths through the kernels, from the input to the output.
struct Paths {
    /// Kernel before each kernel on the path with the largest latency.
    before: Vec<Option<usize>>,
    last: Option<usize>,
    /// Kernels on the path with the most kernels.
    kernels: f64,
    /// Latency of the path with the largest latency.
    latency_us: f64,
}

impl Paths {
    fn new(architecture: &Architecture, kernels: &[Kernel], latencies: &[f64]) -> Self {
        let mut kernel_of: Vec<Option<usize>> = vec![None; architecture.layers.len()];
        let mut before = vec![None; kernels.len()];
        let (mut counts, mut times): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        for (i, kernel) in kernels.iter().enumerate() {
            let (mut count, mut time) = (0.0_f64, 0.0_f64);
            for input in kernel.inputs.iter().filter_map(|input| kernel_of[input.0]) {
                count = count.max(counts[input]);
                if before[i].is_none() || times[input] > time {
                    time = times[input];
                    before[i] = Some(input);
                }
            }
            counts.push(count + 1.0);
            times.push(time + latencies[i]);
            kernel_of[kernel.output().0] = Some(i);
        }
        let last = kernels.len().checked_sub(1);
        let at_end = |values: &[f64]| last.map_or(0.0, |last| values[last]);
        Self { before, last, kernels: at_end(&counts), latency_us: at_end(&times) }
    }

    /// Kernels of the path with the largest latency, the last first.
    fn longest(&self) -> impl Iterator<Item = usize> {
        std::iter::successors(self.last, |kernel| self.before[*kernel])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_feature_has_a_name_of_its_own() {
        let names = names();
        assert_eq!(names.len(), COUNT);
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), COUNT, "files name features, so each name must mean one of them");
    }
}
