//! Counts how often each kind of layer occurs, alone and together with its input layers.
//!
//! Source: Shervashidze et al., Weisfeiler-Lehman graph kernels, JMLR 2011; for architectures Ru, Wan, Dong,
//! Osborne, Interpretable neural architecture search via Bayesian optimisation with Weisfeiler-Lehman
//! kernels, ICLR 2021. Differs: labels depend only on layers towards the input, and are hashed into a fixed
//! number of counters.

use kiln_space::{Architecture, Op};

/// Number of steps towards the input.
pub(super) const DEPTH: usize = 2;
/// Number of counters for each depth.
pub(super) const BUCKETS: usize = 64;

/// The labels of a layer, one for each depth. `None` if the layer's value does not depend on the network's
/// input.
type Labels = Option<[u64; DEPTH + 1]>;

/// Counts the labels at depths 0, 1 and 2. Normalization, activations and changes of shape have the label of
/// their input layer. Layers that are not on a path from input to output are left out.
pub(super) fn counts(architecture: &Architecture) -> Vec<f64> {
    let live = architecture.live();
    let mut counts = vec![0.0; (DEPTH + 1) * BUCKETS];
    let mut labels: Vec<Labels> = Vec::with_capacity(architecture.layers.len());
    for (layer, live) in architecture.layers.iter().zip(live) {
        let read: Vec<[u64; DEPTH + 1]> = layer.inputs.iter().filter_map(|input| labels[input.0]).collect();
        let label = match &layer.op {
            Op::Input => Some([kind(&layer.op); DEPTH + 1]),
            Op::Zero { .. } => None,
            _ if !live => None,
            Op::BatchNorm | Op::Activation { .. } | Op::GlobalPool | Op::Flatten => read.first().copied(),
            op if !read.is_empty() => {
                let label = refined(kind(op), &read);
                for (depth, label) in label.iter().enumerate() {
                    counts[depth * BUCKETS + bucket(*label)] += 1.0;
                }
                Some(label)
            }
            _ => None,
        };
        labels.push(label);
    }
    counts
}

/// Computes the labels of a layer. The label at depth 0 is the layer's kind. The label at depth `d` joins the
/// layer's own label at depth `d - 1` with the labels of its input layers at that depth, in any order.
fn refined(kind: u64, read: &[[u64; DEPTH + 1]]) -> [u64; DEPTH + 1] {
    let mut label = [kind; DEPTH + 1];
    for depth in 1..=DEPTH {
        let mut inputs: Vec<u64> = read.iter().map(|labels| labels[depth - 1]).collect();
        inputs.sort_unstable();
        label[depth] = inputs.iter().fold(label[depth - 1], |hash, input| mixed(hash, &input.to_le_bytes()));
    }
    label
}

/// Returns the kind of a layer: its operation, its window, and whether it is grouped or strided.
fn kind(op: &Op) -> u64 {
    let (window, grouped, strided) = match op {
        Op::Conv2d { kernel, stride, groups, .. } => (kernel[0].max(kernel[1]), *groups > 1, stride[0] > 1),
        Op::Pool { kernel, stride, .. } => (kernel[0].max(kernel[1]), false, stride[0] > 1),
        _ => (0, false, false),
    };
    let hash = mixed(0xcbf2_9ce4_8422_2325, op.name().as_bytes());
    mixed(hash, &[window.min(255) as u8, u8::from(grouped), u8::from(strided)])
}

/// Continues an FNV-1a hash with these bytes.
fn mixed(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const fn bucket(label: u64) -> usize {
    ((label ^ (label >> 29)) % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;

    fn network(first: usize, second: usize, dead: bool) -> Architecture {
        let mut b = ArchitectureBuilder::new(Shape::new(1, 8, 8));
        let stem = b.conv("stem", b.input(), 4, first, 1, 1).unwrap();
        let branch = b.conv("branch", stem, 4, second, 1, 1).unwrap();
        let branch = b.batch_norm("bn", branch).unwrap();
        let inputs = if dead { [stem, stem] } else { [stem, branch] };
        let sum = b.add("sum", Op::Add, &inputs, None).unwrap();
        let pooled = b.global_pool("pool", sum).unwrap();
        b.linear("head", pooled, 3).unwrap();
        b.finish().unwrap()
    }

    fn at_depth(counts: &[f64], depth: usize) -> &[f64] {
        &counts[depth * BUCKETS..(depth + 1) * BUCKETS]
    }

    #[test]
    fn connected_layers_count_once_at_each_depth() {
        // Two convolutions, the sum and the head are counted. Normalization and pooling are not counted.
        let counts = counts(&network(3, 1, false));
        for depth in 0..=DEPTH {
            assert!((at_depth(&counts, depth).iter().sum::<f64>() - 4.0).abs() < 1e-12);
        }
        let without = super::counts(&network(3, 1, true));
        assert!((at_depth(&without, 0).iter().sum::<f64>() - 3.0).abs() < 1e-12);
    }

    #[test]
    fn swapped_layers_differ_from_depth_one_on() {
        let (a, b) = (counts(&network(3, 1, false)), counts(&network(1, 3, false)));
        assert_eq!(at_depth(&a, 0), at_depth(&b, 0));
        assert_ne!(at_depth(&a, 1), at_depth(&b, 1));
        assert_eq!(counts(&network(3, 1, false)), a);
    }
}
