//! Tests classes of unequal size. The tests cover class weights in the loss of every training, optional
//! metrics, and the numbers on the model card.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kiln_evaluator::data::{Augmentation, DataSet, Given, RawData, Sizes, Split, Targets};
use kiln_evaluator::{Built, Context, EvaluatorRegistry, Matched, predict, score};
use kiln_export::{CardVersion, ExporterRegistry, InputRecord, ModelCard, TrainedModel};
use kiln_hw_models::Conditions;
use kiln_search::{
    CostOrigin, CostPredictor, Costs, Fidelity, Finished, Objectives, Origin, Outcome, Progress, Proposal,
    Request, Trial,
};
use kiln_space::{Genotype, SearchSpace, Settings, SettingsError, Shape, SpaceRegistry};
use serde_json::{Value, json};

struct Silent;

impl Progress for Silent {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        false
    }
}

const EXAMPLES: usize = 600;
const TESTED: usize = 120;

/// Two overlapping classes. One example in ten belongs to the second class, so always predicting the first
/// class has an accuracy of 90 %.
fn data() -> Arc<DataSet> {
    let is_rare = |index: usize| index.is_multiple_of(10);
    let spread = |index: usize, by: usize| (index * by % 97) as f32 / 97.0;
    let examples = (0..EXAMPLES).flat_map(|index| {
        let center = if is_rare(index) { 0.45 } else { 0.0 };
        [center + spread(index, 37), center + spread(index, 53)]
    });
    let raw = RawData {
        name: "made".to_owned(),
        input: "a, b".to_owned(),
        shape: Shape::vector(2),
        examples: examples.collect(),
        targets: Targets::Classes {
            names: vec!["usual".to_owned(), "rare".to_owned()],
            labels: (0..EXAMPLES).map(|index| u32::from(is_rare(index))).collect(),
        },
        inputs: ["a", "b"].map(InputRecord::channel).to_vec(),
        given: Given::test_at_end(EXAMPLES, TESTED),
        notes: Vec::new(),
    };
    let sizes = Sizes { test: 0.0, validation: 0.25, seed: 5, limit: None };
    Arc::new(DataSet::new(raw, &sizes, Augmentation::default()).unwrap())
}

fn settings(path: &str, value: &Value) -> Settings {
    Settings::new(path, value.as_object().unwrap().clone())
}

struct Parts {
    built: Built,
    space: Arc<dyn SearchSpace>,
}

fn try_build(
    kind: &str,
    (more, finish): (&Value, &Value),
    objectives: &[&str],
    folder: &Path,
) -> Result<Parts, SettingsError> {
    let data = data();
    let space = json!({ "layers": [1, 2], "width": [8, 16], "batch_norm": true });
    let space = SpaceRegistry::builtin().build("mlp", &settings("space", &space), Some(data.task())).unwrap();
    let predictor = CostPredictor {
        device: "pi".to_owned(),
        model: "pi/roofline/datasheet".to_owned(),
        conditions: Some(Conditions { batch: 4, threads: 2 }),
    };
    let origin = CostOrigin { how: "predicted".to_owned(), predictor: Some(predictor) };
    let context = Context {
        study: "test".to_owned(),
        seed: 3,
        space: Arc::clone(&space),
        space_settings: "fixed".to_owned(),
        data,
        objectives: objectives.iter().map(|name| (*name).to_owned()).collect(),
        cost_origins: BTreeMap::from([("latency_us".to_owned(), origin)]),
        costs: kiln_search::CostSet::default(),
        exporters: ExporterRegistry::builtin(),
        folder: folder.to_owned(),
    };
    let mut table = json!({ "epochs": 6, "batch": 32, "calibration": 64 });
    for (key, value) in more.as_object().unwrap() {
        table[key] = value.clone();
    }
    let mut finishing = json!({ "epochs": 6, "calibration": 64, "formats": [] });
    for (key, value) in finish.as_object().unwrap() {
        finishing[key] = value.clone();
    }
    let finish = settings("finish", &finishing);
    let built =
        EvaluatorRegistry::builtin().build(kind, &settings("evaluator", &table), Some(&finish), context)?;
    built.evaluator.prepare(&Silent).unwrap();
    Ok(Parts { built, space })
}

fn build(kind: &str, more: &Value, objectives: &[&str]) -> Parts {
    let folder = tempfile::tempdir().unwrap();
    try_build(kind, (more, &json!({})), objectives, folder.path()).unwrap()
}

impl Parts {
    fn evaluate(&self) -> BTreeMap<String, f64> {
        let genotype = self.space.canonical(&Genotype::new(vec![0; self.space.decisions().len()]));
        let architecture = self.space.decode(&genotype).unwrap();
        let request =
            Request { genotype: &genotype, architecture: &architecture, fidelity: Fidelity::Full, seed: 1 };
        self.built.evaluator.evaluate(&request).unwrap().measurement().unwrap().metrics().clone().into()
    }

