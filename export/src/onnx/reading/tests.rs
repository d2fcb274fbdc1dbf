mod round_trips;

use std::collections::{BTreeMap, BTreeSet};

use kiln_damage::check_damaged;
use kiln_space::{Architecture, LayerId, Op};
use prost::Message as _;

use crate::onnx::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use crate::{
    Exporter, Onnx, Prediction, QuantizationPlan, QuantizedNetwork, TrainedModel, run_reference, testing,
};

fn export(model: &TrainedModel) -> Vec<u8> {
    let mut bytes = Vec::new();
    Onnx.export(model, &mut bytes).unwrap();
    bytes
}

/// The file without optimization, as earlier builds wrote it: with names of steps, and with shapes.
fn plain(model: &TrainedModel) -> Vec<u8> {
    let graph = crate::onnx::layers::graph(model);
    crate::onnx::model_proto(model, graph).unwrap().encode_to_vec()
}

fn models() -> BTreeMap<String, TrainedModel> {
    let mut models = testing::sample_models();
    models.extend((0..300).map(|seed| (format!("random-{seed}"), testing::random_model(seed))));
    models
}

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

/// Whether the file lacks what the reader needs: no earlier layer fits a constant of zeros.
fn lacks_source_of_zeros(error: &str) -> bool {
    error.contains("expected zeros of the size of an earlier layer")
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
            // A value that two formats of its layer round alike may be rounded at another place among the nodes.
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
            include_bytes!("../../../../tests/fixtures/v0/supernet/runs/supernet/models/4/model.onnx"),
            include_bytes!("../../../../tests/fixtures/v0/supernet/runs/supernet/models/4/model.kiln"),
        ),
        (
            "scratch",
            include_bytes!("../../../../tests/fixtures/v0/scratch/runs/scratch/models/1/model.onnx"),
            include_bytes!("../../../../tests/fixtures/v0/scratch/runs/scratch/models/1/model.kiln"),
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
fn file_without_normalization_is_read() {
    let mut model = testing::perceptron();
    model.card.preprocessing.mean.fill(0.0);
    model.card.preprocessing.deviation.fill(1.0);
    let bytes = changed(&plain(&model), |file| {
        let graph = file.graph.as_mut().unwrap();
        graph.node.drain(..2);
        graph.node[0].input[0] = "input".to_owned();
    });
    let read = TrainedModel::from_onnx(&bytes).unwrap();
    assert_eq!((&read.architecture, &read.arrays), (&model.architecture, &model.arrays));
    assert_eq!(read.card.preprocessing.deviation, [1.0; 5]);
}

/// A file, changed.
fn changed(bytes: &[u8], change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut file = ModelProto::decode(bytes).unwrap();
    change(&mut file);
    file.encode_to_vec()
}

/// Changes the plain file of a sample and returns the error of reading it.
fn refused(sample: &str, change: impl FnOnce(&mut ModelProto)) -> String {
    let bytes = changed(&plain(&testing::sample_models()[sample]), change);
    TrainedModel::from_onnx(&bytes).expect_err("the change is found").to_string()
}

fn node<'a>(file: &'a mut ModelProto, name: &str) -> &'a mut NodeProto {
    file.graph.as_mut().unwrap().node.iter_mut().find(|node| node.name() == name).unwrap()
}

fn tensor<'a>(file: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    file.graph.as_mut().unwrap().initializer.iter_mut().find(|tensor| tensor.name() == name).unwrap()
}

#[test]
fn unknown_nodes_attributes_and_operator_sets_are_refused_by_name() {
    let message = refused("perceptron", |file| node(file, "act").op_type = Some("Selu".to_owned()));
    assert!(message.starts_with("node `act` is a `Selu`, and this program reads only"), "{message}");
    let message = refused("perceptron", |file| node(file, "act").domain = Some("com.example".to_owned()));
    assert!(message.starts_with("node `act` is a `com.example.Relu`"), "{message}");
    let message = refused("perceptron", |file| {
        let dilations =
            AttributeProto { name: Some("alpha".to_owned()), f: Some(2.0), ..AttributeProto::default() };
        node(file, "head").attribute.push(dilations);
    });
    assert_eq!(message, "attribute `alpha` of the `Gemm` node `head` must be absent: Kiln does not write it");
    let message = refused("perceptron", |file| node(file, "norm").attribute[0].f = Some(1e-3));
    assert_eq!(
        message,
        "attribute `epsilon` of the `BatchNormalization` node `norm` must be 0.00001 in single precision"
    );
    let message = refused("convolutions", |file| node(file, "tall").attribute[2].ints[0] = 7);
    assert_eq!(message, "attribute `pads` of the `Conv` node `tall` must be equal on opposite sides");
    let message = refused("perceptron", |file| file.opset_import[0].version = Some(16));
    assert_eq!(message, "the ONNX file uses version 16 of the operator set `ai.onnx`, expected `ai.onnx` 17");
}

