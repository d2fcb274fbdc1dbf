//! Converts weights to the arrays of a `TrainedModel` and back. Exporters read these arrays.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kiln_export::{Array, Arrays, TrainedModel, rounded_arrays};
use kiln_space::{Architecture, LayerId, Op};

use crate::network::stand_alone::stand_alone;
use crate::network::statistics::{LayerStatistics, Statistics};
use crate::network::weights::{Values, Weights};

/// Returns all arrays of a network, with the same names as in `TrainedModel`.
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
    for LayerStatistics { layer, mean, variance } in statistics.values() {
        let name = &architecture.layer(layer).name;
        put(format!("{name}.mean"), mean);
        put(format!("{name}.variance"), variance);
    }
    arrays
}

/// Rounds weights that are stored in a narrow format while their layer computes in single precision.
pub(crate) fn rounded(
    architecture: &Architecture,
    values: BTreeMap<String, Values>,
) -> BTreeMap<String, Values> {
    let arrays = values.into_iter().map(|(name, Values { shape, data })| (name, Array { shape, data }));
    let rounded = rounded_arrays(architecture, &arrays.collect(), &BTreeMap::new());
    rounded.into_iter().map(|(name, Array { shape, data })| (name, Values { shape, data })).collect()
}

/// The architecture, weights and statistics of a network before anything is rounded.
pub(crate) struct Parts {
    pub(crate) architecture: Architecture,
    pub(crate) weights: Weights,
    pub(crate) statistics: Statistics,
}

/// Reads the parts of a trained network. Its arrays must fit its architecture.
pub(crate) fn parts(model: &TrainedModel, device: &Device) -> Parts {
    let (architecture, _) = stand_alone(&model.architecture);
    let arrays = rounded_arrays(&model.architecture, &model.arrays, &model.weight_codes);
    let (weights, statistics) = weights_and_statistics(&architecture, &arrays, device);
    Parts { architecture, weights, statistics }
}

/// Splits arrays into weights and batch-norm statistics. The arrays must fit the architecture, whose layers
/// have their own weights.
pub(crate) fn weights_and_statistics(
    architecture: &Architecture,
    arrays: &Arrays,
    device: &Device,
) -> (Weights, Statistics) {
    let statistic = |name: &str, part: &str| arrays[&format!("{name}.{part}")].data.clone();
    let live = architecture.live();
    let is_norm = |id: &LayerId| matches!(architecture.layer(*id).op, Op::BatchNorm);
    let norms = architecture.ids().filter(|id| live[id.0] && is_norm(id));
    let statistics = Statistics::from_values(
        norms.map(|id| {
            let name = &architecture.layer(id).name;
            let (mean, variance) = (statistic(name, "mean"), statistic(name, "variance"));
            LayerStatistics { layer: id, mean, variance }
        }),
        device,
    );
    let values = arrays.iter().map(|(name, Array { shape, data })| {
        (name.clone(), Values { shape: shape.clone(), data: data.clone() })
    });
    (Weights::from_values(values, device), statistics)
}
