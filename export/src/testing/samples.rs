//! Sample networks that together use every operation.

use std::collections::BTreeMap;

use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, Op, PoolKind, Shape, SpaceError, WeightRef,
};

use super::model;
use crate::TrainedModel;

/// Returns small networks by name. Together they use every operation, on feature maps and on vectors.
///
/// # Panics
/// Never, because the samples are valid.
#[must_use]
pub fn sample_models() -> BTreeMap<String, TrainedModel> {
    type Sample = fn() -> Result<Architecture, SpaceError>;
    let samples: [(&str, Sample); 9] = [
        ("convolutions", convolutions),
        ("dead-layers", dead_layers),
        ("every-op", every_op),
        ("identity", || ArchitectureBuilder::new(Shape::vector(4)).finish()),
        ("names", names),
        ("perceptron", perceptron_architecture),
        ("ranks", ranks),
        ("vectors", vectors),
        ("zeros", zeros),
    ];
    samples
        .into_iter()
        .enumerate()
        .map(|(seed, (name, architecture))| {
            let architecture = architecture().expect("the samples fit together");
            (name.to_owned(), model(architecture, seed as u64))
        })
        .collect()
}

/// Returns the smallest sample. It has five features, a batch normalization `norm`, and a fully connected
/// layer `head` with three classes.
///
/// # Panics
/// Never, because the sample is valid.
#[must_use]
pub fn perceptron() -> TrainedModel {
    model(perceptron_architecture().expect("the sample fits together"), 5)
}

fn perceptron_architecture() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::vector(5));
    let x = b.batch_norm("norm", b.input())?;
    let x = b.activation("act", x, ActivationKind::Relu)?;
    b.linear("head", x, 3)?;
    b.finish()
}

/// Uses every operation and every activation, on a rectangular image.
fn every_op() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::new(3, 9, 8));
    let stem = b.conv("stem.conv", b.input(), 8, 3, 2, 1)?;
    let mut x = b.batch_norm("stem.bn", stem)?;
    for kind in ActivationKind::ALL {
        let part = b.conv(format!("{}.conv", kind.name()), x, 8, 3, 1, 8)?;
        let part = b.activation(kind.name(), part, kind)?;
        x = b.add(format!("{}.add", kind.name()), Op::Add, &[x, part], None)?;
    }
    let squeeze = b.global_pool("se.squeeze", x)?;
    let reduced = conv(&mut b, "se.reduce", squeeze, 2, [1, 1], [1, 1], [0, 0], 1, true)?;
    let gate = conv(&mut b, "se.expand", reduced, 8, [1, 1], [1, 1], [0, 0], 1, true)?;
    let gate = b.activation("se.gate", gate, ActivationKind::HardSigmoid)?;
    let scaled = b.add("se.scale", Op::Mul, &[x, gate], None)?;
    let squared = b.add("square", Op::Mul, &[scaled, scaled], None)?;
    let max = b.add("max", pool(PoolKind::Max, [3, 3], [2, 2], [1, 1]), &[scaled], None)?;
    let average = b.add("average", pool(PoolKind::Average, [3, 3], [2, 2], [1, 1]), &[squared], None)?;
    let zero = b.add("zero", Op::Zero { channels: 8, stride: 2 }, &[scaled], None)?;
    let sum = b.add("sum", Op::Add, &[max, average, zero], None)?;
    let joined = b.add("concat", Op::Concat, &[sum, max, zero], None)?;
    let flat = b.add("flatten", Op::Flatten, &[joined], None)?;
    let hidden = b.linear("hidden", flat, 12)?;
    b.add(
        "head",
        Op::Linear { out_features: 5, bias: false },
        &[hidden],
        Some(WeightRef::leading("head", 5, 12)),
    )?;
    b.finish()
}

/// Uses groups and windows larger than the image. Windows, strides and padding differ by axis.
fn convolutions() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::new(2, 11, 7));
    let x = b.input();
    let x = conv(&mut b, "tall", x, 6, [5, 1], [2, 1], [2, 0], 2, true)?;
    let x = conv(&mut b, "wide", x, 6, [1, 4], [1, 2], [0, 3], 1, false)?;
    let x = conv(&mut b, "grouped", x, 9, [3, 3], [1, 1], [1, 1], 3, true)?;
    let x = conv(&mut b, "multiplied", x, 18, [3, 2], [2, 1], [0, 1], 9, false)?;
    let x = b.add("max", pool(PoolKind::Max, [2, 3], [1, 2], [1, 0]), &[x], None)?;
    let x = b.add("average", pool(PoolKind::Average, [2, 2], [1, 1], [1, 1]), &[x], None)?;
    let x = b.conv("large", x, 4, 7, 1, 1)?;
    let x = b.global_pool("pool", x)?;
    b.batch_norm("scores", x)?;
    b.finish()
}

