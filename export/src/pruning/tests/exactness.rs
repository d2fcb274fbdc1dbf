//! A network without channels computes what the whole network computes with zeros in their place.

use std::collections::BTreeSet;

use kiln_space::channels::Coupling;
use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, NumberFormat, Op, Precision, Shape,
    SpaceRegistry, Sparsity, Task, variation,
};
use rand_pcg::Pcg64;

use super::super::Mask;
use super::super::structured::{Plan, cut};
use crate::{Exporter, Onnx, TrainedModel, run_reference, testing};

fn plan(removed: BTreeSet<usize>) -> Plan {
    Plan { removed, cost: 0.0, loss: 0.0 }
}

/// Returns every kind of sample: the samples of each operation, random networks, and networks of every space.
fn models() -> Vec<(String, TrainedModel)> {
    let mut models: Vec<(String, TrainedModel)> = testing::sample_models().into_iter().collect();
    for seed in 0..150 {
        models.push((format!("random {seed}"), testing::random_model(seed)));
    }
    for seed in 0..60 {
        models.push((format!("blocks {seed}"), testing::random_blocks(seed)));
    }
    let registry = SpaceRegistry::builtin();
    let task = Task { input: Shape::new(2, 6, 6), outputs: 3 };
    let mut rng = Pcg64::new(3, 0);
    for (kind, settings) in registry.samples("space") {
        let task = (!settings.table().contains_key("input")).then_some(task);
        let space = registry.build(kind, &settings, task).unwrap();
        for seed in 0..2 {
            let mut architecture = space.decode(&variation::sample(space.as_ref(), &mut rng)).unwrap();
            for layer in &mut architecture.layers {
                layer.precision = Precision::uniform(NumberFormat::F32);
            }
            models.push((format!("{kind} {seed}"), testing::model(architecture, seed)));
        }
    }
    models
}

fn zero_column(model: &mut TrainedModel, id: LayerId, columns: usize, column: usize) {
    let layer = model.architecture.layer(id);
    let (name, rows) = (format!("{}.weight", layer.name), layer.output.channels);
    let Some(array) = model.arrays.get_mut(&name) else { return };
    let window = array.data.len() / (rows * columns);
    for row in 0..rows {
        array.data[(row * columns + column) * window..][..window].fill(0.0);
    }
}

/// Sets all weights that read the removed channels to zero.
fn with_readers_zero(model: &TrainedModel, coupling: &Coupling, removed: &BTreeSet<usize>) -> TrainedModel {
    let mut silent = model.clone();
    for id in model.architecture.ids() {
        let columns = coupling.columns(&model.architecture, id);
        for (column, unit) in columns.iter().enumerate() {
            if removed.contains(unit) {
                zero_column(&mut silent, id, columns.len(), column);
            }
        }
    }
    silent
}

/// Sets all weights, biases, scales and shifts that compute the removed channels to zero. Sigmoids of zero
/// are not zero. Sets the columns that read those to zero too. Returns the number of removed columns that
/// read zeros, and of those that read something else.
fn with_producers_zero(
    model: &TrainedModel,
    coupling: &Coupling,
    removed: &BTreeSet<usize>,
) -> (TrainedModel, [usize; 2]) {
    let architecture = &model.architecture;
    let mut silent = model.clone();
    for id in architecture.ids() {
        let rows = coupling.rows(id);
        for part in ["weight", "bias", "scale", "shift"] {
            let name = format!("{}.{part}", architecture.layer(id).name);
            let Some(array) = silent.arrays.get_mut(&name) else { continue };
            let size = array.data.len() / rows.len();
            for row in (0..rows.len()).filter(|row| removed.contains(&rows[*row])) {
                array.data[row * size..][..size].fill(0.0);
            }
        }
    }
    let zero = zeros(architecture, coupling, removed);
    let mut counts = [0; 2];
    for id in architecture.ids() {
        let columns = coupling.columns(architecture, id);
        for column in (0..columns.len()).filter(|column| removed.contains(&columns[*column])) {
            let input = &zero[architecture.layer(id).inputs[0].0];
            let reads_zeros = input.iter().skip(column).step_by(columns.len()).all(|zero| *zero);
            counts[usize::from(!reads_zeros)] += 1;
            if !reads_zeros {
                zero_column(&mut silent, id, columns.len(), column);
            }
        }
    }
    (silent, counts)
}

/// Returns, for each layer, the removed channels that are zero if all weights that compute them are.
fn zeros(architecture: &Architecture, coupling: &Coupling, removed: &BTreeSet<usize>) -> Vec<Vec<bool>> {
    let mut zero: Vec<Vec<bool>> = Vec::new();
    for id in architecture.ids() {
        let layer = architecture.layer(id);
        let inputs: Vec<&Vec<bool>> = layer.inputs.iter().map(|input| &zero[input.0]).collect();
        let silenced = || coupling.rows(id).iter().map(|unit| removed.contains(unit)).collect();
        let channels = 0..layer.output.channels;
        let value = match &layer.op {
            Op::Input | Op::Conv2d { .. } | Op::Linear { .. } | Op::BatchNorm => silenced(),
            Op::Zero { .. } => vec![true; layer.output.channels],
            Op::Activation { kind: ActivationKind::Sigmoid | ActivationKind::HardSigmoid } => {
                vec![false; layer.output.channels]
            }
            Op::Activation { .. } | Op::Pool { .. } | Op::GlobalPool => inputs[0].clone(),
            Op::Flatten => channels.map(|i| inputs[0][i * inputs[0].len() / layer.output.channels]).collect(),
            Op::Add => channels.map(|i| inputs.iter().all(|input| input[i])).collect(),
            Op::Mul => channels.map(|i| inputs.iter().any(|input| input[i])).collect(),
            Op::Concat => inputs.into_iter().flatten().copied().collect(),
        };
        zero.push(value);
    }
    zero
}

