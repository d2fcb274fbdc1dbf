//! Files of earlier builds: without optimization, with names of all nodes and with shapes.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{Architecture, LayerId, Op};

use super::{changed, lacks_source_of_zeros, models, node, plain};
use crate::{Prediction, QuantizationPlan, QuantizedNetwork, TrainedModel, run_reference, testing};

/// The operations, inputs and shapes of the live layers. A layer of zeros has no input, because the file does
/// not say which.
fn described(architecture: &Architecture) -> Vec<(String, Option<Op>, Vec<String>, String)> {
    let live = architecture.live();
    let ids = architecture.ids().filter(|id| live[id.0]);
    ids.map(|id| {
        let layer = architecture.layer(id);
        let is_zero = matches!(layer.op, Op::Zero { .. });
        let inputs = layer.inputs.iter().map(|input| architecture.layer(*input).name.clone());
        let inputs = if is_zero { Vec::new() } else { inputs.collect() };
        let op = (!is_zero).then(|| layer.op.clone());
        (layer.name.clone(), op, inputs, layer.output.to_string())
    })
    .collect()
}

#[test]
fn plain_single_precision_networks_read_back_as_they_were_written() {
    let mut unread = 0;
    for (name, mut model) in models() {
        if name.len().is_multiple_of(2) {
            model.card.predicts = Prediction::Values;
        }
        let read = match TrainedModel::from_onnx(&plain(&model)) {
            Err(error) if lacks_source_of_zeros(&error.to_string()) => {
                unread += 1;
                continue;
            }
            read => read.unwrap_or_else(|error| panic!("{name}: {error:?}")),
        };
        assert_eq!(described(&read.architecture), described(&model.architecture), "{name}");
        assert_eq!(read.architecture.input, model.architecture.input, "{name}");
        assert_eq!(read.arrays, model.arrays, "{name}");
        assert!(read.quantization.is_empty(), "{name}");
        let (found, card) = (&read.card, &model.card);
        assert_eq!(
            (&found.name, &found.genotype, found.predicts, &found.classes, found.seed),
            (&card.name, &card.genotype, card.predicts, &card.classes, card.seed),
            "{name}"
        );
        let (found, expected) = (&found.preprocessing, &card.preprocessing);
        assert_eq!((&found.mean, &found.deviation), (&expected.mean, &expected.deviation), "{name}");
        assert_eq!((&found.input, &found.inputs), (&expected.input, &expected.inputs), "{name}");
        let raw = testing::raw_input(&model.architecture, 2, 3);
        assert_eq!(run_reference(&read, &raw, 2).unwrap(), run_reference(&model, &raw, 2).unwrap(), "{name}");
    }
    assert!(unread <= 15, "{unread} networks were not read");
}

/// The lines of the graph without names and constants: operation, attributes and shape of each node.
fn outline(bytes: &[u8]) -> Vec<String> {
    let text = testing::graph_text(bytes);
    let nodes = text.lines().filter_map(|line| line.split_once(" = ").map(|(_, node)| node));
    let outline = nodes.filter(|node| node.contains('(') && !node.starts_with(['[', '-']));
    outline
        .map(|node| {
            let (operation, rest) = node.split_once('(').unwrap();
            format!("{operation} {}", rest.split_once(')').map_or("", |(_, rest)| rest))
        })
        .collect()
}

#[test]
fn plain_networks_with_8_bit_layers_read_back_with_the_same_roundings() {
    let (mut read_count, mut unread, mut explicit) = (0, 0, 0);
    for (seed, (name, model)) in models().into_iter().enumerate() {
        let half = testing::half_quantized(&model, seed as u64);
        for (model, is_half) in [(testing::quantized(&model, &[]), false), (half, true)] {
            let bytes = plain(&model);
            let read = match TrainedModel::from_onnx(&bytes) {
                Err(error) if lacks_source_of_zeros(&error.to_string()) => {
                    unread += 1;
                    continue;
                }
                read => {
                    read.unwrap_or_else(|error| panic!("{name}: {error:?}\n{}", testing::graph_text(&bytes)))
                }
            };
            read_count += 1;
            check_integers(&name, &model, &read);
            // Of some networks with layers of both formats, a file does not say which layer rounds. Then
            // layers are added that only round.
            if read.architecture.layers.iter().any(|layer| layer.name.starts_with("rounded_")) {
                assert!(is_half || is_unclear(&model.architecture), "{name}: all layers compute in 8 bits");
                explicit += 1;
                let raw = testing::raw_input(&model.architecture, 2, 3);
                let expected = run_reference(&model, &raw, 2).unwrap();
                for (found, expected) in run_reference(&read, &raw, 2).unwrap().iter().zip(&expected) {
                    assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{name}");
                }
                continue;
            }
            // If two formats of a layer round its value alike, the nodes may come in another order.
            let sorted = |bytes: &[u8]| {
                let mut outline = outline(bytes);
                outline.sort_unstable();
                outline
            };
            assert_eq!(sorted(&plain(&read)), sorted(&bytes), "{name}");
        }
    }
    assert!(read_count > 560 && unread <= 30, "{unread} networks were not read, {read_count} were");
    assert!(explicit <= 60, "{explicit} of {read_count} networks have additional layers");
}

