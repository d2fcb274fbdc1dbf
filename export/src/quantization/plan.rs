//! Decides which values of a network are stored in 8 bits, and which layers compute in 8 bits.

use std::collections::BTreeSet;

use kiln_space::{ActivationKind, Architecture, Layer, LayerId, NumberFormat, Op, PoolKind};

/// The role of each live layer in a network with 8-bit layers.
///
/// A layer with 8-bit output rounds its inputs and its output to their quantization grids, as integer
/// runtimes do. Two kinds of values are not rounded:
/// - Values inside a group of fused layers. A convolution or fully connected layer is fused with the batch
///   normalization that is folded into it. A convolution, fully connected layer, batch normalization or sum
///   is fused with a ReLU that reads its output, if no other layer reads that output.
/// - The output of the network, because its values are compared with each other.
///
/// Maximum pooling and flattening only select or rearrange input values, so their output stays on the input's
/// grid. Every grid contains zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuantizationPlan {
    roles: Vec<Role>,
    owners: BTreeSet<LayerId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Role {
    /// The layer that owns the quantization grid for this layer's output in 8 bits.
    owner: Option<LayerId>,
    /// Whether the output is stored as 8-bit values of that grid.
    stored: bool,
    /// Whether the layer reads its inputs as 8-bit values of their grids.
    reads: bool,
    weights: Weights,
}

/// How the weights of a layer are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Weights {
    /// The weights stay in single precision, or the layer has none.
    #[default]
    Kept,
    /// The weights are integers. If a batch normalization is given, it is folded into the weights.
    Integers(Option<LayerId>),
    /// The layer is a batch normalization that is folded into the integers of the previous layer.
    Folded,
}

impl QuantizationPlan {
    /// Creates the plan of a valid architecture. The plan is empty if no layer has 8 bits.
    #[must_use]
    pub fn new(architecture: &Architecture) -> Self {
        let live = architecture.live();
        let runs = |id: &LayerId| live[id.0];
        if !architecture.ids().filter(runs).any(|id| is_int8(architecture.layer(id))) {
            return Self::default();
        }
        let readers: Vec<Vec<LayerId>> =
            architecture.readers().into_iter().map(|all| all.into_iter().filter(runs).collect()).collect();
        let mut roles = vec![Role::default(); architecture.layers.len()];
        for id in architecture.ids().filter(runs) {
            let layer = architecture.layer(id);
            let only = match readers[id.0].as_slice() {
                [only] => Some(*only),
                _ => None,
            };
            let next = only.map(|only| architecture.layer(only)).filter(|next| is_int8(next));
            let fuses = is_int8(layer) && next.is_some_and(|next| runs_as_one(layer, &next.op));
            let is_last = id.0 + 1 == architecture.layers.len();
            let computes = is_int8(layer) && !matches!(layer.op, Op::Zero { .. });
            roles[id.0].reads = computes && id.0 > 0;
            roles[id.0].stored = computes && !fuses && !is_last;
            if is_int8(layer) && matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }) {
                let norm = only.filter(|_| next.is_some_and(|next| next.op == Op::BatchNorm));
                roles[id.0].weights = Weights::Integers(norm);
                if let Some(norm) = norm {
                    roles[norm.0].weights = Weights::Folded;
                }
            }
            // A fused layer reads the unrounded value that the previous layer has just computed.
            if let Some(input) = layer.inputs.first() {
                let from = architecture.layer(*input);
                let alone = readers[input.0].len() == 1;
                if is_int8(layer) && is_int8(from) && alone && runs_as_one(from, &layer.op) {
                    roles[id.0].reads = false;
                }
            }
        }
        let mut plan = Self { roles, owners: BTreeSet::new() };
        plan.assign_owners(architecture, &readers);
        plan
    }

    fn assign_owners(&mut self, architecture: &Architecture, readers: &[Vec<LayerId>]) {
        for id in architecture.ids() {
            let layer = architecture.layer(id);
            let role = self.roles[id.0];
            let is_read = readers[id.0].iter().any(|reader| self.roles[reader.0].reads);
            if matches!(layer.op, Op::Zero { .. }) || !(role.stored || is_read) {
                continue;
            }
            let inherited = match layer.op {
                Op::Pool { kind: PoolKind::Max, .. } | Op::Flatten if role.reads => {
                    self.roles[layer.inputs[0].0].owner
                }
                _ => None,
            };
            let owner = inherited.unwrap_or(id);
            self.roles[id.0].owner = Some(owner);
            self.owners.insert(owner);
        }
    }

    /// Whether no layer has 8 bits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    /// Returns the layers whose outputs need their own quantization grid, in topological order.
    pub fn owners(&self) -> impl Iterator<Item = LayerId> + '_ {
        self.owners.iter().copied()
    }

    /// Returns the layer that owns the quantization grid for this layer's output in 8 bits.
    #[must_use]
    pub fn owner(&self, id: LayerId) -> Option<LayerId> {
        self.role(id).owner
    }

    /// Whether a layer's output is stored as 8-bit values of its quantization grid.
    #[must_use]
    pub fn is_stored(&self, id: LayerId) -> bool {
        self.role(id).stored
    }

    /// Whether a layer reads its inputs as 8-bit values of their quantization grids.
    #[must_use]
    pub fn reads_grids(&self, id: LayerId) -> bool {
        self.role(id).reads
    }

    /// Returns the layers with integer weights, each with the batch normalization that is folded into it.
    pub fn kernels(&self) -> impl Iterator<Item = (LayerId, Option<LayerId>)> + '_ {
        self.roles.iter().enumerate().filter_map(|(index, role)| match role.weights {
            Weights::Integers(norm) => Some((LayerId(index), norm)),
            Weights::Kept | Weights::Folded => None,
        })
    }

    /// Whether a layer is a batch normalization that is folded into the integer weights of the previous
    /// layer. Such a layer computes nothing.
    #[must_use]
    pub fn is_folded(&self, id: LayerId) -> bool {
        self.role(id).weights == Weights::Folded
    }

    fn role(&self, id: LayerId) -> Role {
        self.roles.get(id.0).copied().unwrap_or_default()
    }
}

