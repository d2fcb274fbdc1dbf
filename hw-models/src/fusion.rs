//! Groups layers into kernels and orders the kernels. Layers that do not run belong to no kernel.

use kiln_space::{Architecture, LayerId, Op};

/// Layers that run together as one kernel. Values between these layers are not written to memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The layers in order. The whole cost of the kernel is assigned to the first layer. The other layers are
    /// fused into the first layer and cost nothing.
    pub layers: Vec<LayerId>,
    /// Layers whose outputs the kernel reads from memory.
    pub inputs: Vec<LayerId>,
    /// Whether a batch normalization is folded into the weights of the first layer.
    pub folded_batch_norm: bool,
}

impl Kernel {
    /// Returns the first layer, to which the kernel's cost is assigned.
    #[must_use]
    pub fn head(&self) -> LayerId {
        self.layers[0]
    }

    /// Returns the layer whose output the kernel writes.
    #[must_use]
    pub fn output(&self) -> LayerId {
        self.layers[self.layers.len() - 1]
    }
}

/// The kernels of an architecture in execution order. Layers are fused as in inference runtimes:
///
/// - A batch normalization directly after a convolution or fully connected layer is folded into that layer's
///   weights.
/// - An activation runs in the kernel that computes its input. An activation directly after the network's
///   input, a pooling or a concatenation runs as its own kernel.
/// - A sum is fused into the last convolution or fully connected layer whose output it reads. A kernel
///   contains at most one sum. The other summands are read from memory.
///
/// Two layers are fused only if no other layer reads the value between them. Three kinds of layers have no
/// kernel: layers that the output does not depend on, constants ([`Op::Zero`] and sums of constants), and
/// views ([`Op::Flatten`] and sums with exactly one input that is not constant).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The kernels in execution order.
    pub kernels: Vec<Kernel>,
    /// For each layer, the layer whose buffer contains its output. A layer has its own buffer unless the
    /// layer is a view. `None` for constants and for layers that do not run.
    pub buffers: Vec<Option<LayerId>>,
}

impl Schedule {
    /// Schedules an architecture.
    #[must_use]
    pub fn new(architecture: &Architecture) -> Self {
        let buffers = buffers(architecture);
        let runs = |id: LayerId| id.0 > 0 && buffers[id.0] == Some(id);
        let reads: Vec<Vec<LayerId>> = architecture
            .ids()
            .map(|id| if runs(id) { read_buffers(architecture, &buffers, id) } else { Vec::new() })
            .collect();
        let mut readers = vec![0_usize; architecture.layers.len()];
        let output = architecture.layers.len().checked_sub(1).and_then(|last| buffers[last]);
        for buffer in reads.iter().flatten().chain(&output) {
            readers[buffer.0] += 1;
        }

        let mut kernels: Vec<Kernel> = Vec::new();
        let mut kernel_of: Vec<Option<usize>> = vec![None; architecture.layers.len()];
        for id in architecture.ids().filter(|&id| runs(id)) {
            let host = reads[id.0]
                .iter()
                .rev()
                .filter(|buffer| readers[buffer.0] == 1)
                .filter_map(|&buffer| Some((buffer, kernel_of[buffer.0]?)))
                .find(|&(buffer, k)| kernels[k].output() == buffer && accepts(architecture, &kernels[k], id));
            let others = |without: Option<LayerId>| {
                reads[id.0].iter().copied().filter(move |&buffer| Some(buffer) != without)
            };
            if let Some((buffer, k)) = host {
                kernel_of[id.0] = Some(k);
                kernels[k].layers.push(id);
                kernels[k].folded_batch_norm |= architecture.layer(id).op == Op::BatchNorm;
                for input in others(Some(buffer)) {
                    if !kernels[k].inputs.contains(&input) {
                        kernels[k].inputs.push(input);
                    }
                }
            } else {
                kernel_of[id.0] = Some(kernels.len());
                let inputs = others(None).collect();
                kernels.push(Kernel { layers: vec![id], inputs, folded_batch_norm: false });
            }
        }
        // The inputs of a kernel are outputs of kernels that end earlier. So sorting the kernels by output
        // yields a valid execution order.
        kernels.sort_by_key(Kernel::output);
        Self { kernels, buffers }
    }

    /// Returns the kernel that contains a layer, or `None` for a layer that does not run.
    #[must_use]
    pub fn kernel(&self, layer: LayerId) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.layers.contains(&layer))
    }
}

fn buffers(architecture: &Architecture) -> Vec<Option<LayerId>> {
    let live = architecture.live();
    let mut buffers: Vec<Option<LayerId>> = Vec::with_capacity(live.len());
    for id in architecture.ids() {
        let layer = architecture.layer(id);
        let buffer = match layer.op {
            _ if !live[id.0] => None,
            Op::Zero { .. } => None,
            Op::Flatten => buffers[layer.inputs[0].0],
            Op::Add => {
                let mut added = layer.inputs.iter().filter_map(|input| buffers[input.0]);
                match (added.next(), added.next()) {
                    (Some(_), Some(_)) => Some(id),
                    (only, _) => only,
                }
            }
            _ => Some(id),
        };
        buffers.push(buffer);
    }
    buffers
}

