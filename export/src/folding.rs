//! Folds batch normalizations into the convolution or fully connected layer before them.

use std::collections::BTreeMap;

use kiln_space::{Architecture, BATCH_NORM_EPSILON, LayerId, NumberFormat, Op, Precision};

use crate::{Array, TrainedModel};

/// For each output channel, the factor of the weights and the bias of a layer with the batch normalization
/// `norm` folded in: `factor * weight * x + bias`. Without `norm`, the factor is 1. Both are computed in
/// double precision.
///
/// Source: B. Jacob et al., CVPR 2018, section 3.2.
pub(crate) fn factors(
    architecture: &Architecture,
    arrays: &BTreeMap<String, Array>,
    layer: LayerId,
    norm: Option<LayerId>,
) -> Vec<(f64, f64)> {
    let part = |id: LayerId, part: &str| {
        arrays.get(&format!("{}.{part}", architecture.layer(id).name)).map(|array| array.data.as_slice())
    };
    let own = part(layer, "bias");
    let bias = |channel: usize| own.map_or(0.0, |bias| f64::from(bias[channel]));
    let outputs = architecture.layer(layer).output.channels;
    let Some(norm) = norm else { return (0..outputs).map(|channel| (1.0, bias(channel))).collect() };
    let [scale, shift, mean, variance] =
        ["scale", "shift", "mean", "variance"].map(|name| part(norm, name).expect("a whole model"));
    let fold = |channel: usize| {
        let [scale, shift, mean, variance] =
            [scale, shift, mean, variance].map(|values| f64::from(values[channel]));
        let factor = scale / (variance + f64::from(BATCH_NORM_EPSILON)).sqrt();
        (factor, shift - (mean - bias(channel)) * factor)
    };
    (0..outputs).map(fold).collect()
}

/// Returns the network without the batch normalizations that can be folded into the layer before them. Such
/// a layer is a convolution or fully connected layer in single precision whose output only the normalization
/// reads. It then has a bias. Outputs change by rounding errors only.
///
/// The returned architecture is valid on its own, even if the search space does not contain it. Networks
/// are folded before their weights are stored in a narrower format, because that format should round the
/// weights that the runtime multiplies.
///
/// # Panics
/// When an array is missing. [`TrainedModel::check`] reports which one.
#[must_use]
pub fn folded(model: &TrainedModel) -> TrainedModel {
    let architecture = &model.architecture;
    let readers = architecture.readers();
    let mut model = model.clone();
    // The new id of each layer. A folded normalization has the id of the layer before it.
    let mut ids: Vec<LayerId> = Vec::with_capacity(architecture.layers.len());
    let mut layers = Vec::with_capacity(architecture.layers.len());
    for id in architecture.ids() {
        let mut layer = architecture.layer(id).clone();
        if let Some(before) =
            layer.inputs.first().copied().filter(|before| may_fold(&model, *before, id, &readers))
        {
            ids.push(ids[before.0]);
            let new = &mut layers[ids[before.0].0];
            fold(&mut model, architecture, before, id);
            with_bias(new);
            continue;
        }
        for input in &mut layer.inputs {
            *input = ids[input.0];
        }
        ids.push(LayerId(layers.len()));
        layers.push(layer);
    }
    model.architecture = Architecture { input: architecture.input, layers };
    let counts = model.architecture.counts();
    (model.card.parameters, model.card.macs) = (counts.parameters, counts.macs);
    model
}

/// Gives a convolution or fully connected layer a bias.
pub(crate) fn with_bias(layer: &mut kiln_space::Layer) {
    if let Op::Conv2d { bias, .. } | Op::Linear { bias, .. } = &mut layer.op {
        *bias = true;
    }
}

fn may_fold(model: &TrainedModel, before: LayerId, norm: LayerId, readers: &[Vec<LayerId>]) -> bool {
    let architecture = &model.architecture;
    let (layer, norm) = (architecture.layer(before), architecture.layer(norm));
    let is_whole = |name: &str, part: &str| model.arrays.contains_key(&format!("{name}.{part}"));
    matches!(norm.op, Op::BatchNorm)
        && matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. })
        && readers[before.0].len() == 1
        && layer.precision == Precision::uniform(NumberFormat::F32)
        && norm.precision.activations == NumberFormat::F32
        && !model.weight_codes.contains_key(&layer.name)
        && is_whole(&layer.name, "weight")
        && is_whole(&norm.name, "variance")
}

/// Replaces the arrays of both layers with the folded ones.
fn fold(model: &mut TrainedModel, architecture: &Architecture, before: LayerId, norm: LayerId) {
    let factors = factors(architecture, &model.arrays, before, Some(norm));
    let (layer, norm) = (&architecture.layer(before).name, &architecture.layer(norm).name);
    for part in ["scale", "shift", "mean", "variance"] {
        model.arrays.remove(&format!("{norm}.{part}"));
    }
    // An 8-bit layer may read the normalized value, which is now the value of the layer before it.
    if let Some(grid) = model.quantization.remove(norm) {
        model.quantization.insert(layer.clone(), grid);
    }
    if let Some(weight) = model.arrays.get_mut(&format!("{layer}.weight")) {
        let row = (weight.data.len() / factors.len().max(1)).max(1);
        for (row, (factor, _)) in weight.data.chunks_exact_mut(row).zip(&factors) {
            for weight in row {
                *weight = (f64::from(*weight) * factor) as f32;
            }
        }
    }
    let bias = factors.iter().map(|(_, bias)| *bias as f32).collect();
    model.arrays.insert(format!("{layer}.bias"), Array { shape: vec![factors.len()], data: bias });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{run_reference, testing};

    #[test]
    fn folded_networks_compute_the_same_outputs() {
        let mut norms = 0;
        let mut models = testing::sample_models();
        models.extend((0..200).map(|seed| (format!("random-{seed}"), testing::random_model(seed))));
        let half = |seed: u64| testing::half_quantized(&testing::random_model(seed), seed);
        models.extend((0..100).map(|seed| (format!("half-{seed}"), half(seed))));
        for (name, model) in models {
            let short = folded(&model);
            short.check().unwrap_or_else(|error| panic!("{name}: {error}"));
            norms += model.architecture.layers.len() - short.architecture.layers.len();
            let raw = testing::raw_input(&model.architecture, 3, 9);
            let expected = run_reference(&model, &raw, 3).unwrap();
            let found = run_reference(&short, &raw, 3).unwrap();
            let size = expected.iter().fold(1.0_f32, |size, value| size.max(value.abs()));
            // A value halfway between two integers may be rounded either way.
            let tolerance = if model.quantization.is_empty() { 1e-5 * size } else { 0.1 * size };
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= tolerance, "{name}: {found} is not {expected}");
            }
        }
        assert!(norms > 10, "only {norms} normalizations were folded");
    }

    #[test]
    fn integer_layers_are_not_folded() {
        let model = testing::quantized(&testing::perceptron(), &[]);
        assert_eq!(folded(&model), model);
    }
}
