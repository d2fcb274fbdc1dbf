use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{Architecture, LayerId, NumberFormat};
use prost::Message;

use super::proto::{GraphProto, ModelProto, NodeProto};
use super::*;
use crate::{Prediction, QuantizationPlan, QuantizedNetwork, testing};

fn export(model: &TrainedModel) -> Vec<u8> {
    let mut bytes = Vec::new();
    Onnx.export(model, &mut bytes).unwrap();
    bytes
}

/// The file without optimization, which contains names and shapes.
fn plain(model: &TrainedModel) -> Vec<u8> {
    model_proto(model, layers::graph(model)).unwrap().encode_to_vec()
}

fn decode(bytes: &[u8]) -> ModelProto {
    ModelProto::decode(bytes).unwrap()
}

fn random_models(count: u64) -> BTreeMap<String, TrainedModel> {
    (0..count).map(|seed| (format!("random-{seed}"), testing::random_model(seed))).collect()
}

fn live_layers(architecture: &Architecture) -> impl Iterator<Item = LayerId> {
    let live = architecture.live();
    architecture.ids().skip(1).filter(move |id| live[id.0])
}

/// Checks that every value is defined once and before its use, that names are unique, and that every layer
/// has a node.
fn check_graph(name: &str, model: &TrainedModel, graph: &GraphProto) {
    check_values(name, model, graph);
    let nodes: BTreeSet<&str> = graph.node.iter().map(NodeProto::name).collect();
    assert_eq!(nodes.len(), graph.node.len(), "{name}: two nodes have one name");
    let plan = QuantizationPlan::new(&model.architecture);
    for id in live_layers(&model.architecture).filter(|id| !plan.is_folded(*id)) {
        let layer = &model.architecture.layer(id).name;
        assert!(nodes.contains(layer.as_str()), "{name}: no node `{layer}`");
    }
}

/// Checks that every value is defined once and before its use, and that every constant is read.
fn check_values(name: &str, model: &TrainedModel, graph: &GraphProto) {
    let mut values: BTreeSet<&str> = BTreeSet::new();
    for tensor in &graph.initializer {
        assert!(values.insert(tensor.name()), "{name}: `{}` twice", tensor.name());
    }
    values.insert(INPUT);
    for node in &graph.node {
        for input in &node.input {
            assert!(values.contains(input.as_str()), "{name}: `{input}` is read before it is made");
        }
        for output in &node.output {
            assert!(values.insert(output), "{name}: `{output}` is made twice");
        }
    }
    assert!(values.contains(model.card.predicts.outputs()), "{name}");
    let read: BTreeSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    for tensor in &graph.initializer {
        assert!(read.contains(tensor.name()), "{name}: nothing reads `{}`", tensor.name());
    }
}

#[test]
fn graph_is_well_formed_and_declares_every_shape() {
    let mut models = testing::sample_models();
    models.extend(random_models(300));
    let int8 = models.iter().enumerate().flat_map(|(seed, (name, model))| {
        let whole = (format!("{name} in 8 bits"), testing::quantized(model, &[]));
        [whole, (format!("{name} half in 8 bits"), testing::half_quantized(model, seed as u64))]
    });
    let int8: Vec<(String, TrainedModel)> = int8.collect();
    models.extend(int8);
    for (name, model) in &models {
        let bytes = plain(model);
        let proto = decode(&bytes);
        assert_eq!(proto.encode_to_vec(), bytes, "{name}: what is read back is not what was written");
        let graph = proto.graph.unwrap();
        check_graph(name, model, &graph);
        let text = testing::graph_text(&bytes);
        let plan = QuantizationPlan::new(&model.architecture);
        for id in live_layers(&model.architecture).filter(|id| !plan.is_folded(*id)) {
            let layer = model.architecture.layer(id);
            let prefix = format!("{}: ", layer.name);
            let line = text.lines().find(|line| line.starts_with(&prefix)).unwrap();
            let channels = layer.output.channels;
            let map = format!(" -> [batch, {channels}, {}, {}]", layer.output.height, layer.output.width);
            let vector = format!(" -> [batch, {channels}]");
            let fits = line.ends_with(&map) || (layer.output.positions() == 1 && line.ends_with(&vector));
            assert!(fits, "{name}: {line}");
        }
    }
}

#[test]
fn optimized_graphs_are_well_formed_and_smaller() {
    let mut models = testing::sample_models();
    models.extend(random_models(100));
    for (name, model) in models {
        let mut all = testing::narrow(&model);
        all.extend([("f32", model.clone()), ("int8", testing::quantized(&model, &[]))]);
        for (format, model) in all {
            let name = format!("{name} as {format}");
            let bytes = export(&model);
            let proto = decode(&bytes);
            let saved = Onnx.optimization(&model).unwrap().unwrap();
            let graph = proto.graph.as_ref().unwrap();
            assert_eq!((saved.bytes, saved.nodes), (bytes.len() as u64, graph.node.len() as u64), "{name}");
            assert!(
                saved.bytes < saved.bytes_before && saved.nodes <= saved.nodes_before,
                "{name}: {saved:?}"
            );
            let has_int4 = graph.initializer.iter().any(|tensor| tensor.data_type() == DataType::Int4 as i32);
            let opset = if has_int4 { 21 } else { 17 };
            assert_eq!(proto.opset_import[0].version(), opset, "{name}");
            check_values(&name, &model, graph);
        }
    }
}

