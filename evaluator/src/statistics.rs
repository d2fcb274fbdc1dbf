//! Batch-norm statistics of one subnet: never shared, collected anew whenever a subnet is judged.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_space::{Architecture, LayerId};

use crate::executor::{self, Normalization};
use crate::weights::Weights;

/// Mean and variance of each batch-norm layer's input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    layers: BTreeMap<LayerId, (Tensor<1>, Tensor<1>)>,
}

impl Statistics {
    /// Mean and variance of a layer, `[channels]` each.
    ///
    /// # Panics
    /// When the statistics belong to another architecture.
    pub(crate) fn layer(&self, id: LayerId) -> (Tensor<1>, Tensor<1>) {
        self.layers.get(&id).expect("statistics of every batch-norm layer").clone()
    }

    /// Runs the batches through the network and pools what each batch-norm layer sees, all examples weighted alike.
    pub(crate) fn collect(
        architecture: &Architecture,
        weights: &Weights,
        batches: impl Iterator<Item = Tensor<4>>,
        device: &Device,
    ) -> Self {
        let mut pooled: BTreeMap<LayerId, Pooled> = BTreeMap::new();
        for images in batches {
            let examples = images.dims()[0] as f64;
            let mut seen = Vec::new();
            executor::forward(architecture, weights, images, Normalization::Batch(Some(&mut seen)));
            for (id, mean, variance) in seen {
                pooled.entry(id).or_default().add(examples, &to_vec(mean), &to_vec(variance));
            }
        }
        let layers = pooled.into_iter().map(|(id, pooled)| (id, pooled.finish(device))).collect();
        Self { layers }
    }

    /// Statistics with the given values: `(mean, variance)` by layer.
    pub(crate) fn from_values(
        values: impl IntoIterator<Item = (LayerId, Vec<f32>, Vec<f32>)>,
        device: &Device,
    ) -> Self {
        let layers = values
            .into_iter()
            .map(|(id, mean, variance)| (id, (vector(mean, device), vector(variance, device))));
        Self { layers: layers.collect() }
    }

    /// Values by layer: mean, then variance.
    pub(crate) fn values(&self) -> impl Iterator<Item = (LayerId, Vec<f32>, Vec<f32>)> + '_ {
        self.layers.iter().map(|(id, (mean, variance))| (*id, to_vec(mean.clone()), to_vec(variance.clone())))
    }
}

#[derive(Default)]
struct Pooled {
    examples: f64,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Pooled {
    fn add(&mut self, examples: f64, mean: &[f32], variance: &[f32]) {
        self.mean.resize(mean.len(), 0.0);
        self.square.resize(mean.len(), 0.0);
        self.examples += examples;
        for (channel, (mean, variance)) in mean.iter().zip(variance).enumerate() {
            let (mean, variance) = (f64::from(*mean), f64::from(*variance));
            self.mean[channel] += examples * mean;
            self.square[channel] += examples * (variance + mean * mean);
        }
    }

    fn finish(self, device: &Device) -> (Tensor<1>, Tensor<1>) {
        let mean: Vec<f64> = self.mean.iter().map(|sum| sum / self.examples).collect();
        let variance = self
            .square
            .iter()
            .zip(&mean)
            .map(|(sum, mean)| ((sum / self.examples - mean * mean).max(0.0)) as f32);
        let variance = variance.collect();
        (vector(mean.iter().map(|mean| *mean as f32).collect(), device), vector(variance, device))
    }
}

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let size = values.len();
    Tensor::from_data(TensorData::new(values, [size]), device)
}

fn to_vec(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().expect("statistics are single precision")
}
