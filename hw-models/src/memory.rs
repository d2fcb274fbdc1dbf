//! Computes the peak memory of activations and the bytes of the stored weights.

use kiln_space::{Architecture, LayerId, Op};

use crate::work::buffer_bytes;
use crate::{Kernel, Schedule};

/// Returns the maximum number of bytes of activations that are live at the same time. The kernels run in the
/// order of the schedule.
///
/// The inputs and the output of a kernel are live at the same time. A buffer is freed after the last kernel
/// that reads it, but the network's output is never freed. Activations, normalizations, sums and products
/// that run as their own kernel may overwrite an input, as in inference runtimes. They overwrite an input if
/// no later kernel reads this input and if it has the size of the output.
#[must_use]
pub fn peak_memory_bytes(architecture: &Architecture, schedule: &Schedule, batch: u64) -> u64 {
    let bytes = |id: LayerId| buffer_bytes(architecture, id, batch);
    let mut last_use = vec![None; architecture.layers.len()];
    for (step, kernel) in schedule.kernels.iter().enumerate() {
        for input in &kernel.inputs {
            last_use[input.0] = Some(step);
        }
    }
    if let Some(output) = schedule.buffers.last().copied().flatten() {
        last_use[output.0] = Some(usize::MAX);
    }
    let mut alive = if architecture.layers.is_empty() { 0 } else { bytes(LayerId(0)) };
    let mut peak = alive;
    if last_use.first().is_some_and(Option::is_none) {
        alive = 0;
    }
    for (step, kernel) in schedule.kernels.iter().enumerate() {
        let dying = || kernel.inputs.iter().copied().filter(|input| last_use[input.0] == Some(step));
        let output = bytes(kernel.output());
        let in_place = works_in_place(architecture, kernel) && dying().any(|input| bytes(input) == output);
        peak = peak.max(if in_place { alive } else { alive + output });
        alive += output;
        alive -= dying().map(bytes).sum::<u64>();
    }
    peak
}

/// Returns the bytes of the weights of a deployed network. The result equals the weight bytes of
/// [`kiln_space::Counts`], with two differences. Layers that do not run are omitted. A folded batch
/// normalization becomes a four-byte bias per channel. Zeros and the scales of integer weights are included.
#[must_use]
pub fn model_bytes(architecture: &Architecture, schedule: &Schedule) -> u64 {
    schedule
        .kernels
        .iter()
        .map(|kernel| {
            let (weights, vectors) = stored_weight_bytes(architecture, kernel);
            weights + vectors
        })
        .sum()
}

/// Returns the stored bytes of a kernel as two numbers. The first number counts the weights of convolutions
/// and fully connected layers. The second number counts biases, scales and shifts. Integer weights have a
/// scale per output channel.
pub(crate) fn stored_weight_bytes(architecture: &Architecture, kernel: &Kernel) -> (u64, u64) {
    let layer = architecture.layer(kernel.head());
    let channels = layer.output.channels as u64;
    let vectors = match layer.op {
        Op::Conv2d { bias, .. } | Op::Linear { bias, .. } => u64::from(bias) * channels * 4,
        Op::BatchNorm => 2 * channels * 4,
        _ => 0,
    };
    let sums = matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. });
    let scales = if sums && layer.precision.weights.is_integer() { channels * 4 } else { 0 };
    let weights = architecture.layer_counts(kernel.head()).weight_bytes - vectors - scales;
    (weights, if kernel.folded_batch_norm { channels * 4 } else { vectors } + scales)
}

fn works_in_place(architecture: &Architecture, kernel: &Kernel) -> bool {
    let head = &architecture.layer(kernel.head()).op;
    matches!(head, Op::Activation { .. } | Op::BatchNorm | Op::Add | Op::Mul)
}

#[cfg(test)]
mod tests {
    use kiln_space::{ActivationKind, ArchitectureBuilder, PoolKind, Shape};

    use super::*;

    fn peak(b: ArchitectureBuilder, batch: u64) -> u64 {
        let architecture = b.finish().unwrap();
        peak_memory_bytes(&architecture, &Schedule::new(&architecture), batch)
    }

