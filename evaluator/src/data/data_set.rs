//! A data set in memory: examples, targets, splits and normalization.

use std::collections::BTreeMap;

use kiln_export::InputRecord;
use kiln_space::{Shape, Task};
use serde_json::Value;

use super::normalization::Normalization;
use super::split::{self, Sizes, Split};
use super::{Augmentation, DataError, RawData, ReadingRules, Targets};

/// Examples with fixed splits. Only the finish stage reads the test split.
#[derive(Clone, Debug)]
pub struct DataSet {
    name: String,
    input: String,
    shape: Shape,
    examples: Vec<f32>,
    records: Vec<InputRecord>,
    targets: Targets,
    splits: [Vec<u32>; 3],
    split_seed: u64,
    reading: BTreeMap<String, Value>,
    inputs: Normalization,
    outputs: Normalization,
    augmentation: Augmentation,
    hash: String,
    notes: Vec<String>,
    rules: ReadingRules,
}

impl DataSet {
    /// Splits, normalizes and hashes raw data. Means and standard deviations are computed on the training
    /// split only.
    ///
    /// # Errors
    /// [`DataError::TooFew`] when a split has no examples.
    pub fn new(raw: RawData, sizes: &Sizes, augmentation: Augmentation) -> Result<Self, DataError> {
        let splits = split::divide_targets(&raw.targets, &raw.given, sizes, ReadingRules::CURRENT);
        Self::divided(raw, (splits, sizes.seed), augmentation, ReadingRules::CURRENT)
    }

    /// A data set with the given splits. `split_seed` is the seed that made them.
    pub(super) fn divided(
        raw: RawData,
        (splits, split_seed): ([Vec<u32>; 3], u64),
        augmentation: Augmentation,
        rules: ReadingRules,
    ) -> Result<Self, DataError> {
        if splits[0].len() < 2 || splits[1..].iter().any(Vec::is_empty) {
            let [training, validation, test] = splits.each_ref().map(Vec::len);
            let advice = split::advice(&raw.targets, &raw.given);
            return Err(DataError::TooFew { name: raw.name, training, validation, test, advice });
        }
        let inputs = Normalization::of_inputs(&raw, &splits[0], rules);
        let outputs = Normalization::of_targets(&raw.targets, &splits[0], rules);
        let hash = content_hash(&raw, &splits, [&inputs, &outputs]);
        let RawData { name, input, shape, examples, inputs: records, targets, notes, given: _ } = raw;
        Ok(Self {
            name,
            input,
            shape,
            examples,
            records,
            targets,
            splits,
            split_seed,
            reading: BTreeMap::new(),
            inputs,
            outputs,
            augmentation,
            hash,
            notes,
            rules,
        })
    }

    /// A classification of which only the shapes are known. It has no examples, so nothing can be trained or
    /// measured on it.
    ///
    /// # Example
    /// ```
    /// use kiln_evaluator::data::DataSet;
    /// use kiln_space::{Shape, Task};
    /// let task = Task { input: Shape::new(3, 32, 32), outputs: 10 };
    /// let data = DataSet::without_examples(task);
    /// assert!(!data.has_examples() && data.task() == task);
    /// ```
    #[must_use]
    pub fn without_examples(Task { input, outputs }: Task) -> Self {
        let hash = blake3::hash(format!("no examples: {input}, {outputs} outputs").as_bytes());
        let names = (0..outputs).map(|output| output.to_string()).collect();
        Self {
            name: "no data set".to_owned(),
            input: "as the network takes it".to_owned(),
            shape: input,
            examples: Vec::new(),
            records: Vec::new(),
            targets: Targets::Classes { names, labels: Vec::new() },
            splits: [Vec::new(), Vec::new(), Vec::new()],
            split_seed: 0,
            reading: BTreeMap::new(),
            inputs: Normalization { mean: vec![0.0; input.channels], deviation: vec![1.0; input.channels] },
            outputs: Normalization { mean: Vec::new(), deviation: Vec::new() },
            augmentation: Augmentation::default(),
            hash: hash.to_hex().to_string(),
            notes: Vec::new(),
            rules: ReadingRules::CURRENT,
        }
    }

    /// Whether there are examples.
    #[must_use]
    pub const fn has_examples(&self) -> bool {
        !self.examples.is_empty()
    }

    /// The input shape and number of outputs of a network for this data.
    #[must_use]
    pub fn task(&self) -> Task {
        Task { input: self.shape, outputs: self.targets.names().len() }
    }

    /// Shape of one example.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Targets of all examples.
    #[must_use]
    pub const fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Whether the task is a regression. Otherwise it is a classification.
    #[must_use]
    pub const fn is_regression(&self) -> bool {
        matches!(self.targets, Targets::Values { .. })
    }

    /// Meaning of a raw value, such as `grey level 0..255`.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Indices of the examples of a split, ascending.
    #[must_use]
    pub fn split(&self, split: Split) -> &[u32] {
        &self.splits[split as usize]
    }

