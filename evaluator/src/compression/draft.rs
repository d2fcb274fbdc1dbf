//! A network while it is being compressed.

use kiln_export::TrainedModel;
use kiln_space::{NumberFormat, Op, Precision, Sparsity};

use super::error::CompressionError;
use crate::data::DataSet;
use crate::deploy::target_scale;

/// A network while it is being compressed. The last layer of a regression's network returns standard
/// deviations here, as in training, and not the targets' own units.
pub(crate) struct Draft {
    pub(crate) model: TrainedModel,
    /// Number of recipes so far.
    pub(crate) stage: usize,
}

impl Draft {
    /// Starts with a finished network. If it is rounded, recipes start from its single-precision weights.
    pub(crate) fn new(model: &TrainedModel, data: &DataSet) -> Self {
        let mut draft = Self { model: model.clone(), stage: 0 };
        draft.set_single_precision();
        target_scale::in_deviations(&mut draft.model, data);
        draft
    }

    /// Adds what a recipe did to the description of the training in the model card.
    pub(crate) fn describe(&mut self, what: &str) {
        let training = &mut self.model.card.training;
        if !training.is_empty() {
            training.push_str("; ");
        }
        training.push_str(what);
    }

    /// Returns the network in the targets' own units.
    pub(crate) fn finished(mut self, data: &DataSet) -> TrainedModel {
        target_scale::in_units(&mut self.model, data);
        self.model
    }

    /// Whether every layer is in single precision.
    pub(crate) fn is_single_precision(&self) -> bool {
        let layers = &self.model.architecture.layers;
        layers.iter().all(|layer| layer.precision == Precision::uniform(NumberFormat::F32))
    }

    /// Sets every layer to single precision, and drops grids and codes. Weights stay as they are.
    fn set_single_precision(&mut self) {
        for layer in &mut self.model.architecture.layers {
            layer.precision = Precision::uniform(NumberFormat::F32);
        }
        self.model.quantization.clear();
        self.model.weight_codes.clear();
    }

    /// Refuses a network that is rounded already, for a recipe that rounds.
    ///
    /// # Errors
    /// [`CompressionError::Unfit`] if a layer is not in single precision.
    pub(crate) fn require_single_precision(&self, recipe: &str) -> Result<(), CompressionError> {
        if self.is_single_precision() && self.model.weight_codes.is_empty() {
            return Ok(());
        }
        let problem = "the network is not in single precision any more; a rounding comes last".to_owned();
        Err(CompressionError::Unfit { recipe: recipe.to_owned(), problem })
    }

    /// Gives every convolution and fully connected layer the same sparsity. Patterns that need more input
    /// channels than a layer has leave the layer dense.
    pub(crate) fn set_sparsity(&mut self, sparsity: Sparsity) {
        let inputs: Vec<usize> = self
            .model
            .architecture
            .layers
            .iter()
            .map(|layer| {
                let input = layer.inputs.first().map(|id| self.model.architecture.layer(*id).output.channels);
                match layer.op {
                    Op::Conv2d { groups, .. } => input.unwrap_or(0) / groups.max(1),
                    _ => input.unwrap_or(0),
                }
            })
            .collect();
        for (layer, inputs) in self.model.architecture.layers.iter_mut().zip(inputs) {
            let fits = match sparsity {
                Sparsity::NOfM { m, .. } => usize::from(m) <= inputs,
                _ => true,
            };
            if fits && matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }) {
                layer.sparsity = sparsity;
            }
        }
    }

    /// Whether a layer has zeros by design.
    pub(crate) fn is_sparse(&self) -> bool {
        self.model.architecture.layers.iter().any(|layer| layer.sparsity != Sparsity::Dense)
    }
}