/// Whether a file does not say enough about 8-bit layers. A second batch normalization after a folded one
/// would be folded too. Zeros that read a layer keep it from running as one with another reader.
fn is_unclear(architecture: &Architecture) -> bool {
    let plan = QuantizationPlan::new(architecture);
    architecture.ids().any(|id| {
        let layer = architecture.layer(id);
        let mut inputs = layer.inputs.iter().map(|input| (input, &architecture.layer(*input).op));
        match layer.op {
            Op::BatchNorm => inputs.any(|(input, _)| plan.is_folded(*input)),
            Op::Zero { .. } => inputs
                .any(|(_, op)| matches!(op, Op::Conv2d { .. } | Op::Linear { .. } | Op::BatchNorm | Op::Add)),
            _ => false,
        }
    })
}

/// Checks that the integers computed from the weights that were read are those of the file, and that the
/// grids are equal.
fn check_integers(name: &str, model: &TrainedModel, read: &TrainedModel) {
    let (before, after) = (QuantizedNetwork::of(model), QuantizedNetwork::of(read));
    let named = |architecture: &Architecture, id: LayerId| architecture.layer(id).name.clone();
    let kernels: BTreeMap<String, _> =
        after.kernels.iter().map(|(id, kernel)| (named(&read.architecture, *id), kernel)).collect();
    assert_eq!(kernels.len(), before.kernels.len(), "{name}");
    for (id, kernel) in &before.kernels {
        let found = kernels[&named(&model.architecture, *id)];
        assert_eq!(found.weights, kernel.weights, "{name}");
        for (found, expected) in found.scales.iter().zip(&kernel.scales) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{name}: {found} is not {expected}");
        }
    }
    // A flattening in single precision that 8-bit layers read has a grid of its own, equal to that of its
    // input. It is read as an 8-bit flattening, which stays on the grid of its input.
    let scales = |network: &QuantizedNetwork| -> BTreeSet<u32> {
        let owners = network.plan.owners().map(|owner| network.grids[&owner].scale.to_bits());
        owners.collect()
    };
    assert_eq!(scales(&after), scales(&before), "{name}");
}

#[test]
fn files_of_earlier_builds_are_read() {
    let files: [(&str, &[u8], &[u8]); 2] = [
        (
            "supernet",
            include_bytes!("../../../../../tests/fixtures/v0/supernet/runs/supernet/models/4/model.onnx"),
            include_bytes!("../../../../../tests/fixtures/v0/supernet/runs/supernet/models/4/model.kiln"),
        ),
        (
            "scratch",
            include_bytes!("../../../../../tests/fixtures/v0/scratch/runs/scratch/models/1/model.onnx"),
            include_bytes!("../../../../../tests/fixtures/v0/scratch/runs/scratch/models/1/model.kiln"),
        ),
    ];
    for (name, onnx, mut model) in files {
        let read = TrainedModel::from_onnx(onnx).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let model = TrainedModel::read(&mut model).unwrap();
        assert_eq!(described(&read.architecture), described(&model.architecture), "{name}");
        assert_eq!(read.arrays, model.arrays, "{name}");
        assert_eq!(read.card.classes, model.card.classes, "{name}");
    }
}

#[test]
fn zero_points_of_weights_may_be_absent() {
    let bytes = plain(&testing::quantized(&testing::perceptron(), &[]));
    let without = changed(&bytes, |file| {
        file.graph.as_mut().unwrap().initializer.retain(|it| it.name() != "head.weight_zero_point");
        assert_eq!(node(file, "head.weight_value").input.pop().unwrap(), "head.weight_zero_point");
    });
    let read = TrainedModel::from_onnx(&without).unwrap();
    assert_eq!(read, TrainedModel::from_onnx(&bytes).unwrap());
}
