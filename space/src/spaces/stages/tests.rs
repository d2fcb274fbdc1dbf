use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{LayerId, NumberFormat, Op, ParameterKind, Precision, Shape, Sparsity, size};

fn stages_for(input: Shape, table: Value) -> Result<Stages, SettingsError> {
    let Value::Object(table) = table else { panic!("a table") };
    Stages::from_settings(&Settings::new("space", table), Some(Task { input, outputs: 10 }))
}

fn stages(table: Value) -> Result<Stages, SettingsError> {
    stages_for(Shape::new(1, 8, 8), table)
}

fn only(table: Value) -> Architecture {
    let space = stages(table).unwrap();
    assert!(space.decisions().is_empty(), "{:?}", space.decisions());
    space.decode(&Genotype::new([])).unwrap()
}

fn names(network: &Architecture) -> Vec<&str> {
    network.layers.iter().map(|layer| layer.name.as_str()).collect()
}

#[test]
fn counts_of_two_convolutions_match_hand_computation() {
    let network = only(json!({
        "stem": { "width": 4, "kernel": 5, "stride": 2 },
        "stages": [{ "blocks": "conv", "width": 6 }]
    }));
    // MACs: the stem has 4 x 1 x 25 and the convolution 6 x 4 x 9, both on 4 x 4 positions. The classifier
    // has 6 x 10.
    let counts = network.counts();
    assert_eq!(counts.macs, 100 * 16 + 216 * 16 + 60);
    assert_eq!(counts.parameters, (100 + 8) + (216 + 12) + (60 + 10));
    let expected = [
        "input",
        "stem.conv",
        "stem.bn",
        "stem.act",
        "stage0.block0.conv.conv",
        "stage0.block0.conv.bn",
        "stage0.block0.conv.act",
        "head.pool",
        "head.direct",
    ];
    assert_eq!(names(&network), expected);
}

#[test]
fn counts_of_inverted_residual_match_hand_computation() {
    let network = only(json!({
        "stem": { "width": 8 },
        "head": { "width": 20, "activation": "silu" },
        "stages": [
            { "blocks": "mbconv", "width": 8, "expansion": 3, "kernel": 5, "squeeze_excitation": true,
              "activation": "hard_swish" }
        ]
    }));
    // The convolutions have 72 (stem), 8 x 24 (expand), 24 x 25 (depthwise), 24 x 8 (project) and 8 x 20
    // (head) weights, each on 64 positions. On one position, squeeze-and-excitation has 24 x 6 + 6 and 6 x 24
    // + 24 parameters, and the classifier has 20 x 10 + 10.
    let counts = network.counts();
    assert_eq!(counts.macs, (72 + 192 + 600 + 192 + 160) * 64 + 144 + 144 + 200);
    let norms = 2 * (8 + 24 + 24 + 8 + 20);
    assert_eq!(counts.parameters, 72 + 192 + 600 + 192 + 160 + norms + 150 + 168 + 210);
    assert!(names(&network).contains(&"stage0.block0.mbconv.add"));
}

#[test]
fn residual_block_projects_shortcut_only_if_shape_changes() {
    let network = only(json!({
        "stem": { "width": 8 },
        "stages": [{ "blocks": "residual", "width": 8, "depth": 2, "stride": 2 }]
    }));
    let found = names(&network);
    assert!(found.contains(&"stage0.block0.residual.shortcut.conv"));
    assert!(!found.contains(&"stage0.block1.residual.shortcut.conv"));
    // MACs: two convolutions of 8 x 8 x 9 in each of two blocks and one 8 x 8 shortcut, all on 4 x 4
    // positions. The stem has 72 on 8 x 8 positions, and the classifier has 80.
    assert_eq!(network.counts().macs, (2 * 2 * 576 + 64) * 16 + 72 * 64 + 80);
}

#[test]
fn macs_of_separable_block_match_hand_computation() {
    let network = only(json!({
        "stem": { "width": 4 },
        "stages": [{ "blocks": "separable", "width": 6, "stride": 2, "kernel": 5 }]
    }));
    assert_eq!(network.counts().macs, 36 * 64 + (4 * 25 + 4 * 6) * 16 + 60);
}

#[test]
fn sequences_have_windows_of_one_row() {
    let table = json!({ "stages": [{ "blocks": ["conv", "mbconv"], "width": 8, "kernel": 5, "stride": 2 }] });
    let space = stages_for(Shape::new(6, 1, 100), table).unwrap();
    let network = space.decode(&Genotype::new([0])).unwrap();
    let conv = network.layers.iter().find(|layer| layer.name == "stage0.block0.conv.conv").unwrap();
    assert_eq!(conv.output, Shape::new(8, 1, 50));
    assert!(matches!(conv.op, Op::Conv2d { kernel: [1, 5], stride: [1, 2], padding: [0, 2], .. }));
}

