//! Batches: augmented and normalized examples as tensors.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::seq::SliceRandom;

use super::{DataSet, Split};
use crate::seed;

/// Normalized examples with their targets.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, channels, height, width]`.
    pub images: Tensor<4>,
    /// Targets of the network.
    pub targets: BatchTargets,
}

/// Targets of a batch.
#[derive(Clone, Debug)]
pub enum BatchTargets {
    /// Class indices, `[batch]`.
    Labels(Tensor<1, Int>),
    /// Standardized values, `[batch, targets]`: distance from the mean in standard deviations.
    Values(Tensor<2>),
}

impl Batch {
    /// Copies the batch to another device.
    #[must_use]
    pub fn on(&self, device: &Device) -> Self {
        let targets = match &self.targets {
            BatchTargets::Labels(labels) => BatchTargets::Labels(labels.clone().to_device(device)),
            BatchTargets::Values(values) => BatchTargets::Values(values.clone().to_device(device)),
        };
        Self { images: self.images.clone().to_device(device), targets }
    }
}

/// Makes batches of a data set on one device.
#[derive(Clone, Debug)]
pub struct Batcher<'a> {
    data: &'a DataSet,
    device: Device,
    seed: u64,
}

impl<'a> Batcher<'a> {
    /// Batches of `data` on `device`. Shuffles and augmentation are derived from `seed`.
    #[must_use]
    pub const fn new(data: &'a DataSet, device: Device, seed: u64) -> Self {
        Self { data, device, seed }
    }

    /// Shuffles `examples` for an epoch.
    #[must_use]
    pub fn shuffled(&self, examples: &[u32], epoch: u64) -> Vec<u32> {
        let mut order = examples.to_vec();
        order.shuffle(&mut seed::generator(self.seed, "order", &[epoch]));
        order
    }

    /// A training batch with augmentation. `step` is the index of the batch in the whole training.
    #[must_use]
    pub fn training(&self, examples: &[u32], step: u64) -> Batch {
        let mut rng = seed::generator(self.seed, "augmentation", &[step]);
        let augmentation = *self.data.augmentation();
        let shape = self.data.shape();
        let (mean, _) = self.data.normalization();
        self.batch(examples, |from, to| augmentation.apply(shape, mean, from, to, &mut rng))
    }

    /// A batch without augmentation.
    #[must_use]
    pub fn plain(&self, examples: &[u32]) -> Batch {
        self.batch(examples, |from, to| to.copy_from_slice(from))
    }

    /// All batches of a split, in order, without augmentation.
    pub fn split(&self, split: Split, size: usize) -> impl Iterator<Item = Batch> + use<'_, 'a> {
        self.data.split(split).chunks(size).map(|examples| self.plain(examples))
    }

    fn batch(&self, examples: &[u32], mut write: impl FnMut(&[f32], &mut [f32])) -> Batch {
        let shape = self.data.shape();
        let mut values = vec![0.0_f32; examples.len() * shape.elements()];
        for (&example, to) in examples.iter().zip(values.chunks_exact_mut(shape.elements())) {
            write(self.data.example(example), to);
            normalize(self.data, to);
        }
        let dimensions = [examples.len(), shape.channels, shape.height, shape.width];
        Batch {
            images: Tensor::from_data(TensorData::new(values, dimensions), &self.device),
            targets: self.targets(examples),
        }
    }

    fn targets(&self, examples: &[u32]) -> BatchTargets {
        let count = examples.len();
        if self.data.is_regression() {
            let (mean, deviation) = self.data.target_normalization();
            let rows = examples.iter().flat_map(|example| self.data.values(*example).iter().enumerate());
            let values: Vec<f32> = rows.map(|(i, value)| (value - mean[i]) / deviation[i]).collect();
            let values = TensorData::new(values, [count, mean.len()]);
            return BatchTargets::Values(Tensor::from_data(values, &self.device));
        }
        let labels: Vec<i64> = examples.iter().map(|example| i64::from(self.data.label(*example))).collect();
        BatchTargets::Labels(Tensor::from_data(TensorData::new(labels, [count]), &self.device))
    }
}

fn normalize(data: &DataSet, example: &mut [f32]) {
    let (mean, deviation) = data.normalization();
    let planes = example.chunks_exact_mut(data.shape().positions());
    for ((plane, mean), deviation) in planes.zip(mean).zip(deviation) {
        for value in plane {
            *value = (*value - mean) / deviation;
        }
    }
}
