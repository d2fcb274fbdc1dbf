//! Bias correction: removes the expected error that rounded weights cause in each output channel.

use std::collections::BTreeMap;

use kiln_space::{Architecture, LayerId, Op};

use super::calibration::Calibration;
use super::stored::stored_weights;
use crate::folding::{factors, with_bias};
use crate::{Array, ExportError, QuantizedNetwork, TrainedModel};

/// Returns the network with corrected biases. For each layer with rounded weights, the expected error of an
/// output channel is the sum of the errors of its weights times the mean of the input channel that they
/// read. It is subtracted from the bias, or from the shift of the batch normalization that is folded into the
/// layer. A layer without both gets a bias. Padding is not considered.
///
/// Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
/// 2019, section 4.2, equation 17. Differs: means come from calibration, not from batch normalizations.
///
/// # Errors
/// [`ExportError::EmptyCalibration`] when the calibration lacks the input of a layer.
///
/// # Panics
/// When an array or a grid is missing. [`TrainedModel::check`] reports which one.
pub fn bias_corrected(model: &TrainedModel, calibration: &Calibration) -> Result<TrainedModel, ExportError> {
    let mut corrected = model.clone();
    let network = QuantizedNetwork::of(model);
    let norms: BTreeMap<LayerId, LayerId> =
        network.plan.kernels().filter_map(|(id, norm)| Some((id, norm?))).collect();
    let kernels = network.kernels.iter().map(|(id, kernel)| (*id, kernel.values()));
    let stored = stored_weights(model).into_iter().map(|(id, stored)| (id, stored.values()));
    for (id, rounded) in kernels.chain(stored) {
        let architecture = &model.architecture;
        let layer = architecture.layer(id);
        // Zeros have no error and are not observed.
        if matches!(architecture.layer(layer.inputs[0]).op, Op::Zero { .. }) {
            continue;
        }
        let means = calibration.layer(layer.inputs[0]).map(super::ActivationStatistics::means);
        let means = means.filter(|means| !means.is_empty()).ok_or_else(|| ExportError::EmptyCalibration {
            layer: architecture.layer(layer.inputs[0]).name.clone(),
        })?;
        let norm = norms.get(&id).copied();
        let errors = errors(architecture, &model.arrays, (id, norm), &rounded, &means);
        subtract(&mut corrected, (id, norm), &errors);
    }
    let counts = corrected.architecture.counts();
    corrected.card.parameters = counts.parameters;
    Ok(corrected)
}

/// Returns the expected error of each output channel.
fn errors(
    architecture: &Architecture,
    arrays: &BTreeMap<String, Array>,
    (id, norm): (LayerId, Option<LayerId>),
    rounded: &[f32],
    means: &[f64],
) -> Vec<f64> {
    let layer = architecture.layer(id);
    let weights = &arrays[&format!("{}.weight", layer.name)].data;
    let (groups, window) = match layer.op {
        Op::Conv2d { groups, kernel, .. } => (groups, kernel[0] * kernel[1]),
        _ => (1, 1),
    };
    let (outputs, inputs) = (layer.output.channels, means.len() / groups);
    let factors = factors(architecture, arrays, id, norm);
    let mut errors = vec![0.0; outputs];
    for (index, (rounded, weight)) in rounded.iter().zip(weights).enumerate() {
        let (output, input) = (index / window / inputs, index / window % inputs);
        let channel = output / (outputs / groups) * inputs + input;
        errors[output] += (f64::from(*rounded) - f64::from(*weight) * factors[output].0) * means[channel];
    }
    errors
}

fn subtract(model: &mut TrainedModel, (id, norm): (LayerId, Option<LayerId>), errors: &[f64]) {
    let array = match norm {
        Some(norm) => format!("{}.shift", model.architecture.layer(norm).name),
        None => format!("{}.bias", model.architecture.layer(id).name),
    };
    let zeros = || Array { shape: vec![errors.len()], data: vec![0.0; errors.len()] };
    let array = model.arrays.entry(array).or_insert_with(zeros);
    for (value, error) in array.data.iter_mut().zip(errors) {
        *value = (f64::from(*value) - error) as f32;
    }
    if norm.is_none() {
        with_bias(&mut model.architecture.layers[id.0]);
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::NumberFormat;

    use super::*;
    use crate::testing;
    use crate::{QuantizationOptions, run_reference};

    #[test]
    fn correction_matches_hand_computation() {
        let mut b = kiln_space::ArchitectureBuilder::new(kiln_space::Shape::vector(2));
        b.linear("head", b.input(), 1).unwrap();
        let mut model = testing::model(b.finish().unwrap(), 2);
        model.architecture.layers[1].precision.weights = NumberFormat::Int4;
        model.arrays.get_mut("head.weight").unwrap().data = vec![0.7, 0.24];
        model.arrays.get_mut("head.bias").unwrap().data = vec![1.0];
        let mut calibration = Calibration::default();
        calibration.add(LayerId(0), &[1.0, 10.0, 3.0, 20.0], 2, 2);
        let corrected = bias_corrected(&model, &calibration).unwrap();
        // The weights become 0.7 and 0.2. The error is -0.04 times a mean of 15.
        assert!((corrected.arrays["head.bias"].data[0] - 1.6).abs() < 1e-5);
        let empty = bias_corrected(&model, &Calibration::default()).unwrap_err().to_string();
        assert!(empty.contains("no values of layer `input`"), "{empty}");
    }

    #[test]
    fn mean_outputs_of_4_bit_layers_come_nearer_to_those_of_single_precision() {
        let (mut before, mut after) = (0.0, 0.0);
        for seed in 0..40 {
            // One layer, in which the correction is exact up to the rounding of activations.
            let mut b = kiln_space::ArchitectureBuilder::new(kiln_space::Shape::vector(9));
            b.linear("head", b.input(), 4).unwrap();
            let model = testing::model(b.finish().unwrap(), seed);
            let options =
                QuantizationOptions { weights: NumberFormat::Int4, ..QuantizationOptions::default() };
            let prepared = options.prepared(&model).unwrap();
            let raw = testing::raw_input(&model.architecture, 50, seed);
            let calibration = testing::calibration(&prepared, &raw);
            let means = |model: &TrainedModel| {
                let outputs = run_reference(model, &raw, 50).unwrap();
                (0..4)
                    .map(|class| outputs.iter().skip(class).step_by(4).sum::<f32>() / 50.0)
                    .collect::<Vec<_>>()
            };
            let expected = means(&model);
            let distance =
                |found: Vec<f32>| found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f32>();
            let plain = options.quantized(&prepared, &calibration).unwrap();
            before += distance(means(&plain));
            after += distance(means(&bias_corrected(&plain, &calibration).unwrap()));
        }
        assert!(after < 0.1 * before, "the distance is {after}, and was {before}");
    }
}