    fn finish(&self, into: &Path) -> (Finished, TrainedModel) {
        let genotype = self.space.canonical(&Genotype::new(vec![0; self.space.decisions().len()]));
        let outcome = Outcome::from_metrics([("error_percent".to_owned(), 1.0)].into());
        let proposal = Proposal { genotype, fidelity: Fidelity::Epochs(2), origin: Origin::default() };
        let costs = Costs([("latency_us".to_owned(), 7.0)].into());
        let trial =
            Trial { id: 1, proposal, outcome, costs, objectives: Objectives::default(), violation: 0.0 };
        let finished = self.built.finisher.as_ref().unwrap().finish(&trial, into, &Silent).unwrap();
        (finished, TrainedModel::load(&into.join("model.kiln")).unwrap())
    }
}

#[test]
fn class_weights_raise_rare_class_recall_in_every_training() {
    let balanced = json!({ "class_weights": "balanced" });
    let supernet = |more: &Value| {
        let mut table = json!({ "subnets": 2 });
        for (key, value) in more.as_object().unwrap() {
            table[key] = value.clone();
        }
        table
    };
    let anchored = |more: &Value| {
        let mut table = supernet(more);
        table["anchors"] = json!({ "networks": 4, "epochs": 6, "batch": 32 });
        table
    };
    let name = "balanced_error_percent";
    let cases = [
        ("scratch", json!({}), balanced.clone()),
        ("supernet", supernet(&json!({})), supernet(&balanced)),
        (
            "supernet",
            supernet(&json!({ "sampling": "single_path" })),
            supernet(&json!({ "sampling": "single_path", "class_weights": { "rare": 9 } })),
        ),
        ("supernet", anchored(&json!({})), anchored(&balanced)),
    ];
    for (kind, without, with) in cases {
        let [without, with] =
            [without, with].map(|settings| (build(kind, &settings, &[name]).evaluate()[name], settings));
        assert!(with.0 + 5.0 < without.0, "{kind}: {with:?} is not far below {without:?}");
    }
}

#[test]
fn finishing_uses_class_weights_of_evaluator_or_its_own() {
    let recall = |more: &Value, finish: &Value| {
        let folder = tempfile::tempdir().unwrap();
        let parts = try_build("scratch", (more, finish), &[], folder.path()).unwrap();
        let into = tempfile::tempdir().unwrap();
        let (_, model) = parts.finish(into.path());
        let weighted = !model.card.class_weights.is_empty();
        assert_eq!(model.card.training.contains("classes weighted in the loss"), weighted);
        (weighted, model.card.test.unwrap().classes[1].recall_percent)
    };
    let balanced = json!({ "class_weights": "balanced" });
    let (is_weighted, plain) = recall(&json!({}), &json!({}));
    assert!(!is_weighted);
    for (more, finish) in [(&balanced, json!({})), (&json!({}), balanced.clone())] {
        let (is_weighted, found) = recall(more, &finish);
        assert!(is_weighted && found > plain + 10.0, "{found} is not far above {plain}");
    }
    let (is_weighted, found) = recall(&balanced, &json!({ "class_weights": false }));
    assert!(!is_weighted && (found - plain).abs() < 1e-9);
}

#[test]
fn unset_class_weights_and_metrics_change_no_fingerprint() {
    let bits = |parts: &Parts| -> Vec<(String, u64)> {
        parts.evaluate().into_iter().map(|(name, value)| (name, value.to_bits())).collect()
    };
    for (kind, more) in [("scratch", json!({})), ("supernet", json!({ "subnets": 2 }))] {
        let with = |key: &str, value: Value| {
            let mut more = more.clone();
            more[key] = value;
            more
        };
        let plain = build(kind, &more, &["error_percent", "latency_us"]);
        let (fingerprint, measured) = (plain.built.evaluator.fingerprint(), bits(&plain));
        assert_eq!(plain.built.metrics, ["error_percent", "loss_nats"]);
        assert_eq!(plain.built.optional, ["balanced_error_percent", "macro_f1_error_percent"]);
        let names: Vec<&str> = measured.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["error_percent", "loss_nats"]);
        for same in [with("class_weights", json!(false)), with("metrics", json!(["error_percent"]))] {
            let same = build(kind, &same, &[]);
            assert_eq!(
                (same.built.evaluator.fingerprint(), bits(&same)),
                (fingerprint.clone(), measured.clone())
            );
        }
        let weighted = build(kind, &with("class_weights", json!("balanced")), &[]);
        assert_ne!(weighted.built.evaluator.fingerprint(), fingerprint);
        let asked = build(kind, &with("metrics", json!(["macro_f1_error_percent"])), &[]);
        assert_ne!(asked.built.evaluator.fingerprint(), fingerprint);
        assert_eq!(asked.built.metrics[2..], ["macro_f1_error_percent"]);
        let with_it = bits(&asked);
        assert_eq!(with_it.len(), 3);
        assert!(measured.iter().all(|usual| with_it.contains(usual)), "what always is measured stays");
        let objective = build(kind, &more, &["macro_f1_error_percent"]);
        assert_eq!(objective.built.evaluator.fingerprint(), asked.built.evaluator.fingerprint());
    }
}