#[test]
fn decisions_exist_only_for_several_options() {
    let space = stages(json!({
        "stages": [{ "blocks": ["conv", "identity"], "depth": [1, 3], "width": [8, 16], "kernel": [3, 5] }]
    }))
    .unwrap();
    let found: Vec<&str> = space.decisions().iter().map(|decision| decision.name.as_str()).collect();
    assert_eq!(
        found,
        [
            "stage0.width",
            "stage0.depth",
            "stage0.block0.kernel",
            "stage0.block1.kind",
            "stage0.block1.kernel",
            "stage0.block2.kind",
            "stage0.block2.kernel",
        ]
    );
    // For each width, the first block has two kernels. Depth 1 adds no choice. Depth 3 adds two blocks, each
    // of which is the identity or has one of two kernels.
    assert_eq!(size::count(&space), (2 * 2 * (1 + 3 * 3_u32)).into());
    // In canonical genotypes, depth 3 adds 4 networks with two more blocks and 2 networks with one more
    // block. Without further blocks, depth 3 equals depth 1.
    assert_eq!(size::enumerate_canonical(&space).count(), 2 * 2 * (1 + 4 + 2));
}

#[test]
fn canonical_moves_identities_last_and_reduces_depth() {
    let space = stages(json!({
        "stages": [{ "blocks": ["conv", "identity"], "depth": [1, 2, 4], "width": 8, "kernel": [3, 5] }]
    }))
    .unwrap();
    // Genes: depth, kernel, then (kind, kernel) of blocks 1 to 3.
    let canonical = |genes: [u8; 8]| space.canonical(&Genotype::new(genes)).genes().to_vec();
    // After the first block: identity, conv 5x5, identity. One block is kept, so depth 2 suffices.
    assert_eq!(canonical([2, 0, 1, 1, 0, 1, 1, 0]), [1, 0, 0, 1, 0, 0, 0, 0]);
    // After the first block: identity, conv 3x3, conv 5x5. Two blocks are kept, and only depth 4 has room for
    // them.
    assert_eq!(canonical([2, 1, 1, 0, 0, 0, 0, 1]), [2, 1, 0, 0, 0, 1, 1, 0]);
    assert_eq!(canonical([2, 1, 1, 0, 1, 0, 1, 1]), [0, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn parameters_have_the_largest_shapes_of_any_network() {
    let space = stages(json!({
        "stem": { "width": [4, 8] },
        "head": { "width": [0, 12, 24] },
        "stages": [
            { "blocks": ["mbconv", "residual"], "width": [8, 16], "depth": 2, "kernel": [3, 7],
              "expansion": [1, 4], "squeeze_excitation": [false, true] }
        ]
    }))
    .unwrap();
    let specs = space.parameters();
    let kind = |key: &str| {
        let found = specs.iter().find(|spec| spec.key == key);
        found.unwrap_or_else(|| panic!("no `{key}`")).kind.clone()
    };
    let conv = |outputs, inputs, kernel: usize, bias| ParameterKind::Conv2d {
        outputs,
        inputs,
        kernel: [kernel; 2],
        bias,
    };
    assert_eq!(kind("stem.conv"), conv(8, 1, 3, false));
    assert_eq!(kind("stage0.block0.mbconv.expand.conv"), conv(32, 8, 1, false));
    assert_eq!(kind("stage0.block1.mbconv.depthwise.conv"), conv(64, 1, 7, false));
    assert_eq!(kind("stage0.block1.mbconv.se.reduce"), conv(16, 64, 1, true));
    assert_eq!(kind("stage0.block0.residual.shortcut.conv"), conv(16, 8, 1, false));
    assert_eq!(kind("stage0.block1.residual.b.bn"), ParameterKind::BatchNorm { channels: 16 });
    assert_eq!(kind("head.direct"), ParameterKind::Linear { outputs: 10, inputs: 16, bias: true });
    assert_eq!(kind("head.linear"), ParameterKind::Linear { outputs: 10, inputs: 24, bias: true });
    assert!(!specs.iter().any(|spec| spec.key == "stage0.block1.residual.shortcut.conv"));
}

#[test]
fn every_declared_parameter_is_read_by_some_network() {
    let space = stages(json!({
        "head": { "width": [0, 12] },
        "stages": [
            { "blocks": ["mbconv", "residual", "identity"],
              "width": [8, 16], "depth": [1, 2], "kernel": [3, 5],
              "expansion": [1, 2] }
        ]
    }))
    .unwrap();
    let networks: Vec<Architecture> =
        size::enumerate(&space).map(|genotype| space.decode(&genotype).unwrap()).collect();
    let sorted = |mut specs: Vec<ParameterSpec>| {
        specs.sort_by(|a, b| a.key.cmp(&b.key));
        specs
    };
    assert_eq!(sorted(ParameterSpec::covering(&networks)), sorted(space.parameters()));
}

#[test]
fn output_shape_equals_outputs_of_task() {
    let network = only(json!({ "stages": [{ "blocks": "conv", "width": 6 }] }));
    assert_eq!(network.output(), Shape::vector(10));
    assert_eq!(network.layer(LayerId(0)).output, Shape::new(1, 8, 8));
}

#[test]
fn precision_and_sparsity_are_decisions_of_a_part() {
    let space = stages(json!({
        "stem": { "width": 4, "precision": "int8" },
        "head": { "sparsity": 0.25 },
        "stages": [
            { "blocks": "mbconv", "width": 8, "expansion": 2, "squeeze_excitation": true,
              "precision": ["f32", "int8"], "sparsity": [0, 0.5, "2:4"] }
        ]
    }))
    .unwrap();
    let decisions = space.decisions();
    let names: Vec<&str> = decisions.iter().map(|decision| decision.name.as_str()).collect();
    assert_eq!(names, ["stage0.precision", "stage0.sparsity"]);
    let options: Vec<String> = decisions[1].options.iter().map(ToString::to_string).collect();
    assert_eq!(options, ["0", "0.5", "2:4"]);
    assert_eq!(size::count(&space), 6_u8.into());
    assert_eq!(size::enumerate_canonical(&space).count(), 6);

    let network = space.decode(&Genotype::new([1, 2])).unwrap();
    let layer = |name: &str| network.layers.iter().find(|layer| layer.name == name).unwrap();
    let int8 = Precision::uniform(NumberFormat::Int8);
    let pattern = Sparsity::NOfM { n: 2, m: 4 };
    let block = |role: &str| layer(&format!("stage0.block0.mbconv.{role}"));
    assert_eq!(layer("input").precision.activations, NumberFormat::Int8);
    assert_eq!((layer("stem.conv").precision, layer("stem.conv").sparsity), (int8, Sparsity::Dense));
    assert_eq!((block("expand.conv").precision, block("expand.conv").sparsity), (int8, pattern));
    assert_eq!(
        (block("depthwise.conv").precision, block("depthwise.conv").sparsity),
        (int8, Sparsity::Dense)
    );
    assert_eq!((block("se.reduce").precision, block("se.reduce").sparsity), (int8, Sparsity::Dense));
    assert_eq!(block("project.conv").sparsity, pattern);
    let head = layer("head.direct");
    assert_eq!(
        (head.precision, head.sparsity),
        (Precision::default(), Sparsity::Unstructured { permille: 250 })
    );
}

#[test]
fn bytes_of_mixed_network_match_hand_computation() {
    let network = only(json!({
        "stem": { "width": 4, "precision": "int8" },
        "stages": [{ "blocks": "conv", "width": 6 }]
    }));
    // The stem has 36 one-byte weights, 4 scales and 8 numbers of batch normalization. The convolution has
    // 216 weights and 12 numbers of batch normalization. The classifier has 60 weights and 10 biases.
    let counts = network.counts();
    assert_eq!(counts.weight_bytes, 36 + 4 * 4 + 8 * 4 + (216 + 12 + 70) * 4);
    // The input and the stem's three layers take one byte per value. Three layers of 6 x 64 values, the
    // pooling and the classifier take four bytes per value.
    assert_eq!(counts.activation_bytes, 64 + 3 * 256 + (3 * 384 + 6 + 10) * 4);
}

#[test]
fn impossible_settings_name_their_key() {
    let message = |table| stages(table).unwrap_err().to_string();
    let stage = |key: &str, value: Value| {
        let mut stage = json!({ "blocks": ["conv", "identity"], "width": 8 });
        stage[key] = value;
        message(json!({ "stages": [{ "blocks": "conv", "width": 8 }, stage] }))
    };
    let cases = [
        (
            stage("kernel", json!([3, 4])),
            "`space.stages.1.kernel`: found `4`, expected an odd number from 1 to 15",
        ),
        (stage("width", json!(0)), "`space.stages.1.width`: found `0`, expected 1 to 16384"),
        (stage("depth", json!([0, 1])), "`space.stages.1.depth`: found `0`, expected 1 to 100"),
        (stage("stride", json!(5)), "`space.stages.1.stride`: found `5`, expected 1 to 4"),
        (stage("depth", json!([])), "`space.stages.1.depth`: found 0 values, expected 1 to 255 values"),
        (stage("width", json!([8, 8])), "`space.stages.1.width`: found `8` twice, expected each value once"),
        (
            stage("blocks", json!("identity")),
            "`space.stages.1.blocks`: found `identity` alone, expected a kind besides `identity`, for the \
             first block of the stage",
        ),
        (
            stage("blocks", json!(["conv", "con"])),
            "`space.stages.1.blocks.1`: unknown variant `con`, expected one of `conv`, `separable`, \
             `mbconv`, `residual`, `identity`",
        ),
        (
            stage("expansion", json!([2, 4])),
            "`space.stages.1.expansion`: found a value, expected no such key where `blocks` offers no \
             `mbconv`",
        ),
        (
            stage("width", json!("wide")),
            "`space.stages.1.width`: invalid type: string \"wide\", expected usize",
        ),
        (
            stage("width", json!([8, -1])),
            "`space.stages.1.width.1`: invalid value: integer `-1`, expected usize",
        ),
        (
            stage("kernels", json!(3)),
            "`space.stages.1.kernels`: unknown field `kernels`, expected one of `blocks`, `width`, `depth`, \
             `kernel`, `activation`, `stride`, `expansion`, `squeeze_excitation`, `precision`, `sparsity`",
        ),
        (
            stage("precision", json!("bf16")),
            "`space.stages.1.precision`: found `bf16`, expected `f32`, `f16`, `int8` or `int4`",
        ),
        (
            stage("sparsity", json!([0, 1.5])),
            "`space.stages.1.sparsity.1`: invalid value: floating point `1.5`, expected a share from 0 to \
             0.99, or `n:m` with 1 <= n < m <= 16, such as \"2:4\"",
        ),
        (
            stage("sparsity", json!("4:2")),
            "`space.stages.1.sparsity`: invalid value: string \"4:2\", expected a share from 0 to 0.99, or \
             `n:m` with 1 <= n < m <= 16, such as \"2:4\"",
        ),
        (
            stage("sparsity", json!([0, "2:16"])),
            "`space.stages.1.sparsity`: found `2:16`, expected groups of at most the 8 channels that the \
             narrowest network reads here",
        ),
        (
            message(json!({ "stem": { "sparsity": "1:2" }, "stages": [{ "blocks": "conv", "width": 8 }] })),
            "`space.stem.sparsity`: found `1:2`, expected groups of at most the 1 channels that the \
             narrowest network reads here",
        ),
        (message(json!({ "stages": [] })), "`space.stages`: found 0 stages, expected 1 to 32 stages"),
        (message(json!({})), "`space`: missing field `stages`"),
        (
            message(json!({ "stem": { "kernel": 2 }, "stages": [{ "blocks": "conv", "width": 8 }] })),
            "`space.stem.kernel`: found `2`, expected an odd number from 1 to 15",
        ),
        (
            message(json!({ "stages": vec![json!({ "blocks": "conv", "width": 8, "stride": [1, 2] }); 5] })),
            "`space.stages.3.stride`: found `2`, where the map may have no more than 1 rows or columns, \
             expected a stride that fits into the map",
        ),
        (
            message(json!({
                "stages": vec![
                    json!({ "blocks": ["conv", "residual"], "width": 8, "depth": 100, "kernel": [3, 5] }); 6
                ]
            })),
            "`space.stages`: found 1200 decisions in all stages, expected at most 1000: fewer blocks or \
             lists",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

proptest! {
    #[test]
    fn canonical_network_has_identical_layers(seed in any::<[u8; 32]>()) {
        let space = stages(json!({
            "stages": [
                { "blocks": ["conv", "identity", "mbconv"],
                  "depth": [2, 4, 5], "width": [4, 8], "kernel": [3, 5] },
                { "blocks": ["residual", "identity"], "depth": [3, 1], "width": [8], "stride": [1, 2] }
            ]
        }))
        .unwrap();
        let decisions = space.decisions();
        let genes: Vec<u8> =
            decisions.iter().zip(seed.iter().cycle()).map(|(d, byte)| byte % d.options.len() as u8).collect();
        let genotype = Genotype::new(genes);
        let layers = |genotype: &Genotype| {
            let network = space.decode(genotype).unwrap();
            network.layers.into_iter().map(|layer| (layer.op, layer.inputs, layer.output)).collect::<Vec<_>>()
        };
        prop_assert_eq!(layers(&genotype), layers(&space.canonical(&genotype)));
    }
}