#[test]
fn onnx_obeys_the_laws_on_random_networks() {
    testing::check_exporter(&Onnx, testing::read_onnx, &random_models(40));
}

#[test]
fn graphs_equal_golden_files() {
    let mut models = testing::sample_models();
    models.insert("int8".to_owned(), testing::quantized(&testing::perceptron(), &[]));
    let goldens = [
        ("every-op", include_str!("golden/every-op.txt")),
        ("names", include_str!("golden/names.txt")),
        ("ranks", include_str!("golden/ranks.txt")),
        ("dead-layers", include_str!("golden/dead-layers.txt")),
        ("int8", include_str!("golden/int8.txt")),
    ];
    for (name, expected) in goldens {
        let found = testing::graph_text(&plain(&models[name]));
        assert!(
            found == expected,
            "the graph of `{name}` is not the one in golden/{name}.txt, but:\n{found}"
        );
    }
}

#[test]
fn file_carries_producer_and_metadata() {
    let mut model = testing::perceptron();
    model.card.classes[1] = "comma, \"quotes\"".to_owned();
    let proto = decode(&export(&model));
    assert_eq!(proto.producer_name(), "kiln");
    assert_eq!(proto.producer_version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(proto.ir_version(), IR_VERSION);
    assert_eq!(proto.graph.as_ref().unwrap().name(), model.card.name);
    let metadata: BTreeMap<&str, &str> =
        proto.metadata_props.iter().map(|entry| (entry.key(), entry.value())).collect();
    assert_eq!(metadata["name"], model.card.name);
    assert_eq!(metadata["genotype"], "0-1");
    assert_eq!(metadata["seed"], "5");
    assert_eq!(metadata["data"], "random numbers");
    let classes: Vec<String> = serde_json::from_str(metadata["classes"]).unwrap();
    assert_eq!(classes, model.card.classes);
}

#[test]
fn output_of_regression_is_called_values() {
    let mut model = testing::perceptron();
    model.card.predicts = Prediction::Values;
    let proto = decode(&export(&model));
    let graph = proto.graph.as_ref().unwrap();
    assert_eq!(graph.output[0].name(), "values");
    check_values("perceptron", &model, graph);
    assert!(proto.metadata_props.iter().any(|entry| entry.key() == "values"));
}

#[test]
fn export_refuses_unsupported_precision() {
    let mut model = testing::perceptron();
    model.architecture.layers[3].precision.weights = NumberFormat::Bf16;
    let error = Onnx.export(&model, &mut Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ONNX cannot express layer `head` (bf16 weights and f32 activations; weights may be f32, f16, int8 \
         or int4 with f32 activations, and int8 or int4 with int8 activations)"
    );
}

#[test]
fn file_holds_integers_of_quantized_network() {
    for (name, model) in random_models(40) {
        let model = testing::quantized(&model, &[]);
        let graph = decode(&plain(&model)).graph.unwrap();
        let bytes = |part: String| {
            let found = graph.initializer.iter().find(|tensor| tensor.name() == part);
            found.unwrap_or_else(|| panic!("{name}: no `{part}`")).raw_data().to_vec()
        };
        let integers = QuantizedNetwork::of(&model);
        for (id, kernel) in &integers.kernels {
            let layer = &model.architecture.layer(*id).name;
            let weights: Vec<u8> = kernel.weights.iter().map(|weight| *weight as u8).collect();
            assert_eq!(bytes(format!("{layer}.weight_int8")), weights, "{name}: {layer}");
            let bias: Vec<u8> = kernel.bias.iter().flat_map(|bias| bias.to_le_bytes()).collect();
            assert_eq!(bytes(format!("{layer}.bias_int32")), bias, "{name}: {layer}");
            assert!(
                !graph.initializer.iter().any(|tensor| tensor.name() == format!("{layer}.weight")),
                "{name}"
            );
        }
        for owner in integers.plan.owners() {
            let (layer, grid) = (&model.architecture.layer(owner).name, integers.grids[&owner]);
            assert_eq!(bytes(format!("{layer}.step")), grid.scale.to_le_bytes(), "{name}: {layer}");
            assert_eq!(
                bytes(format!("{layer}.zero_point")),
                [(i16::from(grid.zero_point) + 128) as u8],
                "{name}: {layer}: activations are unsigned in the file"
            );
        }
    }
}