#[test]
fn broken_graphs_are_refused() {
    let missing = refused("perceptron", |file| {
        file.graph.as_mut().unwrap().initializer.retain(|tensor| tensor.name() != "head.weight");
    });
    assert_eq!(
        missing,
        "the `Gemm` node `head` reads `head.weight`, which no earlier node and no initializer defines"
    );
    let cycle = refused("perceptron", |file| node(file, "norm").input[0] = "act".to_owned());
    assert_eq!(
        cycle,
        "the `BatchNormalization` node `norm` reads `act`, which no earlier node and no initializer defines"
    );
    let huge = refused("perceptron", |file| tensor(file, "head.weight").dims = vec![3, i64::MAX]);
    assert_eq!(
        huge,
        format!("the ONNX file has {} as size, but this program reads at most 2097152", i64::MAX)
    );
    let short = refused("perceptron", |file| tensor(file, "head.weight").dims = vec![3, 6]);
    assert_eq!(short, "initializer `head.weight` cannot be read: expected as many bytes as its shape needs");
    let double = refused("perceptron", |file| tensor(file, "head.weight").data_type = Some(11));
    assert_eq!(double, "initializer `head.weight` cannot be read: expected single precision, as raw data");
    let shape = refused("perceptron", |file| {
        tensor(file, "norm.mean").dims = vec![1];
        tensor(file, "norm.mean").raw_data = Some(vec![0; 4]);
    });
    assert_eq!(shape, "array `norm.mean` has shape [1], expected [5]");
    let twice = refused("perceptron", |file| node(file, "act").output[0] = "norm".to_owned());
    assert_eq!(
        twice,
        "value `norm` cannot be read: expected a value that exactly one node or initializer defines"
    );
    let shared = refused("perceptron", |file| node(file, "norm").input[2] = "norm.scale".to_owned());
    assert!(shared.contains("expected weights that no other node reads"), "{shared}");
    let declared = refused("perceptron", |file| {
        let graph = file.graph.as_mut().unwrap();
        let info = graph.value_info.iter_mut().find(|info| info.name() == "act").unwrap();
        info.r#type = graph.output[0].r#type.clone();
    });
    assert_eq!(
        declared,
        "value `act` cannot be read: expected the type and the shape that its node computes"
    );
}

#[test]
fn rounding_that_no_8_bit_layer_gives_is_refused() {
    let model = testing::quantized(&testing::perceptron(), &[]);
    // The integers of `head` then have an input in single precision.
    let bytes = changed(&plain(&model), |file| node(file, "head").input[0] = "act".to_owned());
    assert_eq!(
        TrainedModel::from_onnx(&bytes).unwrap_err().to_string(),
        "the value of layer `act` is rounded to 8 bits where Kiln does not round it, or the reverse; no \
         choice of 8-bit layers gives this file"
    );
}

#[test]
fn reader_of_damaged_files_never_panics() {
    let sample = |name: &str| testing::sample_models().remove(name).unwrap();
    let mut files = vec![
        export(&testing::perceptron()),
        export(&testing::quantized(&testing::perceptron(), &[])),
        export(&sample("zeros")),
        export(&sample("ranks")),
        export(&testing::half_quantized(&sample("ranks"), 1)),
    ];
    files.push(export(&sample("names")));
    check_damaged(&files, |bytes| {
        if let Ok(model) = TrainedModel::from_onnx(bytes) {
            drop(Onnx.export(&model, &mut Vec::new()));
        }
    });
}

#[test]
fn every_truncation_is_an_error_or_a_whole_network() {
    let bytes = export(&testing::quantized(&testing::perceptron(), &[]));
    let read = (0..bytes.len()).filter(|end| TrainedModel::from_onnx(&bytes[..*end]).is_ok()).count();
    // The metadata comes last, so a file that lacks a whole entry of it is still a network.
    assert!(read < 20, "{read} truncated files were read");
}

#[test]
fn load_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.onnx");
    std::fs::write(&path, "not a network").unwrap();
    let error = TrainedModel::load_onnx(&path).unwrap_err().to_string();
    assert!(error.contains("other.onnx"), "{error}");
    std::fs::write(&path, export(&testing::perceptron())).unwrap();
    assert_eq!(TrainedModel::load_onnx(&path).unwrap().arrays, testing::perceptron().arrays);
}