/// Whether a layer has an 8-bit output and, if it has weights, integer weights.
fn is_int8(layer: &Layer) -> bool {
    let weights =
        !matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }) || layer.precision.weights.is_integer();
    layer.precision.activations == NumberFormat::Int8 && weights
}

/// Whether `layer` is fused with `next`. No other layer reads the output of `layer`.
fn runs_as_one(layer: &Layer, next: &Op) -> bool {
    let clips = matches!(next, Op::Activation { kind: ActivationKind::Relu | ActivationKind::Relu6 });
    match layer.op {
        Op::Conv2d { .. } | Op::Linear { .. } => clips || *next == Op::BatchNorm,
        Op::BatchNorm | Op::Add => clips,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Precision, Shape, Sparsity};

    use super::*;

    const INT8: Precision = Precision::uniform(NumberFormat::Int8);
    const F32: Precision = Precision::uniform(NumberFormat::F32);

    /// A network of these layers: input, convolution with normalization and ReLU, maximum pooling, a second
    /// convolution, the sum of its output and the pooled map, hard swish, average pooling, head. `second` is
    /// the precision of every layer after the maximum pooling.
    fn network(first: Precision, second: Precision) -> Architecture {
        let mut b = ArchitectureBuilder::new(Shape::new(1, 8, 8));
        b.set_input_format(first.activations);
        b.set_compression(first, Sparsity::Dense);
        let x = b.conv("a", b.input(), 4, 3, 1, 1).unwrap();
        let x = b.batch_norm("a.bn", x).unwrap();
        let x = b.activation("a.act", x, ActivationKind::Relu).unwrap();
        let pool = Op::Pool { kind: PoolKind::Max, kernel: [2; 2], stride: [2; 2], padding: [0; 2] };
        let x = b.add("pool", pool, &[x], None).unwrap();
        b.set_compression(second, Sparsity::Dense);
        let y = b.conv("b", x, 4, 3, 1, 1).unwrap();
        let y = b.batch_norm("b.bn", y).unwrap();
        let y = b.add("sum", Op::Add, &[x, y], None).unwrap();
        let y = b.activation("swish", y, ActivationKind::HardSwish).unwrap();
        let y = b.global_pool("mean", y).unwrap();
        b.linear("head", y, 3).unwrap();
        b.finish().unwrap()
    }

    fn names(architecture: &Architecture, ids: impl Iterator<Item = LayerId>) -> Vec<&str> {
        ids.map(|id| architecture.layer(id).name.as_str()).collect()
    }

    #[test]
    fn plan_of_network_with_all_layers_in_8_bits() {
        let network = network(INT8, INT8);
        let plan = QuantizationPlan::new(&network);
        assert_eq!(names(&network, plan.owners()), ["input", "a.act", "b.bn", "sum", "swish", "mean"]);
        let stored = network.ids().filter(|id| plan.is_stored(*id));
        assert_eq!(names(&network, stored), ["input", "a.act", "pool", "b.bn", "sum", "swish", "mean"]);
        let kernels: Vec<_> = plan.kernels().collect();
        assert_eq!(
            kernels,
            [(LayerId(1), Some(LayerId(2))), (LayerId(5), Some(LayerId(6))), (LayerId(10), None)]
        );
        assert!(plan.is_folded(LayerId(2)) && !plan.is_folded(LayerId(3)));
        assert_eq!(plan.owner(LayerId(4)), Some(LayerId(3)), "pooling stays on the grid of its input");
        assert!(
            !plan.reads_grids(LayerId(2)) && !plan.reads_grids(LayerId(3)),
            "they run with the convolution"
        );
    }

    #[test]
    fn plan_of_network_with_half_of_layers_in_8_bits() {
        let network = network(F32, INT8);
        let plan = QuantizationPlan::new(&network);
        assert_eq!(names(&network, plan.owners()), ["pool", "b.bn", "sum", "swish", "mean"]);
        assert!(!plan.is_stored(LayerId(4)), "the pooling is kept in single precision, and read in 8 bits");

        let network = self::network(INT8, F32);
        let plan = QuantizationPlan::new(&network);
        assert_eq!(names(&network, plan.owners()), ["input", "a.act"]);
        assert!(plan.is_stored(LayerId(4)) && !plan.reads_grids(LayerId(5)));
        assert_eq!(plan.kernels().count(), 1);
    }

    #[test]
    fn plan_of_single_precision_network_is_empty() {
        assert!(QuantizationPlan::new(&network(F32, F32)).is_empty());
    }
}
