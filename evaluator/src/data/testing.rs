//! The laws of data sets (feature `testing`), and data sets for tests in which only the targets matter.

use std::collections::BTreeSet;
use std::path::Path;

use kiln_space::Settings;

#[cfg(test)]
use super::{Augmentation, Given, RawData, Sizes, Targets};
use super::{DataBuilder, DataError, DataSet, Opening, Split};

/// Opens a data set with these settings in this folder, and checks its laws:
/// - Opening the data set twice yields the same data.
/// - No example is in two splits, and no split is empty.
/// - Inputs and targets are finite and fit the task.
/// - An unknown setting is refused, and the error names its key.
/// - Opening the data set without its files returns an error or the same data.
///
/// # Panics
/// When a law is violated. The message names the law.
pub fn check_data_set(build: DataBuilder, settings: &Settings, folder: &Path) {
    let open = |settings: &Settings, folder: Option<&Path>| build(&Opening::new(settings, folder));
    let data = open(settings, Some(folder)).unwrap_or_else(|error| panic!("it cannot be opened: {error}"));
    let again = open(settings, Some(folder)).unwrap_or_else(|error| panic!("not a second time: {error}"));
    assert_eq!(data.hash(), again.hash(), "opened twice it holds different data");
    check_splits(&data, &again);
    check_values(&data);
    let mut table = settings.table().clone();
    table.insert(UNKNOWN.to_owned(), true.into());
    match open(&Settings::new(settings.path(), table), Some(folder)) {
        Err(DataError::Settings(error)) => {
            assert!(
                error.to_string().contains(UNKNOWN),
                "an unknown key is refused without its name: {error}"
            );
        }
        Err(error) => panic!("an unknown key is not refused as a setting: {error}"),
        Ok(_) => panic!("an unknown key goes unnoticed"),
    }
    if let Ok(other) = open(settings, None) {
        assert_eq!(data.hash(), other.hash(), "without its folder it holds different data");
    }
}

/// A key that is not a setting of any data set.
const UNKNOWN: &str = "zzqqzz";

fn check_splits(data: &DataSet, again: &DataSet) {
    let mut known = BTreeSet::new();
    for split in [Split::Train, Split::Validation, Split::Test] {
        let examples = data.split(split);
        assert_eq!(examples, again.split(split), "opened twice, {split:?} differs");
        assert!(!examples.is_empty() && examples.is_sorted(), "{split:?} is empty or not in order");
        for example in examples {
            assert!(known.insert(*example), "example {example} is in two splits, or twice in one");
            assert!(
                (*example as usize) < data.targets().len(),
                "example {example} of {split:?} has no target"
            );
        }
    }
}

fn check_values(data: &DataSet) {
    let (shape, task) = (data.shape(), data.task());
    assert_eq!((task.input, task.outputs), (shape, data.targets().names().len()), "the task does not fit");
    assert_eq!(data.inputs().len(), shape.channels, "each channel has one description");
    for example in 0..data.targets().len() as u32 {
        let values = data.example(example);
        assert!(values.iter().all(|value| value.is_finite()), "example {example} is not finite");
        if data.is_regression() {
            let targets = data.values(example);
            assert!(
                targets.len() == task.outputs && targets.iter().all(|value| value.is_finite()),
                "{targets:?}"
            );
        } else {
            let label = data.label(example) as usize;
            assert!(label < task.outputs, "example {example} has class {label} of {}", task.outputs);
        }
    }
}

/// Examples with these targets and one constant input. The last `test` examples are the test split.
#[cfg(test)]
pub(crate) fn of_targets(targets: Targets, test: usize, sizes: &Sizes) -> DataSet {
    let raw = RawData {
        name: "test".to_owned(),
        input: "a number".to_owned(),
        shape: kiln_space::Shape::vector(1),
        examples: vec![0.0; targets.len()],
        given: Given::test_at_end(targets.len(), test),
        targets,
        inputs: vec![kiln_export::InputRecord::channel("x")],
        notes: Vec::new(),
    };
    DataSet::new(raw, sizes, Augmentation::default()).unwrap()
}
