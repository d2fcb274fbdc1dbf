mod earlier_builds;
mod narrow;
mod round_trips;

use std::collections::BTreeMap;

use kiln_damage::check_damaged;
use prost::Message as _;

use crate::onnx::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use crate::{Exporter, Onnx, TrainedModel, testing};

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

/// Whether the file lacks what the reader needs: no earlier layer fits a constant of zeros.
fn lacks_source_of_zeros(error: &str) -> bool {
    error.contains("expected zeros of the size of an earlier layer")
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
        plain(&testing::quantized(&testing::perceptron(), &[])),
        plain(&sample("ranks")),
        export(&sample("zeros")),
        export(&sample("ranks")),
        export(&testing::half_quantized(&sample("ranks"), 1)),
    ];
    files.push(export(&sample("names")));
    let kinds =
        ["int4", "symmetric", "f16-weights", "int8-weights", "int4-weights", "codebook-2", "codebook-16"];
    files.extend(kinds.map(|kind| export(&narrow::narrow(kind))));
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
