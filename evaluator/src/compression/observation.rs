//! Runs calibration examples through a network in single precision, and collects the outputs of its layers.

use burn::tensor::{Device, Tensor};
use kiln_export::{Calibration, TrainedModel};
use kiln_space::LayerId;

use crate::data::DataSet;
use crate::deploy::arrays;
use crate::deploy::frozen::calibration_batches;
use crate::network::executor;
use crate::network::observer::Outputs;
use crate::network::plan::Plan;

/// Collects the outputs of these layers for `count` training images. Without images, the calibration is
/// empty.
pub(crate) fn calibration(
    model: &TrainedModel,
    layers: &[LayerId],
    data: &DataSet,
    count: usize,
    device: &Device,
) -> Calibration {
    let arrays::Parts { architecture, weights, statistics } = arrays::parts(model, device);
    let plan = Plan::calibration(&architecture, &weights, &statistics);
    let mut calibration = Calibration::default();
    let batches = (count > 0).then(|| calibration_batches(data, count, device)).into_iter().flatten();
    for images in batches {
        let mut observer = Outputs(|id: LayerId, value: &Tensor<4>| {
            if layers.binary_search(&id).is_ok() {
                let [batch, channels, _, _] = value.dims();
                let values = value.to_data().try_to_vec::<f32>().expect("outputs are single precision");
                calibration.add(id, &values, channels, batch);
            }
        });
        executor::forward(&plan, &architecture, &weights, images, &mut observer);
    }
    calibration
}
