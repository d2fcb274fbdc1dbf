//! Tests which data the splits depend on, and that normalization depends only on the training split.

use kiln_evaluator::data::{Augmentation, DataSet, Given, RawData, Sizes, Split, Targets};
use kiln_export::InputRecord;
use kiln_space::Shape;

fn raw(value: impl Fn(usize) -> f32) -> RawData {
    RawData {
        name: "numbers".to_owned(),
        input: "a number".to_owned(),
        shape: Shape::vector(1),
        examples: (0..100).map(&value).collect(),
        targets: Targets::Values {
            names: vec!["y".to_owned()],
            values: (0..100).map(value).collect(),
            offsets: Vec::new(),
        },
        inputs: vec![InputRecord::channel("x")],
        given: Given::test_at_end(100, 20),
        notes: Vec::new(),
    }
}

#[test]
fn normalization_depends_on_training_split_alone() {
    let sizes = Sizes { test: 0.0, validation: 0.2, seed: 3, limit: None };
    let data = DataSet::new(raw(|i| i as f32), &sizes, Augmentation::default()).unwrap();
    let held_out: Vec<u32> =
        [Split::Validation, Split::Test].iter().flat_map(|split| data.split(*split)).copied().collect();
    assert_eq!(held_out.len(), 36, "two of ten in each of eight groups, and the test split");
    // The held-out examples get other inputs and keep their targets, because the strata of a regression
    // follow from the targets.
    let mut other = raw(|i| i as f32);
    for index in held_out {
        other.examples[index as usize] = 1e6;
    }
    let other = DataSet::new(other, &sizes, Augmentation::default()).unwrap();
    assert_eq!(data.split(Split::Train), other.split(Split::Train));
    assert_eq!(data.normalization(), other.normalization());
    assert_ne!(data.hash(), other.hash());
}

#[test]
fn target_scale_does_not_depend_on_test_split() {
    let sizes = Sizes { test: 0.0, validation: 0.25, seed: 3, limit: None };
    let data = DataSet::new(raw(|i| i as f32), &sizes, Augmentation::default()).unwrap();
    let other = DataSet::new(
        raw(|i| if i < 80 { i as f32 } else { 500.0 + i as f32 }),
        &sizes,
        Augmentation::default(),
    );
    let other = other.unwrap();
    assert_eq!(data.split(Split::Train), other.split(Split::Train));
    assert_eq!(data.target_normalization(), other.target_normalization());
}

#[test]
fn too_few_examples_are_refused() {
    let mut few = raw(|i| i as f32);
    few.examples.truncate(2);
    few.targets =
        Targets::Values { names: vec!["y".to_owned()], values: vec![0.0, 1.0], offsets: Vec::new() };
    few.given = Given::default();
    let sizes = Sizes { test: 0.2, validation: 0.2, seed: 3, limit: None };
    let error = DataSet::new(few, &sizes, Augmentation::default()).unwrap_err();
    assert!(error.to_string().contains("2 training, 0 validation and 0 test examples"), "{error}");
}
