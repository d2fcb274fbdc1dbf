//! Warnings about a data set as a whole: constant inputs, examples in two splits, classes that cannot be
//! learned or evaluated. A warning never refuses the data set.

use kiln_export::InputKind;

use super::{DataSet, Split, Targets};

/// Maximum number of names in a sentence.
const NAMED: usize = 6;

impl DataSet {
    /// Warnings to read before training, one sentence each. Reads every value once.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        [constant_inputs(self), duplicates(self), classes(self)].concat()
    }
}

/// Inputs that are constant over the training split.
fn constant_inputs(data: &DataSet) -> Vec<String> {
    let positions = data.shape().positions();
    let constant = |(channel, input): &(usize, &kiln_export::InputRecord)| {
        // Inputs that mark unseen or missing values may be 0 in all training examples by design.
        if matches!(input.kind, InputKind::Unseen { .. } | InputKind::Missing { .. }) {
            return false;
        }
        let plane = |example: u32| &data.example(example)[channel * positions..][..positions];
        let examples = data.split(Split::Train);
        let first = examples.first().map_or(0.0, |example| plane(*example)[0]);
        examples.iter().all(|example| plane(*example).iter().all(|value| value.to_bits() == first.to_bits()))
    };
    let names: Vec<&str> =
        data.inputs().iter().enumerate().filter(constant).map(|(_, input)| input.name.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "{} of {} inputs have one value in the whole training split, so nothing can be learned from them: {}",
        names.len(),
        data.inputs().len(),
        list(&names)
    )]
}

/// An example, and the index of its split in the order training, validation, test.
struct Member {
    hash: u64,
    place: usize,
    example: u32,
}

/// Reports examples whose inputs are bit-identical to the inputs of an example in an earlier split.
fn duplicates(data: &DataSet) -> Vec<String> {
    let splits = [(Split::Train, "training"), (Split::Validation, "validation"), (Split::Test, "test")];
    let bits = |member: &Member| data.example(member.example).iter().map(|value| value.to_bits());
    let mut members: Vec<Member> = Vec::new();
    for (place, (split, _)) in splits.iter().enumerate() {
        let member = |example: &u32| Member { hash: hash(data.example(*example)), place, example: *example };
        members.extend(data.split(*split).iter().map(member));
    }
    // After sorting, equal examples are neighbors, and the earliest split comes first. Values are compared
    // only if hashes are equal.
    members.sort_unstable_by(|a, b| {
        let by_values = || bits(a).cmp(bits(b)).then(a.place.cmp(&b.place));
        a.hash.cmp(&b.hash).then_with(by_values)
    });
    let mut counts = [[0_usize; 3]; 3];
    for equal in members.chunk_by(|a, b| a.hash == b.hash && bits(a).eq(bits(b))) {
        for member in equal {
            counts[member.place][equal[0].place] += 1;
        }
    }
    let mut found = Vec::new();
    for (place, (split, name)) in splits.iter().enumerate() {
        let earlier = counts[place].iter().zip(&splits).take(place);
        for (count, (_, other)) in earlier.filter(|(count, _)| **count > 0) {
            found.push(format!(
                "{count} of {} {name} examples have exactly the inputs of a {other} example: \
                 measurements on them say nothing about new data",
                data.split(*split).len()
            ));
        }
    }
    found
}

/// A hash that only speeds up sorting: examples with equal hashes are compared by value.
///
/// Source: the multiplier of Steele and Vigna, "Computationally easy, spectrally good multipliers for
/// congruential pseudorandom number generators", Software: Practice and Experience 52, 2022.
fn hash(values: &[f32]) -> u64 {
    const MULTIPLIER: u64 = 0xF135_7AEA_2E62_A9C5;
    values.iter().fold(0, |hash: u64, value| {
        (hash.rotate_left(26) ^ u64::from(value.to_bits())).wrapping_mul(MULTIPLIER)
    })
}

/// Classes without training examples, and classes with one example.
fn classes(data: &DataSet) -> Vec<String> {
    let Targets::Classes { names, .. } = data.targets() else { return Vec::new() };
    let mut counts = vec![[0_usize; 3]; names.len()];
    for split in [Split::Train, Split::Validation, Split::Test] {
        for example in data.split(split) {
            counts[data.label(*example) as usize][split as usize] += 1;
        }
    }
    let chosen = |wanted: &dyn Fn(&[usize; 3]) -> bool| -> Vec<&str> {
        names.iter().zip(&counts).filter(|(_, count)| wanted(count)).map(|(name, _)| name.as_str()).collect()
    };
    let mut found = Vec::new();
    let mut say = |classes: &[&str], what: &str| {
        if !classes.is_empty() {
            found.push(format!("{} of {} classes {what}: {}", classes.len(), names.len(), list(classes)));
        }
    };
    say(
        &chosen(&|[train, validation, test]| *train == 0 && validation + test > 0),
        "have no training example, so they cannot be learned",
    );
    say(
        &chosen(&|[train, validation, test]| *train == 1 && validation + test == 0),
        "have one example, which is for training",
    );
    say(
        &chosen(&|[train, _, test]| *train > 1 && *test == 0),
        "have no test example, so nothing is measured of them",
    );
    found
}

/// Lists names, shortened if there are many.
fn list(names: &[&str]) -> String {
    let first: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let more = names.len() - first.len();
    if more > 0 { format!("{} and {more} more", first.join(", ")) } else { first.join(", ") }
}

#[cfg(test)]
mod tests {
    use kiln_export::InputRecord;
    use kiln_space::Shape;

    use super::*;
    use crate::data::{Augmentation, Given, RawData, Sizes};

    /// 12 examples with two inputs; the second input is always 7. The last four examples are the test split.
    fn data(first: impl Fn(usize) -> f32, labels: Vec<u32>, classes: usize) -> DataSet {
        let raw = RawData {
            name: "test".to_owned(),
            input: "numbers".to_owned(),
            shape: Shape::vector(2),
            examples: (0..12).flat_map(|i| [first(i), 7.0]).collect(),
            inputs: ["a", "b"].map(InputRecord::channel).to_vec(),
            targets: Targets::Classes {
                names: (0..classes).map(|class| format!("class {class}")).collect(),
                labels,
            },
            given: Given::test_at_end(12, 4),
            notes: Vec::new(),
        };
        let sizes = Sizes { test: 0.0, validation: 0.25, seed: 1, limit: None };
        DataSet::new(raw, &sizes, Augmentation::default()).unwrap()
    }

    #[test]
    fn findings_report_constant_inputs_and_duplicates_in_test_split() {
        let even = (0..12).map(|i| i % 2).collect();
        let constant = "1 of 2 inputs have one value in the whole training split, so nothing can be learned \
            from them: `b`";
        assert_eq!(data(|i| i as f32, even, 2).findings(), [constant]);
        let even = (0..12).map(|i| i % 2).collect();
        let found = data(|i| if i < 8 { i as f32 } else { (i - 8) as f32 }, even, 2).findings();
        let copies: Vec<&String> =
            found.iter().filter(|said| said.contains(" of 4 test examples have exactly")).collect();
        let counted: usize = copies.iter().map(|said| said[..1].parse::<usize>().unwrap()).sum();
        assert_eq!(counted, 4, "{found:?}");
    }

    #[test]
    fn findings_report_classes_without_training_or_with_one_example() {
        let found = data(|i| i as f32, vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], 3).findings();
        assert_eq!(
            found[1..],
            [
                "1 of 3 classes have no training example, so they cannot be learned: `class 2`",
                "1 of 3 classes have one example, which is for training: `class 1`"
            ]
        );
    }
}
