//! Random networks of the blocks that common networks consist of, and networks without some of their
//! channels.

use std::collections::BTreeSet;

use kiln_space::channels::Coupling;
use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, Op, PoolKind, Shape, SpaceError,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::model;
use super::samples::{conv, pool};
use crate::TrainedModel;
use crate::pruning::structured::{Plan, cut};

/// Creates a random network with random weights from a stem and two to four blocks: plain, residual, inverted
/// residual with depthwise convolution and squeeze-excitation, grouped, dense with concatenation, zeros, and
/// pooling.
///
/// # Panics
/// Never, because the blocks fit together.
#[must_use]
pub fn random_blocks(seed: u64) -> TrainedModel {
    let mut rng = Pcg64::seed_from_u64(seed);
    let size = rng.random_range(5..9);
    let mut b = ArchitectureBuilder::new(Shape::new(rng.random_range(1..4), size, size));
    let architecture = network(&mut b, &mut rng).and_then(|()| b.finish());
    model(architecture.expect("the blocks fit together"), seed)
}

fn network(b: &mut ArchitectureBuilder, rng: &mut dyn Rng) -> Result<(), SpaceError> {
    let width = 2 * rng.random_range(2..5);
    let input = b.input();
    let mut x = if rng.random_range(0..4) == 0 {
        // Every group of the input gets several outputs.
        let groups = b.shape(input).channels;
        conv(b, "stem", input, groups * 4, [3; 2], [1; 2], [1; 2], groups, true)?
    } else {
        normalized(b, "stem", input, width, 3, 1, rng)?
    };
    for i in 0..rng.random_range(2..5) {
        x = block(b, &format!("block{i}"), x, rng)?;
    }
    x = match rng.random_range(0..3) {
        0 => b.add("flat", Op::Flatten, &[x], None)?,
        1 => b.global_pool("pooled", x)?,
        _ => {
            let x = normalized(b, "last", x, 6, 1, 1, rng)?;
            let x = b.global_pool("pooled", x)?;
            let x = b.linear("hidden", x, 7)?;
            b.activation("hidden.act", x, ActivationKind::HardSwish)?
        }
    };
    b.linear("head", x, 3)?;
    Ok(())
}

/// Appends a convolution with normalization and a random activation.
fn normalized(
    b: &mut ArchitectureBuilder,
    name: &str,
    input: LayerId,
    channels: usize,
    kernel: usize,
    groups: usize,
    rng: &mut dyn Rng,
) -> Result<LayerId, SpaceError> {
    let x = b.conv(name, input, channels, kernel, 1, groups)?;
    let x = b.batch_norm(format!("{name}.bn"), x)?;
    b.activation(format!("{name}.act"), x, ActivationKind::ALL[rng.random_range(0..8)])
}

fn block(
    b: &mut ArchitectureBuilder,
    name: &str,
    x: LayerId,
    rng: &mut dyn Rng,
) -> Result<LayerId, SpaceError> {
    let width = b.shape(x).channels;
    let part = |part: &str| format!("{name}.{part}");
    match rng.random_range(0..7) {
        0 => normalized(b, name, x, 2 * rng.random_range(2..5), 3, 1, rng),
        1 => {
            let y = normalized(b, &part("a"), x, 5, 3, 1, rng)?;
            let y = normalized(b, &part("b"), y, width, 3, 1, rng)?;
            b.add(part("sum"), Op::Add, &[y, x], None)
        }
        2 => {
            let wide = normalized(b, &part("expand"), x, 2 * width, 1, 1, rng)?;
            let y = normalized(b, &part("depthwise"), wide, 2 * width, 3, 2 * width, rng)?;
            let gate = b.global_pool(part("squeeze"), y)?;
            let gate = conv(b, &part("reduce"), gate, 3, [1; 2], [1; 2], [0; 2], 1, true)?;
            let gate = b.activation(part("relu"), gate, ActivationKind::Relu)?;
            let gate = conv(b, &part("gate"), gate, 2 * width, [1; 2], [1; 2], [0; 2], 1, true)?;
            let gate = b.activation(part("sigmoid"), gate, ActivationKind::Sigmoid)?;
            let y = b.add(part("scale"), Op::Mul, &[y, gate], None)?;
            let y = b.conv(part("project"), y, width, 1, 1, 1)?;
            let y = b.batch_norm(part("project.bn"), y)?;
            b.add(part("sum"), Op::Add, &[x, y], None)
        }
        3 => {
            let y = normalized(b, &part("in"), x, 8, 1, 1, rng)?;
            let y = normalized(b, &part("grouped"), y, 12, 3, 4, rng)?;
            let y = normalized(b, &part("out"), y, width, 1, 1, rng)?;
            b.add(part("sum"), Op::Add, &[x, y], None)
        }
        4 => {
            let y = normalized(b, &part("a"), x, 3, 3, 1, rng)?;
            let joined = b.add(part("joined"), Op::Concat, &[x, y], None)?;
            let z = normalized(b, &part("b"), joined, 2, 1, 1, rng)?;
            b.add(part("all"), Op::Concat, &[z, joined, y], None)
        }
        5 => {
            let zero = b.add(part("zero"), Op::Zero { channels: width, stride: 1 }, &[x], None)?;
            let y = normalized(b, &part("a"), x, width, 1, 1, rng)?;
            let joined = b.add(part("joined"), Op::Concat, &[zero, y], None)?;
            let y = b.conv(part("mixed"), joined, width, 3, 1, 1)?;
            b.add(part("sum"), Op::Add, &[zero, y], None)
        }
        _ => {
            let kind = if rng.random() { PoolKind::Max } else { PoolKind::Average };
            b.add(name, pool(kind, [3; 2], [2; 2], [1; 2]), &[x], None)
        }
    }
}

/// Chooses units of channels at random, about half of those that can be removed. Every layer keeps at least
/// one channel.
#[must_use]
pub fn random_units(architecture: &Architecture, coupling: &Coupling, seed: u64) -> BTreeSet<usize> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut removed = BTreeSet::new();
    for unit in coupling.removable() {
        if rng.random() {
            removed.insert(unit);
            let is_empty = |id: LayerId| coupling.rows(id).iter().all(|unit| removed.contains(unit));
            if architecture.ids().any(is_empty) {
                removed.remove(&unit);
            }
        }
    }
    removed
}

/// Returns the network without about half of its channels, which are chosen at random.
///
/// # Panics
/// When the model is invalid.
#[must_use]
pub fn pruned(model: &TrainedModel, seed: u64) -> TrainedModel {
    let coupling = Coupling::new(&model.architecture).expect("the model is valid");
    let removed = random_units(&model.architecture, &coupling, seed);
    cut(model, &Plan { removed, cost: 0.0, loss: 0.0 }).expect("the units can be removed")
}