/// Uses only vectors, with every operation that accepts them.
fn vectors() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::vector(6));
    let mut parts = Vec::new();
    for kind in ActivationKind::ALL {
        let x = b.linear(format!("{}.linear", kind.name()), b.input(), 6)?;
        let x = b.batch_norm(format!("{}.norm", kind.name()), x)?;
        parts.push(b.activation(kind.name(), x, kind)?);
    }
    let sum = b.add("sum", Op::Add, &parts, None)?;
    let gated = b.add("gated", Op::Mul, &[sum, parts[4]], None)?;
    let joined = b.add("joined", Op::Concat, &[gated, b.input(), parts[0]], None)?;
    let flat = b.add("flat", Op::Flatten, &[joined], None)?;
    b.linear("head", flat, 4)?;
    b.finish()
}

/// Uses values of shape `[c, 1, 1]` that are read both as maps and as vectors.
fn ranks() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::vector(6));
    let map = b.conv("map", b.input(), 5, 3, 1, 1)?;
    let vector = b.linear("vector", map, 5)?;
    let sum = b.add("sum", Op::Add, &[vector, map], None)?;
    let joined = b.add("joined", Op::Concat, &[vector, b.input(), sum], None)?;
    let pooled = b.global_pool("pooled", vector)?;
    let gated = b.add("gated", Op::Mul, &[vector, pooled], None)?;
    let zero = b.add("zero", Op::Zero { channels: 5, stride: 1 }, &[vector], None)?;
    let more = b.add("more", Op::Add, &[gated, zero, vector], None)?;
    let hidden = b.linear("hidden", joined, 5)?;
    let last = b.add("last", Op::Add, &[hidden, more], None)?;
    b.activation("scores", last, ActivationKind::Tanh)?;
    b.finish()
}

/// Uses constants of zeros, concatenated and alone. The output does not depend on the input.
fn zeros() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::new(2, 5, 4));
    let first = b.add("first", Op::Zero { channels: 3, stride: 2 }, &[b.input()], None)?;
    let second = b.add("second", Op::Zero { channels: 2, stride: 2 }, &[b.input()], None)?;
    let joined = b.add("joined", Op::Concat, &[first, second], None)?;
    let x = conv(&mut b, "conv", joined, 4, [3, 3], [1, 1], [1, 1], 1, true)?;
    let x = b.global_pool("pool", x)?;
    b.linear("head", x, 3)?;
    b.finish()
}

/// Uses unusual layer names, and layer names that collide with names of the graph and of weights.
fn names() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::new(1, 4, 4));
    let x = b.conv("a", b.input(), 2, 3, 1, 1)?;
    let x = b.batch_norm("a.weight", x)?;
    let x = b.activation("a.sigmoid", x, ActivationKind::Relu)?;
    let x = b.activation("logits", x, ActivationKind::Silu)?;
    let x = b.add("input.mean", Op::Add, &[x, x], None)?;
    let x = b.add("input.normalized", Op::Concat, &[x, x], None)?;
    let x = b.activation("stage 1/block 2 (größer)", x, ActivationKind::Gelu)?;
    let x = b.activation("constant.half", x, ActivationKind::Gelu)?;
    let x = b.add("Flatten", Op::Flatten, &[x], None)?;
    b.linear("output", x, 2)?;
    b.finish()
}

/// Has layers whose output no layer reads, and a layer whose output only a constant of zeros reads.
fn dead_layers() -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::new(1, 6, 6));
    let x = b.conv("conv", b.input(), 4, 3, 2, 1)?;
    let unused = b.conv("unused", b.input(), 4, 3, 2, 1)?;
    let cut = b.batch_norm("cut", unused)?;
    let zero = b.add("zero", Op::Zero { channels: 4, stride: 1 }, &[cut], None)?;
    let x = b.add("sum", Op::Add, &[x, zero], None)?;
    b.activation("tail", unused, ActivationKind::Relu)?;
    let x = b.global_pool("pool", x)?;
    b.linear("head", x, 2)?;
    b.finish()
}

#[allow(clippy::too_many_arguments, reason = "the sizes of a convolution, in the order of the operation")]
pub(super) fn conv(
    b: &mut ArchitectureBuilder,
    name: &str,
    input: LayerId,
    out_channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
    bias: bool,
) -> Result<LayerId, SpaceError> {
    let inputs = b.shape(input).channels / groups;
    let op = Op::Conv2d { out_channels, kernel, stride, padding, groups, bias };
    b.add(name, op, &[input], Some(WeightRef::leading(name, out_channels, inputs)))
}

pub(super) const fn pool(kind: PoolKind, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Op {
    Op::Pool { kind, kernel, stride, padding }
}
