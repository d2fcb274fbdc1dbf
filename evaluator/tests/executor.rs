//! The executor against the reference interpreter, which shares no code with it.

use kiln_evaluator::predict;
use kiln_export::testing::{random_model, raw_input, sample_models};
use kiln_export::{TrainedModel, run_reference};

fn check(name: &str, model: &TrainedModel, batch: usize) {
    let raw = raw_input(&model.architecture, batch, 7);
    let expected = run_reference(model, &raw, batch).expect("a sample model is whole");
    let found = predict(model, &raw);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let tolerance = 1e-4 * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= tolerance,
            "{name}: output {index} is {found}, expected {expected}"
        );
    }
}

#[test]
fn every_operation_gives_what_the_reference_gives() {
    for (name, model) in sample_models() {
        check(&name, &model, 1);
        check(&name, &model, 5);
    }
}

#[test]
fn random_networks_give_what_the_reference_gives() {
    for seed in 0..60 {
        check(&format!("random {seed}"), &random_model(seed), 3);
    }
}
