//! Batch-norm statistics of one subnet. Subnets never share statistics. The statistics are collected again
//! each time a subnet is evaluated.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_space::LayerId;

/// Mean and variance of the inputs of one batch-norm layer, with one value for each channel.
#[derive(Debug)]
pub(crate) struct LayerStatistics {
    pub(crate) layer: LayerId,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// Mean and variance of the inputs of all batch-norm layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    layers: BTreeMap<LayerId, (Tensor<1>, Tensor<1>)>,
}

impl Statistics {
    /// Returns mean and variance of a layer, `[channels]` each.
    ///
    /// # Panics
    /// When the statistics belong to another architecture.
    pub(crate) fn layer(&self, id: LayerId) -> (Tensor<1>, Tensor<1>) {
        self.layers.get(&id).expect("statistics of every batch-norm layer").clone()
    }

    /// Builds statistics from the given values.
    pub(crate) fn from_values(values: impl IntoIterator<Item = LayerStatistics>, device: &Device) -> Self {
        let tensors = |LayerStatistics { layer, mean, variance }| {
            (layer, (vector(mean, device), vector(variance, device)))
        };
        Self { layers: values.into_iter().map(tensors).collect() }
    }

    /// Returns the values of each layer.
    pub(crate) fn values(&self) -> impl Iterator<Item = LayerStatistics> + '_ {
        self.layers.iter().map(|(layer, (mean, variance))| LayerStatistics {
            layer: *layer,
            mean: to_vec(mean.clone()),
            variance: to_vec(variance.clone()),
        })
    }
}

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let size = values.len();
    Tensor::from_data(TensorData::new(values, [size]), device)
}

/// Copies the values of a vector from the device.
pub(super) fn to_vec(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().expect("statistics are single precision")
}
