use kiln_space::NumberFormat;

use super::*;
use crate::testing;

fn library(model: &TrainedModel) -> String {
    let mut bytes = Vec::new();
    RustModule.export(model, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// `KILN_BLESS=1 cargo test -p kiln-export golden_sources` rewrites the golden files.
#[test]
fn golden_sources() {
    let mut models = testing::sample_models();
    for name in ["every-op", "perceptron"] {
        models.insert(format!("{name}-int8"), testing::quantized(&models[name], &[]));
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rust_module/golden");
    for name in ["every-op", "every-op-int8", "perceptron", "perceptron-int8", "zeros"] {
        let (found, path) = (library(&models[name]), format!("{folder}/{name}.rs"));
        if std::env::var_os("KILN_BLESS").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "the source of `{name}` is not the one in {path}, but:\n{found}");
    }
}

#[test]
fn forward_has_a_line_for_every_layer() {
    let models = (0..100).map(|seed| (format!("random-{seed}"), testing::random_model(seed)));
    for (name, model) in testing::sample_models().into_iter().chain(models) {
        let (source, live) = (library(&model), model.architecture.live());
        let forward = &source[source.find("pub fn forward").unwrap()..];
        let zeros =
            model.architecture.layers.iter().any(|layer| matches!(layer.op, kiln_space::Op::Zero { .. }));
        let values = forward.lines().filter(|line| line.starts_with("        let ")).count();
        let layers = live.iter().filter(|live| **live).count();
        // The batch size may add a line, and an unused input has no line.
        assert!((layers - 1..=layers + usize::from(zeros)).contains(&values), "{name}: {source}");
    }
}

#[test]
fn generated_code_escapes_names_from_users() {
    let mut model = testing::perceptron();
    model.card.classes[1] = "\"];\n#![fail] // ".to_owned();
    model.card.data = "a\n}\nfn b() {".to_owned();
    model.card.name = "a\"\nb = 1/[2]".to_owned();
    let source = library(&model);
    assert!(
        source.contains(r#"pub const CLASSES: [&str; 3] = ["class 0", "\"];\n#![fail] // ", "class 2"];"#)
    );
    assert!(source.contains("//! - Data: a\\n}\\nfn b() {\n"), "line ends are written out");
    let files = RustModule.folder(&model).unwrap().unwrap();
    let manifest = std::str::from_utf8(&files["Cargo.toml"]).unwrap();
    assert!(manifest.starts_with("[package]\nname = \"a-b-1-2\"\n"), "{manifest}");
    assert!(
        manifest.contains(r#"description = "The network a\"\\nb = 1/[2] as a burn module, written by Kiln""#)
    );
    let main = std::str::from_utf8(&files["src/main.rs"]).unwrap();
    assert!(main.contains("use a_b_1_2::{INPUT, Network};"));
}

#[test]
fn code_of_regression_does_not_mention_classes() {
    let mut model = testing::perceptron();
    model.card.predicts = crate::Prediction::Values;
    model.card.classes = ["speed", "share", "weight"].map(str::to_owned).to_vec();
    let source = library(&model);
    for part in [
        "//! values `[batch, 3]` in the order of [`VALUES`], each in its own unit.\n",
        "//! let values = network.forward(",
        "pub const VALUES: [&str; 3] = [\"speed\", \"share\", \"weight\"];",
        "/// Predicted values of a batch of raw inputs, each in its own unit.",
    ] {
        assert!(source.contains(part), "{part}: {source}");
    }
    let files = RustModule.folder(&model).unwrap().unwrap();
    let main = std::str::from_utf8(&files["src/main.rs"]).unwrap();
    assert!(main.contains("prints the values of each example"), "{main}");
    for text in [source.as_str(), main] {
        let text = text.to_lowercase();
        assert!(!text.contains("logit") && !text.contains("class"), "{text}");
    }
}

#[test]
fn package_with_8_bit_layers_has_their_code_and_grids() {
    for seed in 0..60 {
        let float = testing::random_model(seed);
        assert!(!RustModule.folder(&float).unwrap().unwrap().contains_key("src/integers.rs"));
        for model in [testing::quantized(&float, &[]), testing::half_quantized(&float, seed)] {
            let files = RustModule.folder(&model).unwrap().unwrap();
            let source = std::str::from_utf8(&files["src/lib.rs"]).unwrap();
            let network = crate::QuantizedNetwork::of(&model);
            assert_eq!(files.contains_key("src/integers.rs"), !network.plan.is_empty(), "seed {seed}");
            let input = |id: &&kiln_space::LayerId| model.architecture.layer(**id).inputs[0];
            let read = network.kernels.keys().filter(|id| network.grids.contains_key(&input(id)));
            for (part, count) in [
                ("weights.integer_", network.kernels.len()),
                (".steps(", read.count()),
                ("weights.grid(", model.quantization.len()),
            ] {
                assert_eq!(source.matches(part).count(), count, "seed {seed}, `{part}`: {source}");
            }
            let forward = &source[source.find("pub fn forward").unwrap()..];
            for (_, norm) in network.plan.kernels() {
                let Some(norm) = norm else { continue };
                let folded = format!("`{}` folded in", model.architecture.layer(norm).name);
                assert!(source.contains(&folded), "seed {seed}: {source}");
            }
            // With constant zeros, the output may be independent of the input.
            let reads_input = forward.contains("(raw - ");
            for owner in network.plan.owners().filter(|owner| owner.0 > 0 || reads_input) {
                let read = format!("weights.grid({:?})?", model.architecture.layer(owner).name);
                let field = source.lines().find_map(|line| line.trim().strip_suffix(&format!(": {read},")));
                let field = field.unwrap_or_else(|| panic!("seed {seed}: {source}"));
                assert!(forward.contains(&format!("self.{field}.")), "seed {seed}: `{field}` is not used");
            }
        }
    }
}

#[test]
fn folder_refuses_unsupported_precision() {
    let mut model = testing::perceptron();
    model.architecture.layers[3].precision.weights = NumberFormat::Int8;
    let error = RustModule.folder(&model).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Rust module cannot express layer `head` (int8 weights and f32 activations; both may be f32 or \
         int8)"
    );
}