#[test]
fn wrong_class_weights_and_metrics_are_refused() {
    let refused = |kind: &str, more: &Value, finish: &Value| {
        let folder = tempfile::tempdir().unwrap();
        try_build(kind, (more, finish), &[], folder.path()).err().unwrap().to_string()
    };
    let nothing = json!({});
    for kind in ["scratch", "supernet"] {
        let said = refused(kind, &json!({ "class_weights": { "rar": 2 } }), &nothing);
        assert_eq!(
            said,
            "`evaluator.class_weights.rar`: found `rar`, expected a class of the data: `usual`, `rare`"
        );
        let said = refused(kind, &json!({ "metrics": ["one_minus_r2"] }), &nothing);
        assert!(said.starts_with("`evaluator.metrics.0`: found `one_minus_r2`, expected one of"), "{said}");
    }
    let said = refused("scratch", &nothing, &json!({ "class_weights": { "rare": 0 } }));
    assert!(said.starts_with("`finish.class_weights.rare`: found `0`, expected a number above 0"), "{said}");
}

#[test]
fn card_states_measurements_and_provenance() {
    let folder = tempfile::tempdir().unwrap();
    let more = json!({ "class_weights": { "rare": 4.0 } });
    let parts =
        try_build("scratch", (&more, &json!({})), &["balanced_error_percent"], folder.path()).unwrap();
    let into = tempfile::tempdir().unwrap();
    let (finished, model) = parts.finish(into.path());
    let names: Vec<&str> = finished.metrics.keys().map(String::as_str).collect();
    let expected = ["test_accuracy_percent", "test_balanced_accuracy_percent", "test_loss_nats"];
    assert_eq!(names, expected, "the journal has what is asked for");
    let bytes = std::fs::read(into.path().join("card.json")).unwrap();
    let card = ModelCard::read(&mut bytes.as_slice()).unwrap().content;
    assert_eq!(card, model.card);
    assert_eq!(card.version, CardVersion::CURRENT);
    assert_eq!(card.fidelity, "2 epochs");
    let split = card.split.unwrap();
    assert_eq!((split.seed, split.training, split.validation, split.test), (5, 360, 120, 120));
    let weight = |class: &str| card.class_weights[class];
    assert!((weight("rare") / weight("usual") - 4.0).abs() < 1e-5, "{:?}", card.class_weights);
    assert!(card.date.len() == 10 && card.date.starts_with("20"), "{}", card.date);
    assert!(card.machine.starts_with(std::env::consts::OS), "{}", card.machine);
    let latency = card.metrics.iter().find(|metric| metric.name == "latency_us").unwrap();
    let by = latency.predicted_by.as_ref().unwrap();
    assert_eq!((by.device.as_str(), by.model.as_str()), ("pi", "pi/roofline/datasheet"));
    assert_eq!((by.batch, by.threads), (Some(4), Some(2)));

    // The results follow from the outputs of the exported network.
    let data = data();
    let test = data.split(Split::Test);
    let raw: Vec<f32> = test.iter().flat_map(|index| data.example(*index)).copied().collect();
    let outputs = predict(&model, &raw);
    let mut confusion = vec![vec![0_u64; 2]; 2];
    for (row, index) in outputs.chunks(2).zip(test) {
        confusion[data.label(*index) as usize][usize::from(row[1] >= row[0])] += 1;
    }
    let results = card.test.unwrap();
    assert_eq!((results.examples, &results.confusion), (120, &confusion));
    let [[kept, lost], [missed, found]] =
        [&confusion[0], &confusion[1]].map(|row| [row[0] as f64, row[1] as f64]);
    let rare = &results.classes[1];
    assert_eq!((rare.name.as_str(), rare.support), ("rare", 12));
    assert!((rare.recall_percent - 100.0 * found / (missed + found)).abs() < 1e-9);
    assert!((rare.precision_percent - 100.0 * found / (lost + found)).abs() < 1e-9);
    let balanced = 50.0 * (kept / (kept + lost) + found / (missed + found));
    assert!((finished.metrics["test_balanced_accuracy_percent"] - balanced).abs() < 1e-9);
    let matched = Matched::new(&model, &data).unwrap();
    let again = score(&outputs, &data, Split::Test, &matched).unwrap();
    assert_eq!(again.results, results);
}
