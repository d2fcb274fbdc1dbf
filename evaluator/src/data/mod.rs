//! Data sets: labeled images in memory, their splits, normalization and augmentation.

mod augment;
mod batch;
mod digits;
mod error;
mod idx;
mod registry;
mod split;

pub use augment::Augmentation;
pub use batch::{Batch, Batcher};
pub use error::DataError;
pub use registry::{DataBuilder, DataRegistry};
pub use split::Split;

use kiln_space::{Shape, Task};

/// Labeled images with fixed splits. The test split is read only when a network is finished.
#[derive(Clone, Debug)]
pub struct DataSet {
    name: String,
    input: String,
    shape: Shape,
    classes: Vec<String>,
    examples: Vec<f32>,
    labels: Vec<u32>,
    splits: [Vec<u32>; 3],
    mean: Vec<f32>,
    deviation: Vec<f32>,
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
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Raw values, one example after the other, each `[channels, height, width]` row-major.
    pub examples: Vec<f32>,
    /// Class of each example.
    pub labels: Vec<u32>,
    /// The last `test` examples are the test split; 0 if the reader has none.
    pub test: usize,
}

impl DataSet {
    /// Splits, measures and fingerprints raw data. Mean and deviation come from the training split alone.
    #[must_use]
    pub fn new(raw: RawData, sizes: &split::Sizes, augmentation: Augmentation) -> Self {
        let splits = split::stratified(&raw.labels, raw.test, sizes);
        let [mean, deviation] = channel_statistics(&raw, &splits[0]);
        let hash = content_hash(&raw, &splits);
        let RawData { name, input, shape, classes, examples, labels, .. } = raw;
        Self { name, input, shape, classes, examples, labels, splits, mean, deviation, augmentation, hash }
    }

    /// What a network for this data takes and gives.
    #[must_use]
    pub fn task(&self) -> Task {
        Task { input: self.shape, outputs: self.classes.len() }
    }

    /// Shape of one example.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Class names in output order.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
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

    /// Raw values of one example.
    #[must_use]
    pub fn example(&self, index: u32) -> &[f32] {
        let size = self.shape.elements();
        &self.examples[index as usize * size..][..size]
    }

    /// Class of one example.
    #[must_use]
    pub fn label(&self, index: u32) -> u32 {
        self.labels[index as usize]
    }

    /// Mean and standard deviation of each channel over the training split, in raw units.
    #[must_use]
    pub fn normalization(&self) -> (&[f32], &[f32]) {
        (&self.mean, &self.deviation)
    }

    /// Augmentation of training batches.
    #[must_use]
    pub const fn augmentation(&self) -> &Augmentation {
        &self.augmentation
    }

    /// Hash of values, labels and splits.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// One line for cards: name, sizes, hash.
    #[must_use]
    pub fn describe(&self) -> String {
        let [train, validation, test] = self.splits.each_ref().map(Vec::len);
        format!(
            "{} ({} in {} classes; {train} training, {validation} validation, {test} test examples; content {})",
            self.name,
            self.shape,
            self.classes.len(),
            &self.hash[..16],
        )
    }
}

/// Mean and deviation of each channel over the given examples; a constant channel gets deviation 1.
fn channel_statistics(raw: &RawData, train: &[u32]) -> [Vec<f32>; 2] {
    let (size, positions) = (raw.shape.elements(), raw.shape.positions());
    let mut sums = vec![[0.0_f64; 2]; raw.shape.channels];
    for &index in train {
        let example = &raw.examples[index as usize * size..][..size];
        for (sum, plane) in sums.iter_mut().zip(example.chunks_exact(positions)) {
            for &value in plane {
                let value = f64::from(value);
                sum[0] += value;
                sum[1] += value * value;
            }
        }
    }
    let count = (train.len() * positions).max(1) as f64;
    let mean: Vec<f64> = sums.iter().map(|sum| sum[0] / count).collect();
    let deviation = sums.iter().zip(&mean).map(|(sum, mean)| {
        let deviation = (sum[1] / count - mean * mean).max(0.0).sqrt();
        if deviation > 1e-6 { deviation as f32 } else { 1.0 }
    });
    let deviation = deviation.collect();
    [mean.iter().map(|mean| *mean as f32).collect(), deviation]
}

fn content_hash(raw: &RawData, splits: &[Vec<u32>; 3]) -> String {
    let mut hasher = blake3::Hasher::new();
    for value in &raw.examples {
        hasher.update(&value.to_le_bytes());
    }
    for label in &raw.labels {
        hasher.update(&label.to_le_bytes());
    }
    for split in splits {
        hasher.update(&(split.len() as u64).to_le_bytes());
        for index in split {
            hasher.update(&index.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
