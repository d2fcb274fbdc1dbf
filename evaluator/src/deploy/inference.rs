//! Evaluates a network on a split.

use burn::tensor::Device;
use kiln_search::Outcome;
use kiln_space::Architecture;

use crate::data::{Batcher, DataSet, Split};
use crate::deploy::frozen::{BATCH, Frozen};
use crate::judging::judgement::Judgement;
use crate::judging::metrics::Asked;
use crate::network::weights::Weights;

/// Evaluates a network on a split. Returns `None` if an output is not finite.
pub(crate) fn judge(network: &Frozen, data: &DataSet, split: Split, device: &Device) -> Option<Judgement> {
    Judgement::new(&outputs(network, data, split, device), data, split)
}

/// Computes the outputs for a whole split, in the order of the split.
pub(crate) fn outputs(network: &Frozen, data: &DataSet, split: Split, device: &Device) -> Vec<f32> {
    let batcher = Batcher::new(data, device.clone(), 0);
    network.outputs(batcher.split(split, BATCH).map(|batch| batch.images))
}

/// Measures a network on the validation split. `network` is `None` if the network could not be frozen,
/// because a value was not finite.
pub(crate) fn measured(
    network: Option<&Frozen>,
    metrics: &Asked,
    data: &DataSet,
    device: &Device,
) -> Outcome {
    let outputs = network.map(|network| outputs(network, data, Split::Validation, device));
    metrics.measured(outputs.as_deref(), data)
}

/// Freezes a network with its own batch-norm statistics, and returns its loss on the validation split.
/// Returns `None` if an output is not finite.
pub(crate) fn validation_loss(
    architecture: &Architecture,
    weights: &Weights,
    data: &DataSet,
    calibration: usize,
    device: &Device,
) -> Option<f64> {
    let frozen = Frozen::new(architecture, weights, data, calibration, device)?;
    Some(judge(&frozen, data, Split::Validation, device)?.loss())
}