fn assert_equal_outputs(name: &str, whole: &TrainedModel, smaller: &TrainedModel) {
    let input = testing::raw_input(&whole.architecture, 2, 11);
    let expected = run_reference(whole, &input, 2).unwrap();
    let found = run_reference(smaller, &input, 2).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{name}: {found} for {expected}");
    }
}

#[test]
fn outputs_are_equal_if_the_removed_channels_are_zero() {
    let (mut cut_networks, mut smaller_networks, mut zeros, mut others) = (0, 0, 0, 0);
    for (seed, (name, model)) in models().into_iter().enumerate() {
        let coupling = Coupling::new(&model.architecture).unwrap();
        let removed = testing::random_units(&model.architecture, &coupling, seed as u64);
        let (silent, columns) = with_producers_zero(&model, &coupling, &removed);
        let smaller = cut(&silent, &plan(removed.clone())).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_equal_outputs(&name, &silent, &smaller);
        let (before, after) = (model.architecture.counts(), smaller.architecture.counts());
        assert!(after.macs <= before.macs, "{name}");
        assert_eq!((smaller.card.macs, smaller.card.parameters), (after.macs, after.parameters));
        cut_networks += usize::from(!removed.is_empty());
        smaller_networks += usize::from(after.macs < before.macs);
        zeros += columns[0];
        others += columns[1];
    }
    // The checks above would hold for nothing if nothing were removed.
    assert!(cut_networks > 150 && smaller_networks > 140, "{cut_networks} cut, {smaller_networks} smaller");
    assert!(zeros > others, "{zeros} columns read zeros, {others} read sigmoids");
}

#[test]
fn outputs_are_equal_if_no_weight_reads_the_removed_channels() {
    for (seed, (name, model)) in models().into_iter().enumerate() {
        let coupling = Coupling::new(&model.architecture).unwrap();
        let removed = testing::random_units(&model.architecture, &coupling, 1000 + seed as u64);
        let silent = with_readers_zero(&model, &coupling, &removed);
        let smaller = cut(&model, &plan(removed)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_equal_outputs(&name, &silent, &smaller);
    }
}

#[test]
fn networks_in_8_bits_keep_their_grids_and_run() {
    for seed in 0..20 {
        let model = testing::quantized(&testing::random_blocks(seed), &[]);
        let smaller = testing::pruned(&model, seed);
        assert_eq!(smaller.quantization, model.quantization);
        let input = testing::raw_input(&model.architecture, 2, seed);
        assert!(run_reference(&smaller, &input, 2).unwrap().iter().all(|value| value.is_finite()));
        let mut file = Vec::new();
        Onnx.export(&smaller, &mut file).unwrap();
        assert!(!file.is_empty());
    }
}

#[test]
fn sparsity_after_a_cut_is_what_the_weights_have() {
    let mut b = ArchitectureBuilder::new(Shape::vector(3));
    let x = b.linear("hidden", b.input(), 8).unwrap();
    b.set_compression(Precision::default(), Sparsity::NOfM { n: 2, m: 4 });
    b.linear("head", x, 2).unwrap();
    let mut model = testing::model(b.finish().unwrap(), 1);
    let head = model.arrays.get_mut("head.weight").unwrap();
    // Each group of four inputs keeps the last two.
    Mask::new(Sparsity::NOfM { n: 2, m: 4 }, &[2, 8], &[0.0, 1.0, 2.0, 3.0].repeat(4)).apply(&mut head.data);
    let unit = |channel| Coupling::new(&model.architecture).unwrap().unit(LayerId(1), channel);
    let sparsity = |channels: &[usize]| {
        let removed = channels.iter().map(|channel| unit(*channel)).collect();
        cut(&model, &plan(removed)).unwrap().architecture.layers[2].sparsity
    };
    assert_eq!(sparsity(&[0, 1, 2, 3]), Sparsity::NOfM { n: 2, m: 4 });
    // The groups are now 2, 3, 4, 5 and 6, 7, which is not a whole group.
    assert_eq!(sparsity(&[0, 1]), Sparsity::NOfM { n: 2, m: 4 });
    assert_eq!(sparsity(&[0, 1, 4]), Sparsity::Dense, "three of 2, 3, 5, 6 are not zero");
}

#[test]
fn a_plan_for_another_network_is_refused() {
    let model = testing::perceptron();
    let error = cut(&model, &plan(BTreeSet::from([99]))).unwrap_err();
    assert_eq!(error.to_string(), "there is no unit of channels 99, expected less than 8");
    let mut broken = testing::perceptron();
    broken.arrays.remove("head.bias");
    assert!(cut(&broken, &plan(BTreeSet::new())).is_err());
}
