//! Random networks.

use kiln_space::{ActivationKind, ArchitectureBuilder, LayerId, Op, PoolKind, Shape, SpaceError};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::model;
use super::samples::{conv, pool};
use crate::TrainedModel;

/// Creates a random network with random weights. It has up to twelve operations on an image or a vector, and
/// a classifier with two to five classes.
///
/// # Panics
/// Never, because only layers that fit their inputs are added.
#[must_use]
pub fn random_model(seed: u64) -> TrainedModel {
    let mut rng = Pcg64::seed_from_u64(seed);
    let shape = if rng.random_range(0..4) == 0 {
        Shape::vector(rng.random_range(1..9))
    } else {
        Shape::new(rng.random_range(1..5), rng.random_range(1..10), rng.random_range(1..10))
    };
    let mut b = ArchitectureBuilder::new(shape);
    let mut ids = vec![b.input()];
    for i in 0..rng.random_range(0..13) {
        // A layer that does not fit its input is skipped.
        if let Ok(id) = random_layer(&mut b, &ids, &format!("layer{i}"), &mut rng) {
            ids.push(id);
        }
    }
    let last = *ids.last().expect("the input is there");
    let classes = rng.random_range(2..6);
    let flat = if rng.random() { Op::Flatten } else { Op::GlobalPool };
    let architecture = b
        .add("flat", flat, &[last], None)
        .and_then(|flat| b.linear("head", flat, classes))
        .and_then(|_| b.finish())
        .expect("every layer that was accepted fits");
    model(architecture, seed)
}

fn random_layer(
    b: &mut ArchitectureBuilder,
    ids: &[LayerId],
    name: &str,
    rng: &mut dyn Rng,
) -> Result<LayerId, SpaceError> {
    // Prefer the newest layer, so that networks grow deep.
    let x = if rng.random() { ids[ids.len() - 1] } else { ids[rng.random_range(0..ids.len())] };
    let shape = b.shape(x);
    let alike: Vec<LayerId> = ids.iter().copied().filter(|id| b.shape(*id) == shape).collect();
    let joint: Vec<LayerId> = ids
        .iter()
        .copied()
        .filter(|id| [b.shape(*id).height, b.shape(*id).width] == [shape.height, shape.width])
        .collect();
    let pairs = |rng: &mut dyn Rng, end: usize| [rng.random_range(1..end), rng.random_range(1..end)];
    let (kernel, stride) = (pairs(rng, 6), pairs(rng, 3));
    let padding = kernel.map(|size| rng.random_range(0..=size / 2));
    match rng.random_range(0..11) {
        0 | 1 => {
            let groups = if rng.random() { 1 } else { shape.channels };
            let out = groups * rng.random_range(1..4);
            conv(b, name, x, out, kernel, stride, padding, groups, rng.random())
        }
        2 => b.batch_norm(name, x),
        3 | 4 => b.activation(name, x, ActivationKind::ALL[rng.random_range(0..8)]),
        5 => {
            let kind = if rng.random() { PoolKind::Max } else { PoolKind::Average };
            b.add(name, pool(kind, kernel, stride, padding), &[x], None)
        }
        6 => b.linear(name, x, rng.random_range(1..9)),
        7 => {
            let others = (0..rng.random_range(1..4)).map(|_| alike[rng.random_range(0..alike.len())]);
            let inputs: Vec<LayerId> = std::iter::once(x).chain(others).collect();
            b.add(name, Op::Add, &inputs, None)
        }
        8 => {
            let others = (0..rng.random_range(0..3)).map(|_| joint[rng.random_range(0..joint.len())]);
            let inputs: Vec<LayerId> = std::iter::once(x).chain(others).collect();
            b.add(name, Op::Concat, &inputs, None)
        }
        9 => {
            let gate = b.global_pool(format!("{name}.gate"), x)?;
            let gate = b.activation(format!("{name}.sigmoid"), gate, ActivationKind::Sigmoid)?;
            b.add(name, Op::Mul, &[x, gate], None)
        }
        _ => {
            let zero = Op::Zero { channels: rng.random_range(1..5), stride: rng.random_range(1..3) };
            b.add(name, zero, &[x], None)
        }
    }
}
