use std::collections::BTreeSet;

use rand::RngExt;
use rand_pcg::Pcg64;

use super::*;
use crate::{
    ActivationKind, ArchitectureBuilder, Shape, SpaceError, SpaceRegistry, Task, WeightRef, variation,
};

/// Returns the units that can be removed, each as text: `conv.0 bn.0`.
fn removable(architecture: &Architecture) -> Vec<String> {
    let coupling = Coupling::new(architecture).unwrap();
    let text = |channel: &Channel| format!("{}.{}", architecture.layer(channel.layer).name, channel.index);
    let unit = |unit: usize| coupling.units()[unit].channels.iter().map(text).collect::<Vec<_>>().join(" ");
    coupling.removable().map(unit).collect()
}

fn grouped_conv(
    b: &mut ArchitectureBuilder,
    name: &str,
    input: LayerId,
    out_channels: usize,
    groups: usize,
) -> LayerId {
    let inputs = b.shape(input).channels / groups;
    let op =
        Op::Conv2d { out_channels, kernel: [3; 2], stride: [1; 2], padding: [1; 2], groups, bias: false };
    b.add(name, op, &[input], Some(WeightRef::leading(name, out_channels, inputs))).unwrap()
}

#[test]
fn residual_sum_and_squeeze_excitation_couple_channel_by_channel() {
    let mut b = ArchitectureBuilder::new(Shape::new(1, 4, 4));
    let stem = b.conv("stem", b.input(), 2, 3, 1, 1).unwrap();
    let x = b.conv("expand", stem, 2, 1, 1, 1).unwrap();
    let x = b.batch_norm("bn", x).unwrap();
    let pool = b.global_pool("pool", x).unwrap();
    let reduce = b.linear("reduce", pool, 2).unwrap();
    let gate = b.linear("gate", reduce, 2).unwrap();
    let gate = b.activation("sigmoid", gate, ActivationKind::Sigmoid).unwrap();
    let x = b.add("scale", Op::Mul, &[x, gate], None).unwrap();
    let x = b.add("sum", Op::Add, &[stem, x], None).unwrap();
    let x = b.global_pool("mean", x).unwrap();
    b.linear("head", x, 3).unwrap();
    let coupled = |i: usize| {
        let layers = ["stem", "expand", "bn", "pool", "gate", "sigmoid", "scale", "sum", "mean"];
        layers.map(|layer| format!("{layer}.{i}")).join(" ")
    };
    let architecture = b.finish().unwrap();
    assert_eq!(removable(&architecture), [coupled(0), coupled(1), "reduce.0".into(), "reduce.1".into()]);
    let coupling = Coupling::new(&architecture).unwrap();
    let group = &coupling.groups()[coupling.units()[coupling.unit(stem, 0)].group];
    let names: Vec<&str> = group.layers.iter().map(|id| architecture.layer(*id).name.as_str()).collect();
    assert_eq!(names, ["stem", "expand", "gate"]);
}

#[test]
fn flattening_keeps_all_positions_of_a_channel_together() {
    let mut b = ArchitectureBuilder::new(Shape::new(1, 1, 2));
    let x = b.conv("conv", b.input(), 2, 1, 1, 1).unwrap();
    let x = b.add("flat", Op::Flatten, &[x], None).unwrap();
    b.linear("head", x, 3).unwrap();
    let architecture = b.finish().unwrap();
    assert_eq!(removable(&architecture), ["conv.0 flat.0 flat.1", "conv.1 flat.2 flat.3"]);
    let coupling = Coupling::new(&architecture).unwrap();
    let shrunk = coupling.shrink(&architecture, &BTreeSet::from([coupling.unit(LayerId(1), 0)])).unwrap();
    assert_eq!(shrunk.outputs, [vec![0], vec![1], vec![2, 3], vec![0, 1, 2]]);
    assert_eq!(shrunk.inputs, [vec![], vec![0], vec![], vec![2, 3]]);
}

#[test]
fn concatenated_layers_stay_independent_until_a_sum_joins_them() {
    let mut b = ArchitectureBuilder::new(Shape::new(1, 2, 2));
    let left = b.conv("left", b.input(), 2, 1, 1, 1).unwrap();
    let right = b.conv("right", b.input(), 1, 1, 1, 1).unwrap();
    let joined = b.add("joined", Op::Concat, &[left, right], None).unwrap();
    let separate = {
        let mut b = b.clone();
        let x = b.global_pool("pool", joined).unwrap();
        b.linear("head", x, 2).unwrap();
        b.finish().unwrap()
    };
    // The only channel of `right` is fixed.
    assert_eq!(removable(&separate), ["left.0 joined.0 pool.0", "left.1 joined.1 pool.1"]);
    assert_eq!(Coupling::new(&separate).unwrap().groups().len(), 4, "input, left, right and head");

    let other = b.conv("other", b.input(), 3, 1, 1, 1).unwrap();
    let x = b.add("sum", Op::Add, &[joined, other], None).unwrap();
    let x = b.global_pool("pool", x).unwrap();
    b.linear("head", x, 2).unwrap();
    let summed = b.finish().unwrap();
    assert_eq!(removable(&summed)[1], "left.1 joined.1 other.1 sum.1 pool.1");
    assert_eq!(Coupling::new(&summed).unwrap().groups().len(), 3, "input, left with right and other, head");
}

