//! Data sets for tests that depend on targets only.

use kiln_export::InputRecord;
use kiln_space::Shape;

use super::{Augmentation, DataSet, Given, RawData, Sizes, Targets};

/// Examples with these targets and one constant input. The last `test` examples are the test split.
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
