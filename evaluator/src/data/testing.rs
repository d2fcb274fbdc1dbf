//! Data sets for tests in which only the targets matter.

use kiln_export::InputRecord;
use kiln_space::Shape;

use super::{Augmentation, DataSet, Given, RawData, Sizes, Targets};

/// Examples with these targets and one input that is 0 everywhere; the last `test` are given as the test split.
pub(crate) fn of_targets(targets: Targets, test: usize, sizes: &Sizes) -> DataSet {
    let raw = RawData {
        name: "test".to_owned(),
        input: "a number".to_owned(),
        shape: Shape::vector(1),
        examples: vec![0.0; targets.len()],
        given: Given::test_at_end(targets.len(), test),
        targets,
        inputs: vec![InputRecord::channel("x")],
        notes: Vec::new(),
    };
    DataSet::new(raw, sizes, Augmentation::default()).unwrap()
}