/// Returns the distinct buffers that a layer reads, in ascending order.
fn read_buffers(architecture: &Architecture, buffers: &[Option<LayerId>], id: LayerId) -> Vec<LayerId> {
    let mut reads: Vec<LayerId> =
        architecture.layer(id).inputs.iter().filter_map(|input| buffers[input.0]).collect();
    reads.sort_unstable();
    reads.dedup();
    reads
}

/// Returns whether the layer can be fused to the end of the kernel.
fn accepts(architecture: &Architecture, kernel: &Kernel, id: LayerId) -> bool {
    let op = |id: LayerId| &architecture.layer(id).op;
    let head = op(kernel.head());
    let weights = matches!(head, Op::Conv2d { .. } | Op::Linear { .. });
    match op(id) {
        Op::BatchNorm => weights && kernel.layers.len() == 1,
        Op::Activation { .. } => weights || matches!(head, Op::BatchNorm | Op::Add | Op::Mul),
        Op::Add => weights && !kernel.layers.iter().any(|&layer| *op(layer) == Op::Add),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::{ActivationKind, ArchitectureBuilder, Shape};

    use super::*;

    const RELU: ActivationKind = ActivationKind::Relu;

    fn layers(schedule: &Schedule) -> Vec<Vec<usize>> {
        schedule.kernels.iter().map(|kernel| kernel.layers.iter().map(|id| id.0).collect()).collect()
    }

    #[test]
    fn residual_block_is_two_kernels_and_reads_the_shortcut() {
        let mut b = ArchitectureBuilder::new(Shape::new(8, 4, 4));
        let input = b.input();
        let x = b.conv("conv1", input, 8, 3, 1, 1).unwrap();
        let x = b.batch_norm("bn1", x).unwrap();
        let x = b.activation("relu1", x, RELU).unwrap();
        let x = b.conv("conv2", x, 8, 3, 1, 1).unwrap();
        let x = b.batch_norm("bn2", x).unwrap();
        let x = b.add("add", Op::Add, &[x, input], None).unwrap();
        b.activation("relu2", x, RELU).unwrap();
        let schedule = Schedule::new(&b.finish().unwrap());
        assert_eq!(layers(&schedule), [vec![1, 2, 3], vec![4, 5, 6, 7]]);
        assert!(schedule.kernels.iter().all(|kernel| kernel.folded_batch_norm));
        assert_eq!(schedule.kernels[1].inputs, [LayerId(3), LayerId(0)]);
        assert_eq!(schedule.kernel(LayerId(6)).unwrap().head(), LayerId(4));
    }

    #[test]
    fn value_with_two_readers_is_not_fused() {
        let mut b = ArchitectureBuilder::new(Shape::new(8, 4, 4));
        let x = b.conv("conv", b.input(), 8, 3, 1, 1).unwrap();
        let a = b.activation("relu", x, RELU).unwrap();
        b.add("add", Op::Add, &[x, a], None).unwrap();
        let schedule = Schedule::new(&b.finish().unwrap());
        assert_eq!(layers(&schedule), [[1], [2], [3]]);
    }

    #[test]
    fn batch_norm_after_activation_is_its_own_kernel() {
        let mut b = ArchitectureBuilder::new(Shape::new(8, 4, 4));
        let x = b.conv("conv", b.input(), 8, 3, 1, 1).unwrap();
        let y = b.activation("relu", x, RELU).unwrap();
        b.batch_norm("bn", y).unwrap();
        let schedule = Schedule::new(&b.finish().unwrap());
        assert_eq!(layers(&schedule), [vec![1, 2], vec![3]]);
        assert!(!schedule.kernels[0].folded_batch_norm, "a normalization after the activation is not folded");
    }

    #[test]
    fn sum_is_fused_into_the_later_branch() {
        let mut b = ArchitectureBuilder::new(Shape::new(8, 4, 4));
        let left = b.conv("left", b.input(), 8, 3, 1, 1).unwrap();
        let right = b.conv("right", b.input(), 8, 1, 1, 1).unwrap();
        b.add("add", Op::Add, &[right, left], None).unwrap();
        let schedule = Schedule::new(&b.finish().unwrap());
        assert_eq!(layers(&schedule), [vec![1], vec![2, 3]]);
        assert_eq!(schedule.kernels[1].inputs, [LayerId(0), LayerId(1)]);
    }

    #[test]
    fn schedule_omits_constants_views_and_dead_layers() {
        let mut b = ArchitectureBuilder::new(Shape::new(8, 4, 4));
        let dead = b.conv("dead", b.input(), 8, 3, 1, 1).unwrap();
        let zero = b.add("zero", Op::Zero { channels: 8, stride: 1 }, &[dead], None).unwrap();
        let x = b.conv("conv", b.input(), 8, 3, 1, 1).unwrap();
        let x = b.add("add", Op::Add, &[zero, x], None).unwrap();
        let x = b.activation("relu", x, RELU).unwrap();
        let x = b.add("flatten", Op::Flatten, &[x], None).unwrap();
        b.linear("head", x, 3).unwrap();
        let schedule = Schedule::new(&b.finish().unwrap());
        assert_eq!(layers(&schedule), [vec![3, 5], vec![7]]);
        assert_eq!(schedule.buffers[1], None);
        assert_eq!(schedule.buffers[2], None);
        assert_eq!(schedule.buffers[4], Some(LayerId(3)));
        assert_eq!(schedule.buffers[6], Some(LayerId(5)));
        assert_eq!(schedule.kernels[1].inputs, [LayerId(5)]);
    }
}