    #[test]
    fn peak_of_chain_is_input_plus_output_of_largest_layer() {
        // In f32, 4x8x8 values take 1024 bytes, 8x8x8 take 2048, and 2x8x8 take 512.
        let mut b = ArchitectureBuilder::new(Shape::new(4, 8, 8));
        let x = b.conv("a", b.input(), 8, 3, 1, 1).unwrap();
        let x = b.activation("relu", x, ActivationKind::Relu).unwrap();
        b.conv("b", x, 2, 3, 1, 1).unwrap();
        assert_eq!(peak(b.clone(), 1), 1024 + 2048);
        assert_eq!(peak(b, 5), 5 * (1024 + 2048));
    }

    #[test]
    fn shortcut_stays_alive_until_the_sum() {
        let mut b = ArchitectureBuilder::new(Shape::new(4, 8, 8));
        let x = b.conv("stem", b.input(), 4, 3, 1, 1).unwrap();
        let y = b.conv("wide", x, 8, 3, 1, 1).unwrap();
        let y = b.conv("narrow", y, 4, 3, 1, 1).unwrap();
        b.add("add", Op::Add, &[x, y], None).unwrap();
        // The peak consists of the shortcut, the wide map, and the output of the last convolution with the
        // fused sum.
        assert_eq!(peak(b, 1), 1024 + 2048 + 1024);
    }

    #[test]
    fn separate_activation_overwrites_its_input() {
        let pool = Op::Pool { kind: PoolKind::Max, kernel: [1, 1], stride: [1, 1], padding: [0, 0] };
        let mut b = ArchitectureBuilder::new(Shape::new(4, 8, 8));
        let x = b.add("pool", pool, &[b.input()], None).unwrap();
        let x = b.activation("relu", x, ActivationKind::Relu).unwrap();
        assert_eq!(peak(b.clone(), 1), 2 * 1024);
        // Two layers read the pooled map, so the activation must not overwrite it.
        b.add("add", Op::Add, &[x, LayerId(1)], None).unwrap();
        assert_eq!(peak(b, 1), 2 * 1024);
    }

    #[test]
    fn live_input_is_not_overwritten() {
        let pool = Op::Pool { kind: PoolKind::Max, kernel: [1, 1], stride: [1, 1], padding: [0, 0] };
        let mut b = ArchitectureBuilder::new(Shape::new(4, 8, 8));
        let p = b.add("pool", pool, &[b.input()], None).unwrap();
        let r = b.activation("relu", p, ActivationKind::Relu).unwrap();
        let w = b.conv("wide", r, 8, 1, 1, 1).unwrap();
        let n = b.conv("narrow", w, 4, 1, 1, 1).unwrap();
        b.add("add", Op::Mul, &[n, p], None).unwrap();
        // The peak consists of the pooled map, the activated map and the wide map.
        assert_eq!(peak(b, 1), 1024 + 1024 + 2048);
    }

    #[test]
    fn peak_of_network_without_layers_is_its_input() {
        assert_eq!(peak(ArchitectureBuilder::new(Shape::new(4, 8, 8)), 1), 1024);
    }

    #[test]
    fn model_bytes_count_folded_batch_norm_as_bias() {
        let mut b = ArchitectureBuilder::new(Shape::new(4, 8, 8));
        let x = b.conv("conv", b.input(), 8, 3, 1, 1).unwrap();
        b.batch_norm("bn", x).unwrap();
        let folded = b.clone().finish().unwrap();
        assert_eq!(model_bytes(&folded, &Schedule::new(&folded)), 8 * 4 * 9 * 4 + 8 * 4);
        assert_eq!(folded.counts().weight_bytes, 8 * 4 * 9 * 4 + 8 * 8);
        let x = b.global_pool("pool", x).unwrap();
        b.linear("head", x, 10).unwrap();
        let without = b.finish().unwrap();
        // No layer reads the normalization any more, so it is dead.
        assert_eq!(model_bytes(&without, &Schedule::new(&without)), 8 * 4 * 9 * 4 + 10 * 8 * 4 + 10 * 4);
    }
}
