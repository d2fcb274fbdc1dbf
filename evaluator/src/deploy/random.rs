//! Networks with random weights, to measure how fast they run.

use std::collections::BTreeMap;
use std::iter;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::{ModelCard, Preprocessing, QuantizationPlan, TrainedModel};
use kiln_space::{Architecture, Op};

use crate::deploy::arrays;
use crate::deploy::frozen::Frozen;
use crate::network::initialization::normal;
use crate::network::sparsity;
use crate::network::stand_alone::stand_alone;
use crate::network::statistics::{LayerStatistics, Statistics};
use crate::network::weights::Weights;

/// Number of random examples from which 8-bit grids are taken.
const EXAMPLES: usize = 8;

/// A network with random weights under this name: zeros where the architecture asks for them, batch-norm
/// statistics of 0 and 1, and grids for its 8-bit values. The same seed gives the same network. `None` if
/// random examples lead to values that are not finite, so that no grid covers them.
#[must_use]
pub fn with_random_weights(architecture: &Architecture, name: &str, seed: u64) -> Option<TrainedModel> {
    let device = Device::flex();
    let mut model = unrounded(architecture, name, seed, true);
    if !QuantizationPlan::new(&model.architecture).is_empty() {
        let mut frozen = Frozen::unrounded(&model, &device);
        frozen.calibrate(iter::once(random_input(&model.architecture, EXAMPLES, seed, &device)), &device)?;
        model.quantization = frozen.into_grids();
    }
    Some(model)
}

/// A network in single precision with the weights that its training starts with: no zeros are set yet, and
/// batch-norm statistics are 0 and 1.
#[must_use]
pub(crate) fn initial(architecture: &Architecture, name: &str, seed: u64) -> TrainedModel {
    unrounded(architecture, name, seed, false)
}

/// A network with new weights, before anything is rounded.
fn unrounded(architecture: &Architecture, name: &str, seed: u64, is_pruned: bool) -> TrainedModel {
    let device = Device::flex();
    let (own, specs) = stand_alone(architecture);
    let mut values = Weights::initialize(&specs, seed, &device).arrays(&own);
    if is_pruned {
        sparsity::prune(&own, &mut values);
    }
    let weights = Weights::from_values(values, &device);
    let norms = own.ids().filter(|id| matches!(own.layer(*id).op, Op::BatchNorm));
    let statistics = norms.map(|id| {
        let channels = own.layer(id).output.channels;
        LayerStatistics { layer: id, mean: vec![0.0; channels], variance: vec![1.0; channels] }
    });
    let statistics = Statistics::from_values(statistics, &device);
    let arrays = arrays::arrays(&own, &weights, &statistics);
    let card = card(&own, name, seed);
    TrainedModel {
        architecture: own,
        arrays,
        quantization: BTreeMap::new(),
        weight_codes: BTreeMap::new(),
        card,
    }
}

/// Normal values, `[batch, channels, height, width]`.
pub(super) fn random_input(
    architecture: &Architecture,
    batch: usize,
    seed: u64,
    device: &Device,
) -> Tensor<4> {
    let shape = architecture.input;
    let values = normal(seed, "input", batch * shape.elements(), 1.0);
    let data = TensorData::new(values, [batch, shape.channels, shape.height, shape.width]);
    Tensor::from_data(data, device)
}

/// A card that says what the network is and is not.
pub(crate) fn card(architecture: &Architecture, name: &str, seed: u64) -> ModelCard {
    let counts = architecture.counts();
    let channels = architecture.input.channels;
    ModelCard {
        name: name.to_owned(),
        parameters: counts.parameters,
        macs: counts.macs,
        classes: (0..architecture.output().elements()).map(|output| output.to_string()).collect(),
        training: "none: the weights are random, to measure latency".to_owned(),
        preprocessing: Preprocessing {
            input: "any number".to_owned(),
            mean: vec![0.0; channels],
            deviation: vec![1.0; channels],
            ..Preprocessing::default()
        },
        seed,
        ..ModelCard::default()
    }
}

#[cfg(test)]
mod tests {
    use kiln_export::{Exporter, Onnx};
    use kiln_space::spaces::NasBench201;
    use kiln_space::{NumberFormat, Precision, SearchSpace, Sparsity, variation};
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn random_networks_are_valid_and_can_be_exported() {
        let space = NasBench201::default();
        let mut rng = Pcg64::seed_from_u64(1);
        for format in [NumberFormat::F32, NumberFormat::Int8] {
            let mut network = space.decode(&variation::sample(&space, &mut rng)).unwrap();
            for layer in &mut network.layers {
                layer.precision = Precision::uniform(format);
                if matches!(layer.op, Op::Conv2d { .. }) {
                    layer.sparsity = Sparsity::Unstructured { permille: 500 };
                }
            }
            let model = with_random_weights(&network, "probe", 3).unwrap();
            model.check().unwrap();
            Onnx.export(&model, &mut Vec::new()).unwrap();
            assert_eq!(model, with_random_weights(&network, "probe", 3).unwrap());
            let sparse = network.layers.iter().find(|layer| matches!(layer.op, Op::Conv2d { .. })).unwrap();
            let weights = &model.arrays[&format!("{}.weight", sparse.name)].data;
            assert_eq!(weights.iter().filter(|weight| **weight == 0.0).count(), weights.len() / 2);
        }
    }
}