    /// Returns the same data set with a record of how its files are read.
    pub(super) fn with_reading(self, reading: BTreeMap<String, Value>) -> Self {
        Self { reading, ..self }
    }

    /// Describes, for model cards, how a file becomes examples: the kind of data, the settings of the reader,
    /// and the processing of images.
    #[must_use]
    pub const fn reading(&self) -> &BTreeMap<String, Value> {
        &self.reading
    }

    /// Seed of the shuffle that made the splits.
    #[must_use]
    pub const fn split_seed(&self) -> u64 {
        self.split_seed
    }

    /// Raw values of one example, minus the offsets of their channels.
    #[must_use]
    pub fn example(&self, index: u32) -> &[f32] {
        let size = self.shape.elements();
        &self.examples[index as usize * size..][..size]
    }

    /// Class index of one example.
    ///
    /// # Panics
    /// When the task is a regression.
    #[must_use]
    pub fn label(&self, index: u32) -> u32 {
        match &self.targets {
            Targets::Classes { labels, .. } => labels[index as usize],
            Targets::Values { .. } => panic!("a regression has no labels"),
        }
    }

    /// Regression targets of one example, minus their offsets. The slice is empty for a classification.
    #[must_use]
    pub fn values(&self, index: u32) -> &[f32] {
        match &self.targets {
            Targets::Classes { .. } => &[],
            Targets::Values { names, values, .. } => &values[index as usize * names.len()..][..names.len()],
        }
    }

    /// The offset that was subtracted from the raw values of a channel.
    #[must_use]
    pub fn offset(&self, channel: usize) -> f64 {
        self.records.get(channel).map_or(0.0, |record| record.offset)
    }

    /// Offsets to add to the target values. The slice is empty if all offsets are 0.
    #[must_use]
    pub fn target_offsets(&self) -> &[f64] {
        match &self.targets {
            Targets::Classes { .. } => &[],
            Targets::Values { offsets, .. } => offsets,
        }
    }

    /// The rules by which the files were read.
    #[must_use]
    pub const fn reading_rules(&self) -> ReadingRules {
        self.rules
    }

    /// Description of each input channel.
    #[must_use]
    pub fn inputs(&self) -> &[InputRecord] {
        &self.records
    }

    /// Mean and standard deviation of each channel over the training split, in raw units minus the offset.
    #[must_use]
    pub fn normalization(&self) -> (&[f32], &[f32]) {
        (&self.inputs.mean, &self.inputs.deviation)
    }

    /// Mean and standard deviation of each regression target over the training split, in the target's own
    /// unit. The slices are empty for a classification.
    #[must_use]
    pub fn target_normalization(&self) -> (&[f32], &[f32]) {
        (&self.outputs.mean, &self.outputs.deviation)
    }

    /// Notes about the data, one sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Augmentation of training batches.
    #[must_use]
    pub const fn augmentation(&self) -> &Augmentation {
        &self.augmentation
    }

    /// Hash of inputs, targets and splits.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// One line for model cards: name, sizes, hash.
    #[must_use]
    pub fn describe(&self) -> String {
        let [train, validation, test] = self.splits.each_ref().map(Vec::len);
        let outputs = self.targets.names().len();
        if !self.has_examples() {
            return format!("{} (inputs of {}, {outputs} outputs)", self.name, self.shape);
        }
        let outputs = match &self.targets {
            Targets::Classes { .. } => format!("in {outputs} classes"),
            Targets::Values { .. } if outputs == 1 => "with 1 target value".to_owned(),
            Targets::Values { .. } => format!("with {outputs} target values"),
        };
        format!(
            "{} ({} {outputs}; {train} training, {validation} validation, {test} test examples; content {})",
            self.name,
            self.shape,
            &self.hash[..16],
        )
    }
}

/// Number of values that are hashed at once.
const HASHED: usize = 16_384;

fn content_hash(raw: &RawData, splits: &[Vec<u32>; 3], normalizations: [&Normalization; 2]) -> String {
    let mut hasher = blake3::Hasher::new();
    // Hashing many bytes in one update is several times as fast as hashing one value at a time.
    let mut bytes = Vec::with_capacity(size_of::<f32>() * HASHED);
    for values in raw.examples.chunks(HASHED) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
    }
    // Skip zero offsets, so that data without offsets keep the hash of earlier builds.
    for offset in raw.inputs.iter().map(|input| input.offset).filter(|offset| *offset != 0.0) {
        hasher.update(&offset.to_le_bytes());
    }
    // Earlier builds replaced small standard deviations by 1. Hash only these standard deviations, so that
    // other data keep their hash.
    for deviation in normalizations.into_iter().flat_map(Normalization::small) {
        hasher.update(&deviation.to_le_bytes());
    }
    raw.targets.hash(&mut hasher);
    for split in splits {
        hasher.update(&(split.len() as u64).to_le_bytes());
        for index in split {
            hasher.update(&index.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
