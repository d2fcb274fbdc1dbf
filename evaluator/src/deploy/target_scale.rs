//! Folds the scale of a regression's targets into the last layer. A network is trained on standardized
//! targets. The exported network returns values in the targets' own units.

use burn::tensor::Device;
use kiln_export::{TrainedModel, WeightCode};
use kiln_space::{Architecture, Genotype, Layer, Op, SearchSpace, Settings, SettingsError};

use crate::data::DataSet;
use crate::network::weights::{Values, Weights};

/// Refuses a regression if its networks do not end in a layer into which the targets' scale can be folded.
pub(crate) fn check(
    settings: &Settings,
    space: &dyn SearchSpace,
    data: &DataSet,
) -> Result<(), SettingsError> {
    let first = Genotype::new(vec![0; space.decisions().len()]);
    let decoded = space.decode(&space.canonical(&first));
    if !data.is_regression() || decoded.is_ok_and(|network| output_layer(&network).is_some()) {
        return Ok(());
    }
    let expected = "no such table, or a space whose networks end in a fully connected layer with a bias: the unit \
                    of a regression's targets is folded into it";
    Err(SettingsError::value(settings.path(), "a table for a space with another last layer", expected))
}

/// Rescales the last layer's weights, so that a regression's network returns values in the targets' own
/// units. Other weights stay unchanged.
pub(crate) fn in_own_units(
    architecture: &Architecture,
    weights: &Weights,
    data: &DataSet,
    device: &Device,
) -> Weights {
    let Some(layer) = output_layer(architecture).filter(|_| data.is_regression()) else {
        return weights.clone();
    };
    let mut values = weights.arrays(architecture);
    let [weight, bias] = ["weight", "bias"].map(|part| format!("{}.{part}", layer.name));
    let mut matrix = values.remove(&weight).expect("the layer's weight was declared");
    let vector = values.get_mut(&bias).expect("the layer's bias was declared");
    let (mean, deviation) = data.target_normalization();
    fold(&mut matrix, vector, mean, deviation);
    values.insert(weight, matrix);
    Weights::from_values(values, device)
}

/// Rescales a regression's network from the targets' own units to standard deviations, in which networks are
/// trained. Does nothing to a classification's network.
pub(crate) fn in_deviations(model: &mut TrainedModel, data: &DataSet) {
    let (mean, deviation) = data.target_normalization();
    rescale(model, data, |row, bias, at| {
        for weight in row {
            *weight /= deviation[at];
        }
        *bias = (*bias - mean[at]) / deviation[at];
    });
}

/// Rescales a regression's network from standard deviations to the targets' own units, as [`in_own_units`]
/// does.
pub(crate) fn in_units(model: &mut TrainedModel, data: &DataSet) {
    let (mean, deviation) = data.target_normalization();
    rescale(model, data, |row, bias, at| {
        for weight in row {
            *weight *= deviation[at];
        }
        *bias = *bias * deviation[at] + mean[at];
    });
}

/// Applies `change` to each row of the last layer's weight and its bias. The steps of integer weights change
/// as the weights. A codebook is dropped, because several rows may not share it any more.
fn rescale(model: &mut TrainedModel, data: &DataSet, change: impl Fn(&mut [f32], &mut f32, usize)) {
    let Some(layer) = output_layer(&model.architecture).filter(|_| data.is_regression()) else { return };
    let layer = layer.name.clone();
    let [weight, bias] = ["weight", "bias"].map(|part| format!("{layer}.{part}"));
    let Some(mut matrix) = model.arrays.remove(&weight) else { return };
    let inputs = (matrix.data.len() / matrix.shape[0].max(1)).max(1);
    if let Some(bias) = model.arrays.get_mut(&bias) {
        for (at, (row, bias)) in matrix.data.chunks_exact_mut(inputs).zip(&mut bias.data).enumerate() {
            change(row, bias, at);
        }
    }
    model.arrays.insert(weight, matrix);
    match model.weight_codes.get_mut(&layer) {
        Some(WeightCode::Steps(steps)) => {
            for (at, step) in steps.iter_mut().enumerate() {
                change(std::slice::from_mut(step), &mut 0.0, at);
            }
        }
        Some(WeightCode::Codebook(_)) => {
            model.weight_codes.remove(&layer);
        }
        None => {}
    }
}

/// Returns the layer into which the scale is folded: the last layer, if it is fully connected with a bias.
fn output_layer(architecture: &Architecture) -> Option<&Layer> {
    architecture.layers.last().filter(|layer| matches!(layer.op, Op::Linear { bias: true, .. }))
}

/// Rescales `weight`, `[values, inputs]`, and `bias`, `[values]`, of the last layer. The layer's output
/// becomes `output * deviation + mean`.
fn fold(weight: &mut Values, bias: &mut Values, mean: &[f32], deviation: &[f32]) {
    let inputs = weight.data.len() / mean.len().max(1);
    for (row, deviation) in weight.data.chunks_exact_mut(inputs.max(1)).zip(deviation) {
        for weight in row {
            *weight *= deviation;
        }
    }
    for ((bias, mean), deviation) in bias.data.iter_mut().zip(mean).zip(deviation) {
        *bias = *bias * deviation + mean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_layer_gives_values_in_their_own_unit() {
        let mut weight = Values { shape: vec![2, 3], data: vec![1.0, 2.0, 3.0, -1.0, 0.0, 1.0] };
        let mut bias = Values { shape: vec![2], data: vec![0.5, -0.5] };
        fold(&mut weight, &mut bias, &[10.0, 100.0], &[2.0, 4.0]);
        assert_eq!(weight.data, [2.0, 4.0, 6.0, -4.0, 0.0, 4.0]);
        assert_eq!(bias.data, [11.0, 98.0]);
    }
}
