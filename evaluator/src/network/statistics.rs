//! Batch-norm statistics of one subnet. Subnets never share them: each judgement takes them anew.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_space::LayerId;

/// Mean and variance of the input of one batch-norm layer, a value for each channel.
#[derive(Debug)]
pub(crate) struct LayerStatistics {
    pub(crate) layer: LayerId,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// Mean and variance of the input of each batch-norm layer.
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

    /// Statistics with the given values.
    pub(crate) fn from_values(values: impl IntoIterator<Item = LayerStatistics>, device: &Device) -> Self {
        let tensors = |LayerStatistics { layer, mean, variance }| {
            (layer, (vector(mean, device), vector(variance, device)))
        };
        Self { layers: values.into_iter().map(tensors).collect() }
    }

    /// The values of each layer.
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

/// The values of a vector.
pub(super) fn to_vec(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().expect("statistics are single precision")
}
