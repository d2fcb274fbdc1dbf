//! Files of every kind of network, read back.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{Architecture, LayerId, NumberFormat, Op, Shape};

use super::{export, lacks_source_of_zeros, models};
use crate::onnx::graph::Rank;
use crate::{
    Prediction, QuantizationPlan, QuantizedNetwork, StoredWeights, TrainedModel, folded, run_reference,
    stored_weights, testing,
};

/// A layer as a file states it: name, operation, inputs, shape.
type Stated = (String, Option<Op>, Vec<String>, Shape);

/// The arrangements of the layers' values in the graph.
fn ranks(architecture: &Architecture) -> Vec<Rank> {
    let mut ranks: Vec<Rank> = Vec::new();
    for layer in &architecture.layers {
        ranks.push(match layer.op {
            Op::Input if architecture.input.positions() == 1 => Rank::Vector,
            Op::Input | Op::Conv2d { .. } | Op::Pool { .. } | Op::GlobalPool | Op::Zero { .. } => Rank::Map,
            Op::Linear { .. } | Op::Flatten => Rank::Vector,
            _ if layer.inputs.iter().any(|input| ranks[input.0] == Rank::Map) => Rank::Map,
            _ => Rank::Vector,
        });
    }
    ranks
}

/// The layers of which a file of this network has nodes: no layers that only pass a value on, no zeros in
/// sums, no batch normalizations that are folded into integers.
fn stated(architecture: &Architecture) -> Vec<Stated> {
    let live = architecture.live();
    let plan = QuantizationPlan::new(architecture);
    // The layer that computes the value of each layer.
    let mut makers: Vec<LayerId> = Vec::new();
    let mut inputs: Vec<Vec<LayerId>> = Vec::new();
    for id in architecture.ids() {
        let layer = architecture.layer(id);
        let mut read: Vec<LayerId> = layer.inputs.iter().map(|input| makers[input.0]).collect();
        let is_zero = |id: &LayerId| matches!(architecture.layer(*id).op, Op::Zero { .. });
        let first = read.first().copied();
        match layer.op {
            Op::Add => {
                read.retain(|id| !is_zero(id));
                if read.is_empty() {
                    read.extend(first);
                }
            }
            Op::Zero { .. } => read.clear(),
            _ => {}
        }
        let passes_on = match layer.op {
            Op::Add | Op::Concat => read.len() == 1,
            Op::Pool { kernel, .. } => kernel == [1, 1],
            // A flattening of a map of single values has a node. Read back, it may flatten a vector.
            Op::Flatten | Op::GlobalPool => true,
            _ => plan.is_folded(id),
        };
        let is_same = first.is_some_and(|first| architecture.layer(first).output == layer.output);
        makers.push(if passes_on && is_same && live[id.0] { read[0] } else { id });
        inputs.push(read);
    }
    let mut read = BTreeSet::from([*makers.last().unwrap()]);
    for id in architecture.ids().rev() {
        if read.contains(&id) {
            read.extend(&inputs[id.0]);
        }
    }
    let state = |id: LayerId| {
        let layer = architecture.layer(id);
        let is_zero = matches!(layer.op, Op::Zero { .. });
        let mut op = layer.op.clone();
        if let (Op::Conv2d { bias, .. } | Op::Linear { bias, .. }, true) =
            (&mut op, layer.precision.activations == NumberFormat::Int8)
        {
            *bias = true;
        }
        let inputs = inputs[id.0].iter().map(|input| architecture.layer(*input).name.clone()).collect();
        (layer.name.clone(), (!is_zero).then_some(op), inputs, layer.output)
    };
    read.into_iter().map(state).collect()
}

/// A network in every kind of file.
fn kinds(seed: u64, model: &TrainedModel) -> Vec<(&'static str, TrainedModel)> {
    let mut all = testing::narrow(model);
    all.push(("f32", model.clone()));
    all.push(("int8", testing::quantized(model, &[])));
    all.push(("half-int8", testing::half_quantized(model, seed)));
    all
}

