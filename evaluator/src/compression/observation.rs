//! Collects the outputs of layers for calibration examples.

use burn::tensor::Device;
use kiln_export::{Calibration, TrainedModel};
use kiln_space::LayerId;

use crate::data::DataSet;
use crate::deploy::frozen::{Frozen, calibration_batches};

/// Collects the outputs of these layers for `count` training images, before anything is rounded. Without
/// images, the calibration is empty.
pub(crate) fn calibration(
    model: &TrainedModel,
    layers: &[LayerId],
    data: &DataSet,
    count: usize,
    device: &Device,
) -> Calibration {
    let batches = (count > 0).then(|| calibration_batches(data, count, device)).into_iter().flatten();
    Frozen::unrounded(model, device).observed(layers, batches)
}
