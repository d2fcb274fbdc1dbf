//! A data set in memory: examples, targets, splits, and what training needs to know of them.

use kiln_space::{Shape, Task};

use super::normalization::Normalization;
use super::split::{self, Sizes, Split};
use super::{Augmentation, DataError, Targets};

/// Examples with fixed splits. The test split is read only when a network is finished.
#[derive(Clone, Debug)]
pub struct DataSet {
    name: String,
    input: String,
    shape: Shape,
    examples: Vec<f32>,
    targets: Targets,
    splits: [Vec<u32>; 3],
    split_seed: u64,
    inputs: Normalization,
    outputs: Normalization,
    augmentation: Augmentation,
    hash: String,
}

/// What a reader has found in its files, before it is split.
#[derive(Clone, Debug)]
pub struct RawData {
    /// Name for people and cards.
    pub name: String,
    /// What a raw value is, such as `grey level 0..255`.
    pub input: String,
    /// Shape of one example.
    pub shape: Shape,
    /// Raw values, one example after the other, each `[channels, height, width]` row-major. All finite.
    pub examples: Vec<f32>,
    /// What networks learn to give for each example.
    pub targets: Targets,
    /// The last `test` examples are the test split; 0 if the reader has none.
    pub test: usize,
}

impl DataSet {
    /// Splits, measures and fingerprints raw data. Means and deviations come from the training split alone.
    ///
    /// # Errors
    /// [`DataError::TooFew`] when a split has no examples.
    pub fn new(raw: RawData, sizes: &Sizes, augmentation: Augmentation) -> Result<Self, DataError> {
        let splits = split::stratified(&raw.targets.strata(raw.targets.len() - raw.test), raw.test, sizes);
        if splits[0].len() < 2 || splits[1..].iter().any(Vec::is_empty) {
            let [training, validation, test] = splits.each_ref().map(Vec::len);
            return Err(DataError::TooFew { name: raw.name, training, validation, test });
        }
        let inputs = Normalization::of_inputs(&raw, &splits[0]);
        let outputs = Normalization::of_targets(&raw.targets, &splits[0]);
        let hash = content_hash(&raw, &splits);
        let RawData { name, input, shape, examples, targets, .. } = raw;
        let split_seed = sizes.seed;
        Ok(Self {
            name,
            input,
            shape,
            examples,
            targets,
            splits,
            split_seed,
            inputs,
            outputs,
            augmentation,
            hash,
        })
    }

    /// What a network for this data takes and gives.
    #[must_use]
    pub fn task(&self) -> Task {
        Task { input: self.shape, outputs: self.targets.names().len() }
    }

    /// Shape of one example.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// What networks learn to give.
    #[must_use]
    pub const fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Whether the targets are numbers and not classes.
    #[must_use]
    pub const fn is_regression(&self) -> bool {
        matches!(self.targets, Targets::Values { .. })
    }

    /// What a raw value is.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Examples of a split, by index, ascending.
    #[must_use]
    pub fn split(&self, split: Split) -> &[u32] {
        &self.splits[split as usize]
    }

    /// Seed of the shuffle that made the splits.
    #[must_use]
    pub const fn split_seed(&self) -> u64 {
        self.split_seed
    }

    /// Raw values of one example.
    #[must_use]
    pub fn example(&self, index: u32) -> &[f32] {
        let size = self.shape.elements();
        &self.examples[index as usize * size..][..size]
    }

    /// Class of one example.
    ///
    /// # Panics
    /// When the targets are numbers.
    #[must_use]
    pub fn label(&self, index: u32) -> u32 {
        match &self.targets {
            Targets::Classes { labels, .. } => labels[index as usize],
            Targets::Values { .. } => panic!("a regression has no labels"),
        }
    }

    /// Raw target values of one example; none where the targets are classes.
    #[must_use]
    pub fn values(&self, index: u32) -> &[f32] {
        match &self.targets {
            Targets::Classes { .. } => &[],
            Targets::Values { names, values } => &values[index as usize * names.len()..][..names.len()],
        }
    }

    /// Mean and standard deviation of each channel over the training split, in raw units.
    #[must_use]
    pub fn normalization(&self) -> (&[f32], &[f32]) {
        (&self.inputs.mean, &self.inputs.deviation)
    }

    /// Mean and standard deviation of each target value over the training split, in its own unit; empty for classes.
    #[must_use]
    pub fn target_normalization(&self) -> (&[f32], &[f32]) {
        (&self.outputs.mean, &self.outputs.deviation)
    }

    /// Augmentation of training batches.
    #[must_use]
    pub const fn augmentation(&self) -> &Augmentation {
        &self.augmentation
    }

    /// Hash of values, targets and splits.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// One line for cards: name, sizes, hash.
    #[must_use]
    pub fn describe(&self) -> String {
        let [train, validation, test] = self.splits.each_ref().map(Vec::len);
        let outputs = self.targets.names().len();
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

fn content_hash(raw: &RawData, splits: &[Vec<u32>; 3]) -> String {
    let mut hasher = blake3::Hasher::new();
    for value in &raw.examples {
        hasher.update(&value.to_le_bytes());
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