/// Reads the file of a network, or returns `None` if the file lacks the source of zeros.
fn read(name: &str, bytes: &[u8]) -> Option<TrainedModel> {
    match TrainedModel::from_onnx(bytes) {
        Err(error) if lacks_source_of_zeros(&error.to_string()) => None,
        read => {
            Some(read.unwrap_or_else(|error| panic!("{name}: {error:?}\n{}", testing::graph_text(bytes))))
        }
    }
}

fn some_models() -> Vec<(String, TrainedModel)> {
    let is_late = |name: &str| name.strip_prefix("random-").is_some_and(|seed| seed.len() > 3);
    models().into_iter().filter(|(name, _)| !is_late(name)).collect()
}

#[test]
fn every_kind_of_file_reads_back_with_its_layers_weights_and_outputs() {
    let (mut count, mut unread, mut inexact) = (0, 0, Vec::new());
    for (seed, (name, model)) in some_models().into_iter().enumerate() {
        for (kind, mut model) in kinds(seed as u64, &model) {
            let name = format!("{name} as {kind}");
            if seed % 2 == 0 {
                model.card.predicts = Prediction::Values;
            }
            let Some(read) = read(&name, &export(&model)) else {
                unread += 1;
                continue;
            };
            count += 1;
            let model = folded(&model);
            assert_eq!(stated(&read.architecture), stated(&model.architecture), "{name}");
            assert_eq!(read.architecture.input, model.architecture.input, "{name}");
            check_weights(&name, &model, &read);
            // A file whose output does not depend on the input has no mean.
            if stated(&model.architecture)[0].0 == "input" {
                check_card(&name, &model, &read);
            }
            let raw = testing::raw_input(&model.architecture, 3, 3);
            let expected = run_reference(&model, &raw, 3).unwrap();
            let found = run_reference(&read, &raw, 3).unwrap();
            if ["f32", "f16-weights", "int4-weights"].contains(&kind) || kind.starts_with("codebook") {
                assert_eq!(found, expected, "{name}");
            }
            let size = expected.iter().fold(1.0_f32, |size, value| size.max(value.abs()));
            let error = found.iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            if error > 1e-5 * size {
                inexact.push(format!("{name}: {error} of {size}"));
            }
        }
    }
    assert!(count > 1000 && unread * 20 < count, "{unread} files were not read, {count} were");
    assert!(inexact.len() * 500 < count, "{inexact:#?}");
}

