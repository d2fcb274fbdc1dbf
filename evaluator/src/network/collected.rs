//! Runs a network on batches to collect batch-norm statistics. Mean and variance of each batch norm's input
//! are pooled over the batches.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use kiln_space::{Architecture, LayerId};

use super::executor;
use super::observer::Observer;
use super::plan::Plan;
use super::statistics::{LayerStatistics, Statistics, to_vec};
use super::weights::Weights;

/// Runs the batches through the network, and pools mean and variance of each batch-norm layer's input. All
/// examples have the same weight.
pub(crate) fn statistics(
    architecture: &Architecture,
    weights: &Weights,
    batches: impl Iterator<Item = Tensor<4>>,
    device: &Device,
) -> Statistics {
    let plan = Plan::training(architecture);
    let mut pooled: BTreeMap<LayerId, Pooled> = BTreeMap::new();
    for images in batches {
        let examples = images.dims()[0] as f64;
        let mut seen = Seen::default();
        executor::forward(&plan, architecture, weights, images, &mut seen);
        // Reading the values waits for the GPU, so read them once per batch and not at each layer.
        for (id, [mean, variance]) in seen.0 {
            pooled.entry(id).or_default().add(examples, &to_vec(mean), &to_vec(variance));
        }
    }
    let values = pooled.into_iter().map(|(id, pooled)| {
        let (mean, variance) = pooled.finish();
        LayerStatistics { layer: id, mean, variance }
    });
    Statistics::from_values(values, device)
}

/// Mean and variance of the input of each batch-norm layer.
#[derive(Default)]
struct Seen(Vec<(LayerId, [Tensor<1>; 2])>);

impl Observer for Seen {
    fn statistics(&mut self, layer: LayerId, mean: Tensor<1>, variance: Tensor<1>) {
        self.0.push((layer, [mean, variance]));
    }
}

/// Sums over batches. Mean and variance of each channel are computed from them.
#[derive(Default)]
struct Pooled {
    examples: f64,
    /// Sum over batches of mean times number of examples.
    mean: Vec<f64>,
    /// Sum over batches of mean square times number of examples.
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

    fn finish(self) -> (Vec<f32>, Vec<f32>) {
        let mean: Vec<f64> = self.mean.iter().map(|sum| sum / self.examples).collect();
        // Rounding can make the difference of the two terms slightly negative.
        let variance = self
            .square
            .iter()
            .zip(&mean)
            .map(|(sum, mean)| ((sum / self.examples - mean * mean).max(0.0)) as f32);
        let variance = variance.collect();
        (mean.iter().map(|mean| *mean as f32).collect(), variance)
    }
}
