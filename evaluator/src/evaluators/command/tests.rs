//! Trainings by shell scripts that write down each epoch that they train.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use kiln_export::ExporterRegistry;
use kiln_search::{CostSet, Evaluator, Fidelity, Outcome, Request};
use kiln_space::{Genotype, SearchSpace, Settings, SpaceRegistry};
use serde_json::{Value, json};

use super::build;
use crate::data::{DataRegistry, Opening};
use crate::evaluators::context::Context;

/// Trains from the epoch in its own folder. The error after an epoch is 100 divided by the epoch.
const EPOCHS: &str = r#"
from=0; [ -f "$2/epoch" ] && from=$(cat "$2/epoch")
while [ "$from" -lt "$3" ]; do
    from=$((from + 1))
    echo "$from" >> epochs.txt
    echo "$from" > "$2/epoch"
    [ -f hang ] && [ "$from" = 4 ] && exec sleep 60
    echo "{\"epoch\": $from, \"error\": $((100 / from))}"
done
"#;

/// An evaluator whose program works in a folder, and a network to evaluate.
struct Trained {
    folder: tempfile::TempDir,
    evaluator: Arc<dyn Evaluator>,
    space: Arc<dyn SearchSpace>,
}

fn table(path: &str, value: &Value) -> Settings {
    Settings::new(path, value.as_object().unwrap().clone())
}

impl Trained {
    fn new(more: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", EPOCHS, "sh", "{architecture}", "{checkpoint}", "{epochs}"];
        let mut settings = json!({
            "command": command, "metrics": ["error"], "epochs": 9, "folder": folder.path().to_str().unwrap()
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let data = table("data", &json!({ "limit": 100 }));
        let data = DataRegistry::builtin().open("digits", &Opening::new(&data, None)).unwrap();
        let space = table("space", &json!({ "layers": [1], "width": [4, 8] }));
        let space = SpaceRegistry::builtin().build("mlp", &space, Some(data.task())).unwrap();
        let context = Context {
            study: "test".to_owned(),
            seed: 1,
            space: Arc::clone(&space),
            space_settings: String::new(),
            data,
            objectives: Vec::new(),
            cost_origins: BTreeMap::new(),
            costs: CostSet::default(),
            exporters: ExporterRegistry::builtin(),
            folder: folder.path().join("run"),
        };
        let built = build(&table("evaluator", &settings), None, context).unwrap();
        Self { folder, evaluator: built.evaluator, space }
    }

    /// Evaluates the first network.
    fn outcome(&self, fidelity: Fidelity) -> Outcome {
        let genotype = Genotype::new(vec![0; self.space.decisions().len()]);
        let architecture = self.space.decode(&genotype).unwrap();
        let request = Request { genotype: &genotype, architecture: &architecture, fidelity, seed: 7 };
        self.evaluator.evaluate(&request).unwrap()
    }

    fn error(&self, fidelity: Fidelity) -> String {
        match self.outcome(fidelity) {
            Outcome::Measured(measured) => measured.get("error").unwrap().to_string(),
            failed @ Outcome::Failed { .. } => panic!("{failed:?}"),
        }
    }

    /// The epochs that the program trained, in order.
    fn epochs(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.folder.path().join("epochs.txt")).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

#[test]
fn longer_training_answers_shorter_ones_and_continues_them() {
    let trained = Trained::new(&json!({}));
    let errors = [Fidelity::Epochs(3), Fidelity::Full, Fidelity::Epochs(1), Fidelity::Epochs(2)];
    let errors = errors.map(|fidelity| trained.error(fidelity));
    assert_eq!(errors, ["33", "11", "100", "50"]);
    assert_eq!(trained.epochs(), (1..=9).collect::<Vec<_>>(), "no epoch was trained twice");
}

#[test]
fn training_begins_again_if_patience_lacks_the_line_of_a_stored_epoch() {
    // The first attempt is killed between storing the state of epoch 4 and printing its line.
    let trained = Trained::new(&json!({ "patience": 20, "time_out": 1 }));
    let hang = trained.folder.path().join("hang");
    fs::write(&hang, "").unwrap();
    let Outcome::Failed { reason, .. } = trained.outcome(Fidelity::Full) else { panic!("it runs too long") };
    assert!(reason.contains("did not end within 1 s"), "{reason}");
    fs::remove_file(&hang).unwrap();
    assert_eq!(trained.error(Fidelity::Full), "11");
    let again = (1..=4).chain(5..=9).chain(1..=9).collect::<Vec<_>>();
    assert_eq!(trained.epochs(), again);
}