/// Checks the weights of each layer: number formats, codes and values.
fn check_weights(name: &str, model: &TrainedModel, read: &TrainedModel) {
    let ids = |model: &TrainedModel| -> BTreeMap<String, LayerId> {
        model.architecture.ids().map(|id| (model.architecture.layer(id).name.clone(), id)).collect()
    };
    let (before, after) = (ids(model), ids(read));
    let (kernels, found_kernels) = (QuantizedNetwork::of(model).kernels, QuantizedNetwork::of(read).kernels);
    let (stored, found_stored) = (stored_weights(model), stored_weights(read));
    assert_eq!((kernels.len(), stored.len()), (found_kernels.len(), found_stored.len()), "{name}");
    for (layer, id) in after {
        let has_kernel = matches!(read.architecture.layer(id).op, Op::Conv2d { .. } | Op::Linear { .. });
        let Some(old) = before.get(&layer).copied() else {
            assert!(layer.starts_with("rounded_") && !has_kernel, "{name}: unexpected `{layer}`");
            continue;
        };
        if !has_kernel {
            continue;
        }
        let precision = |model: &TrainedModel, id: LayerId| model.architecture.layer(id).precision;
        assert_eq!(precision(read, id), precision(model, old), "{name}: {layer}");
        if let Some(kernel) = kernels.get(&old) {
            let found = &found_kernels[&id];
            assert_eq!((&found.weights, found.format), (&kernel.weights, kernel.format), "{name}: {layer}");
            for (found, bias) in found.bias.iter().zip(&kernel.bias) {
                // Single precision represents integers up to 2^24.
                assert!((found - bias).abs() <= bias.abs() >> 24, "{name}: {layer}: {found} is not {bias}");
            }
            check_steps(&format!("{name}: {layer}"), &found.scales, &kernel.scales);
        } else if let Some(kept) = stored.get(&old) {
            match (&found_stored[&id], kept) {
                (
                    StoredWeights::Integers { integers, steps, .. },
                    StoredWeights::Integers { integers: old_integers, steps: old_steps, .. },
                ) => {
                    assert_eq!(integers, old_integers, "{name}: {layer}");
                    check_steps(&format!("{name}: {layer}"), steps, old_steps);
                }
                (found, kept) => assert_eq!(found, kept, "{name}: {layer}"),
            }
        } else {
            let weight = format!("{layer}.weight");
            assert_eq!(read.arrays[&weight], model.arrays[&weight], "{name}");
        }
    }
    let is_single = |array: &str| {
        let layer = array.rsplit_once('.').map_or("", |(layer, _)| layer);
        before.get(layer).is_some_and(|id| !kernels.contains_key(id)) && !array.ends_with(".weight")
    };
    for (array, data) in read.arrays.iter().filter(|(array, _)| is_single(array)) {
        assert_eq!(data, &model.arrays[array], "{name}: {array}");
    }
}

fn check_steps(name: &str, found: &[f32], expected: &[f32]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() <= 2.0 * f32::EPSILON, "{name}: {found} is not {expected}");
    }
}

fn check_card(name: &str, model: &TrainedModel, read: &TrainedModel) {
    let (found, card) = (&read.card, &model.card);
    assert_eq!(
        (&found.name, &found.genotype, found.predicts, &found.classes, found.seed),
        (&card.name, &card.genotype, card.predicts, &card.classes, card.seed),
        "{name}"
    );
    let (found, expected) = (&found.preprocessing, &card.preprocessing);
    assert_eq!((&found.mean, &found.deviation), (&expected.mean, &expected.deviation), "{name}");
    assert_eq!((&found.input, &found.inputs), (&expected.input, &expected.inputs), "{name}");
}

/// Whether writing a file again may give other bytes: the network has zeros or layers that are not in the
/// file, or operations on maps that change nothing but the arrangement of a vector.
fn may_change(architecture: &Architecture) -> bool {
    let ranks = ranks(architecture);
    let is_whole = architecture.live().into_iter().all(|live| live);
    !is_whole
        || architecture.layers.iter().any(|layer| match layer.op {
            Op::Zero { .. } => true,
            Op::Pool { .. } | Op::GlobalPool => {
                layer.inputs.iter().any(|input| ranks[input.0] == Rank::Vector)
            }
            _ => false,
        })
}

#[test]
fn files_that_were_read_are_written_again_with_the_same_bytes() {
    let (mut all, mut different, mut unstable) = (0, Vec::new(), Vec::new());
    for (seed, (name, model)) in some_models().into_iter().enumerate() {
        for (kind, model) in kinds(seed as u64, &model) {
            let name = format!("{name} as {kind}");
            let bytes = export(&model);
            let Some(first) = read(&name, &bytes) else { continue };
            let again = export(&first);
            if !may_change(&model.architecture) && kind != "half-int8" {
                all += 1;
                if again != bytes {
                    different.push(name.clone());
                }
            }
            let Some(second) = read(&name, &again) else { continue };
            if export(&second) != again {
                unstable.push(name);
            }
        }
    }
    assert!(all > 300 && different.is_empty(), "of {all} files, others than these are equal: {different:?}");
    // The second writing folds a batch normalization that follows a folded one.
    assert!(unstable.len() <= 3, "{unstable:?}");
}