#[test]
fn whole_groups_are_removed_unless_the_input_is_fixed() {
    let mut b = ArchitectureBuilder::new(Shape::new(2, 4, 4));
    // The input is fixed, so every group becomes smaller.
    let input = b.input();
    let x = grouped_conv(&mut b, "first", input, 6, 2);
    let x = b.conv("dense", x, 4, 1, 1, 1).unwrap();
    let x = grouped_conv(&mut b, "second", x, 6, 2);
    let x = b.global_pool("pool", x).unwrap();
    b.linear("head", x, 2).unwrap();
    let architecture = b.finish().unwrap();
    assert_eq!(
        removable(&architecture),
        [
            "first.0 first.3",
            "first.1 first.4",
            "first.2 first.5",
            "dense.0 dense.1 second.0 second.1 second.2 pool.0 pool.1 pool.2",
            "dense.2 dense.3 second.3 second.4 second.5 pool.3 pool.4 pool.5"
        ]
    );
    let coupling = Coupling::new(&architecture).unwrap();
    let removed = [coupling.unit(LayerId(1), 1), coupling.unit(LayerId(3), 0)];
    let shrunk = coupling.shrink(&architecture, &BTreeSet::from(removed)).unwrap();
    assert_eq!(shrunk.outputs[1], [0, 2, 3, 5]);
    assert_eq!(shrunk.inputs[1], [0], "each group still reads its input");
    let first = &shrunk.architecture.layers[1].op;
    assert!(matches!(first, Op::Conv2d { groups: 2, out_channels: 4, .. }), "{first:?}");
    assert_eq!(shrunk.inputs[2], [0, 2, 3, 5]);
    let second = &shrunk.architecture.layers[3].op;
    assert!(matches!(second, Op::Conv2d { groups: 1, out_channels: 3, .. }), "{second:?}");
    assert_eq!((&shrunk.outputs[3], &shrunk.inputs[3]), (&vec![3, 4, 5], &vec![0, 1]));
}

#[test]
fn errors_name_the_layer_and_leave_nothing_fixed_out() {
    let mut b = ArchitectureBuilder::new(Shape::vector(2));
    let x = b.linear("hidden", b.input(), 2).unwrap();
    b.linear("head", x, 2).unwrap();
    let architecture = b.finish().unwrap();
    let coupling = Coupling::new(&architecture).unwrap();
    let shrink = |units: &[usize]| {
        let error = coupling.shrink(&architecture, &units.iter().copied().collect()).unwrap_err();
        error.to_string()
    };
    assert_eq!(shrink(&[2, 3]), "layer `hidden` would lose all channels, expected at least one that is kept");
    assert_eq!(shrink(&[9]), "there is no unit of channels 9, expected less than 6");
    assert_eq!(
        shrink(&[5]),
        "channel 1 of layer `head` cannot be removed: it is tied to the network's input or output, or a \
         layer has no other channels"
    );
    let mut b = ArchitectureBuilder::new(Shape::vector(3));
    b.linear("head", b.input(), 2).unwrap();
    let other = b.finish().unwrap();
    assert_eq!(coupling.shrink(&other, &BTreeSet::new()), Err(SpaceError::OtherCoupling));
}

#[test]
fn an_architecture_with_too_many_channels_is_refused() {
    let mut b = ArchitectureBuilder::new(Shape::vector(1));
    b.linear("head", b.input(), CHANNELS_MAX).unwrap();
    let error = Coupling::new(&b.finish().unwrap()).unwrap_err();
    assert_eq!(error, SpaceError::TooManyChannels { found: CHANNELS_MAX + 1, limit: CHANNELS_MAX });
}

/// Removes random units, and keeps at least one channel of each layer.
fn random_removal(coupling: &Coupling, architecture: &Architecture, rng: &mut Pcg64) -> BTreeSet<usize> {
    let mut removed = BTreeSet::new();
    for unit in coupling.removable() {
        if rng.random() {
            removed.insert(unit);
            let empties = |id: LayerId| coupling.rows(id).iter().all(|unit| removed.contains(unit));
            if architecture.ids().any(empties) {
                removed.remove(&unit);
            }
        }
    }
    removed
}

#[test]
fn every_space_gives_valid_smaller_architectures() {
    let registry = SpaceRegistry::builtin();
    let task = Task { input: Shape::new(3, 12, 16), outputs: 3 };
    let mut rng = Pcg64::new(7, 0);
    let mut smaller = 0;
    for (kind, settings) in registry.samples("space") {
        let task = (!settings.table().contains_key("input")).then_some(task);
        let space = registry.build(kind, &settings, task).unwrap();
        for _ in 0..8 {
            let architecture = space.decode(&variation::sample(space.as_ref(), &mut rng)).unwrap();
            let coupling = Coupling::new(&architecture).unwrap();
            let removed = random_removal(&coupling, &architecture, &mut rng);
            let shrunk = coupling.shrink(&architecture, &removed).unwrap();
            let (before, after) = (architecture.counts(), shrunk.architecture.counts());
            assert_eq!(shrunk.architecture.output(), architecture.output());
            assert_eq!(shrunk.architecture.input, architecture.input);
            assert!(after.macs <= before.macs && after.parameters <= before.parameters);
            let channels: usize = removed.iter().map(|unit| coupling.units()[*unit].channels.len()).sum();
            let count = |architecture: &Architecture| {
                architecture.layers.iter().map(|layer| layer.output.channels).sum::<usize>()
            };
            assert_eq!(count(&shrunk.architecture) + channels, count(&architecture));
            smaller += usize::from(after.macs < before.macs);
            // A smaller architecture can shrink again.
            Coupling::new(&shrunk.architecture).unwrap();
        }
    }
    assert!(smaller > 40, "{smaller} architectures became smaller");
}
