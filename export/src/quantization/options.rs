//! Post-training quantization of a whole network.

use std::collections::BTreeSet;

use kiln_space::{LayerId, NumberFormat, Op, Precision};

use super::bias_correction::bias_corrected;
use super::calibration::{Calibration, Calibrator};
use super::equalization::equalized;
use super::stored::has_kernel;
use crate::{ExportError, TrainedModel};

/// How a network is rounded to integers after training.
///
/// The rounding has three steps. [`QuantizationOptions::prepared`] returns the network in its new formats. An
/// executor then runs calibration examples through that network, in single precision, and collects a
/// [`Calibration`]. [`QuantizationOptions::quantized`] returns the rounded network.
///
/// # Example
/// ```
/// use kiln_export::{Calibrator, QuantizationOptions};
/// let options = QuantizationOptions { calibration: Calibrator::Entropy, ..QuantizationOptions::default() };
/// assert!(!options.symmetric && !options.bias_correction);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizationOptions {
    /// How the ranges of activations follow from the calibration examples.
    pub calibration: Calibrator,
    /// Whether the zero point of every activation is 0, as `TensorRT` and many accelerators demand.
    pub symmetric: bool,
    /// Whether biases are corrected by the expected errors of the rounded weights.
    pub bias_correction: bool,
    /// Whether channels are scaled first, so that consecutive layers have weights of similar ranges.
    pub equalization: bool,
    /// Format of the weights: `Int8`, or `Int4` with activations of 8 bits.
    pub weights: NumberFormat,
    /// Names of convolutions and fully connected layers that stay in single precision, with the batch
    /// normalization and the activation after them.
    pub keep: BTreeSet<String>,
}

impl Default for QuantizationOptions {
    /// Weights and activations of 8 bits, with the range of all values.
    fn default() -> Self {
        Self {
            calibration: Calibrator::MinMax,
            symmetric: false,
            bias_correction: false,
            equalization: false,
            weights: NumberFormat::Int8,
            keep: BTreeSet::new(),
        }
    }
}

impl QuantizationOptions {
    /// Returns the network with its new number formats, equalized if the options ask for it. It has no
    /// quantization grids yet. The number formats and grids that the network had are dropped.
    ///
    /// # Errors
    /// - [`ExportError::NotAnInteger`] when the format of the weights is not an integer format.
    /// - [`ExportError::UnknownLayer`] when a layer to keep does not exist or has no weights.
    ///
    /// # Panics
    /// When an array is missing. [`TrainedModel::check`] reports which one.
    pub fn prepared(&self, model: &TrainedModel) -> Result<TrainedModel, ExportError> {
        if !self.weights.is_integer() {
            return Err(ExportError::NotAnInteger { format: self.weights });
        }
        let mut model = model.clone();
        for layer in &mut model.architecture.layers {
            layer.precision = Precision::default();
        }
        model.quantization.clear();
        model.weight_codes.clear();
        if self.equalization {
            model = equalized(&model);
        }
        let kept = self.kept(&model)?;
        for (index, layer) in model.architecture.layers.iter_mut().enumerate() {
            if !kept.contains(&LayerId(index)) {
                layer.precision = Precision::with_weights(self.weights);
            }
        }
        Ok(model)
    }

    /// Returns the rounded network. `prepared` comes from [`QuantizationOptions::prepared`], and
    /// `calibration` from running it in single precision.
    ///
    /// # Errors
    /// Those of [`Calibration::grids`], with the name of the layer that cannot be rounded.
    ///
    /// # Panics
    /// When an array is missing.
    pub fn quantized(
        &self,
        prepared: &TrainedModel,
        calibration: &Calibration,
    ) -> Result<TrainedModel, ExportError> {
        let mut model = prepared.clone();
        model.quantization = calibration.grids(&model.architecture, self.calibration, self.symmetric)?;
        if self.bias_correction {
            model = bias_corrected(&model, calibration)?;
        }
        Ok(model)
    }

    /// Returns the layers that stay in single precision.
    fn kept(&self, model: &TrainedModel) -> Result<BTreeSet<LayerId>, ExportError> {
        let architecture = &model.architecture;
        let readers = architecture.readers();
        let mut kept = BTreeSet::new();
        for name in &self.keep {
            let is_meant = |id: &LayerId| {
                let layer = architecture.layer(*id);
                layer.name == *name && has_kernel(&layer.op)
            };
            let unknown = || ExportError::UnknownLayer { name: name.clone() };
            let mut id = architecture.ids().find(is_meant).ok_or_else(unknown)?;
            kept.insert(id);
            while let [reader] = readers[id.0].as_slice() {
                if !matches!(architecture.layer(*reader).op, Op::BatchNorm | Op::Activation { .. }) {
                    break;
                }
                id = *reader;
                kept.insert(id);
            }
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn kept_layers_and_their_followers_stay_in_single_precision() {
        let model = testing::perceptron();
        let options =
            QuantizationOptions { keep: ["head".to_owned()].into(), ..QuantizationOptions::default() };
        let prepared = options.prepared(&model).unwrap();
        for layer in &prepared.architecture.layers {
            let expected = if layer.name == "head" { NumberFormat::F32 } else { NumberFormat::Int8 };
            assert_eq!(layer.precision, Precision::uniform(expected), "{}", layer.name);
        }
        let options =
            QuantizationOptions { keep: ["nose".to_owned()].into(), ..QuantizationOptions::default() };
        assert_eq!(
            options.prepared(&model).unwrap_err().to_string(),
            "the network has no convolution or fully connected layer `nose`"
        );
        let options = QuantizationOptions { weights: NumberFormat::F16, ..QuantizationOptions::default() };
        assert_eq!(
            options.prepared(&model).unwrap_err().to_string(),
            "weights in f16 are not integers; expected int8 or int4"
        );
    }
}
