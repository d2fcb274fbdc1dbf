//! The description of a network that a program reads: layers, shapes and preprocessing as JSON.

use kiln_export::expected_arrays;
use kiln_space::{Architecture, BATCH_NORM_EPSILON, LayerId, Op};
use serde_json::{Map, Value, json};

use crate::data::DataSet;

/// Version of the description. A change that older programs cannot read increments it.
const VERSION: u32 = 1;

/// What a description says besides the network.
pub(super) struct About<'a> {
    pub(super) study: &'a str,
    pub(super) genotype: &'a str,
    pub(super) seed: u64,
    pub(super) epochs: u32,
    pub(super) full_epochs: u32,
    pub(super) data: &'a DataSet,
}

/// Describes a network. Layers that the output does not depend on are left out. Inputs are names of layers.
pub(super) fn description(architecture: &Architecture, about: &About<'_>) -> Value {
    let About { study, genotype, seed, epochs, full_epochs, data } = about;
    let live = architecture.live();
    let layers: Vec<Value> =
        architecture.ids().filter(|id| live[id.0]).map(|id| layer(architecture, id)).collect();
    let (mean, deviation) = data.normalization();
    let (target_mean, target_deviation) = data.target_normalization();
    json!({
        "version": VERSION,
        "study": study,
        "genotype": genotype,
        "seed": seed,
        "epochs": epochs,
        "full_epochs": full_epochs,
        "task": if data.is_regression() { "regression" } else { "classification" },
        "input": architecture.input,
        "outputs": architecture.output().elements(),
        "classes": data.targets().names(),
        "preprocessing": { "input": data.input(), "mean": mean, "deviation": deviation },
        "targets": { "mean": target_mean, "deviation": target_deviation },
        "batch_norm_epsilon": BATCH_NORM_EPSILON,
        "layers": layers,
    })
}

fn layer(architecture: &Architecture, id: LayerId) -> Value {
    let layer = architecture.layer(id);
    let (kind, settings) = operation(&layer.op);
    // A layer of zeros reads only the size of its batch, so its input may be a layer that is left out.
    let read: &[LayerId] = if matches!(layer.op, Op::Zero { .. }) { &[] } else { &layer.inputs };
    let inputs: Vec<&str> = read.iter().map(|input| architecture.layer(*input).name.as_str()).collect();
    let shapes: Vec<_> = read.iter().map(|input| architecture.layer(*input).output).collect();
    let prefix = format!("{}.", layer.name);
    let arrays = expected_arrays(architecture).into_iter();
    let arrays = arrays.filter_map(|(name, shape)| {
        let part = name.strip_prefix(&prefix).filter(|part| !part.contains('.'))?;
        Some((part.to_owned(), json!(shape)))
    });
    json!({
        "name": layer.name,
        "kind": kind,
        "settings": settings,
        "inputs": inputs,
        "input_shapes": shapes,
        "output_shape": layer.output,
        "arrays": arrays.collect::<Map<_, _>>(),
        "precision": layer.precision,
        "sparsity": layer.sparsity,
    })
}

/// The kind of an operation, and its settings.
fn operation(op: &Op) -> (String, Map<String, Value>) {
    let Ok(Value::Object(mut settings)) = serde_json::to_value(op) else {
        return (op.name().to_owned(), Map::new());
    };
    let kind = settings.remove("op").and_then(|kind| kind.as_str().map(str::to_owned));
    (kind.unwrap_or_else(|| op.name().to_owned()), settings)
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape, Task};

    use super::*;

    #[test]
    fn layers_have_kind_settings_inputs_and_shapes() {
        let mut b = ArchitectureBuilder::new(Shape::new(3, 8, 8));
        let conv = b.conv("a.conv", b.input(), 4, 3, 2, 1).unwrap();
        let zero = b.add("zero", Op::Zero { channels: 4, stride: 1 }, &[conv], None).unwrap();
        let sum = b.add("sum", Op::Add, &[conv, zero], None).unwrap();
        let pool = b.global_pool("pool", sum).unwrap();
        b.linear("head", pool, 2).unwrap();
        let network = b.finish().unwrap();
        let data = DataSet::without_examples(Task { input: network.input, outputs: 2 });
        let about = About { study: "s", genotype: "1-2", seed: 7, epochs: 3, full_epochs: 9, data: &data };
        let described = description(&network, &about);
        assert_eq!(described["layers"].as_array().unwrap().len(), 6);
        assert_eq!(
            described["layers"][1],
            json!({
                "name": "a.conv", "kind": "conv2d",
                "settings": { "out_channels": 4, "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1],
                    "groups": 1, "bias": false },
                "inputs": ["input"], "input_shapes": [[3, 8, 8]], "output_shape": [4, 4, 4],
                "arrays": { "weight": [4, 3, 3, 3] },
                "precision": { "weights": "f32", "activations": "f32" }, "sparsity": { "kind": "dense" },
            })
        );
        assert_eq!(described["layers"][2]["inputs"], json!([]));
        assert_eq!(described["layers"][5]["arrays"], json!({ "bias": [2], "weight": [2, 4] }));
        assert_eq!((&described["epochs"], &described["classes"]), (&json!(3), &json!(["0", "1"])));
    }
}
