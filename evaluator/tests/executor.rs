//! Compares the executor with the reference interpreter, which shares no code with it.

use kiln_evaluator::predict;
use kiln_export::testing::{half_quantized, quantized, random_model, raw_input, sample_models};
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
fn every_operation_matches_reference_interpreter() {
    for (name, model) in sample_models() {
        check(&name, &model, 1);
        check(&name, &model, 5);
    }
}

#[test]
fn random_networks_match_reference_interpreter() {
    for seed in 0..60 {
        check(&format!("random {seed}"), &random_model(seed), 3);
    }
}

/// In 8-bit layers, the last bit of a sum decides how a value halfway between two quantized values is
/// rounded. So a few outputs may differ, but the differences are small.
fn check_rounded(name: &str, model: &TrainedModel) {
    let raw = raw_input(&model.architecture, 4, 7);
    let expected = run_reference(model, &raw, 4).expect("a sample model is whole");
    let found = predict(model, &raw);
    let largest = expected.iter().map(|value| value.abs()).fold(1.0, f32::max);
    let off: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / largest).collect();
    let mean = off.iter().sum::<f32>() / off.len() as f32;
    assert!(mean < 0.01, "{name}: off by {mean} of the largest output on average");
}

#[test]
fn int8_layers_match_integer_arithmetic() {
    let mut models: Vec<(String, TrainedModel)> = sample_models().into_iter().collect();
    models.extend((0..60).map(|seed| (format!("random {seed}"), random_model(seed))));
    let (mut exact, mut all) = (0, 0);
    for (seed, (name, model)) in models.iter().enumerate() {
        for rounded in [quantized(model, &[]), half_quantized(model, seed as u64)] {
            check_rounded(name, &rounded);
            let raw = raw_input(&rounded.architecture, 4, 9);
            let expected = run_reference(&rounded, &raw, 4).expect("a sample model is whole");
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
            exact += predict(&rounded, &raw).iter().zip(&expected).filter(|pair| near(*pair)).count();
            all += expected.len();
        }
    }
    assert!(exact * 100 >= all * 95, "{exact} of {all} outputs are equal");
}
