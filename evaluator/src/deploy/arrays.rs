//! Converts weights to plain data and back: the arrays of `TrainedModel`, which exporters take.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kiln_export::{Array, TrainedModel};
use kiln_space::{Architecture, LayerId, Op};

use crate::network::stand_alone::stand_alone;
use crate::network::statistics::Statistics;
use crate::network::weights::{Values, Weights};

/// All arrays of a network, with the names that `TrainedModel` gives them.
pub(crate) fn arrays(
    architecture: &Architecture,
    weights: &Weights,
    statistics: &Statistics,
) -> BTreeMap<String, Array> {
    let mut arrays: BTreeMap<String, Array> = weights
        .arrays(architecture)
        .into_iter()
        .map(|(name, values)| (name, Array { shape: values.shape, data: values.data }))
        .collect();
    let mut put = |name: String, data: Vec<f32>| {
        arrays.insert(name, Array { shape: vec![data.len()], data });
    };
    for (id, mean, variance) in statistics.values() {
        let name = &architecture.layer(id).name;
        put(format!("{name}.mean"), mean);
        put(format!("{name}.variance"), variance);
    }
    arrays
}

/// Architecture, weights and statistics of a trained network, whose arrays must fit.
pub(crate) fn parts(model: &TrainedModel, device: &Device) -> (Architecture, Weights, Statistics) {
    let (architecture, _) = stand_alone(&model.architecture);
    let statistic = |name: &str, part: &str| model.arrays[&format!("{name}.{part}")].data.clone();
    let live = architecture.live();
    let is_norm = |id: &LayerId| matches!(architecture.layer(*id).op, Op::BatchNorm);
    let norms = architecture.ids().filter(|id| live[id.0] && is_norm(id));
    let statistics = Statistics::from_values(
        norms.map(|id| {
            let name = &architecture.layer(id).name;
            (id, statistic(name, "mean"), statistic(name, "variance"))
        }),
        device,
    );
    let values = model
        .arrays
        .iter()
        .map(|(name, array)| (name.clone(), Values { shape: array.shape.clone(), data: array.data.clone() }));
    (architecture, Weights::from_values(values, device), statistics)
}
