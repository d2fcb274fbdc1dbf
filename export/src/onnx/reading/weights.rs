//! Weights that are not in single precision: how a file has them, and what a model must state about them so
//! that Kiln writes them again as they are.

use std::collections::BTreeMap;

use super::error::OnnxError;
use crate::quantization::can_state_steps;
use crate::{QuantizedKernel, QuantizedNetwork, StoredWeights, TrainedModel, WeightCode, stored_weights};

/// Relative difference between the steps of a file and those that follow from its weights. The difference is
/// a rounding error.
const TOLERANCE: f64 = 1e-6;

/// Weights in a narrow format.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub(super) shape: Vec<usize>,
    pub(super) stored: StoredWeights,
}

/// Biases as integers, with the value of one unit for each.
#[derive(Clone, Debug)]
pub(super) struct Biases {
    pub(super) integers: Vec<i32>,
    pub(super) steps: Vec<f32>,
}

impl Biases {
    /// The values of the biases. The products are exact in double precision.
    pub(super) fn values(&self) -> Vec<f32> {
        let pairs = self.integers.iter().zip(&self.steps);
        pairs.map(|(integer, step)| (f64::from(*integer) * f64::from(*step)) as f32).collect()
    }
}

/// The weights of a layer as its file has them, and its biases if they are integers.
pub(super) struct FileWeights {
    pub(super) stored: StoredWeights,
    pub(super) biases: Option<Biases>,
}

/// Adds to a checked model the steps of the integers that would not follow from the weights. Refuses integers
/// to which Kiln would not round the values that they represent.
pub(super) fn state_codes(
    model: &mut TrainedModel,
    weights: &BTreeMap<String, FileWeights>,
) -> Result<(), OnnxError> {
    let inexact = compare(model, weights, is_exact);
    if inexact.is_empty() {
        return Ok(());
    }
    for layer in inexact {
        let Some(StoredWeights::Integers { format, integers, steps }) =
            weights.get(&layer).map(|weights| &weights.stored)
        else {
            continue;
        };
        if can_state_steps(*format, integers) {
            model.weight_codes.insert(layer, WeightCode::Steps(steps.clone()));
        }
    }
    match compare(model, weights, is_close).into_iter().next() {
        Some(layer) => Err(OnnxError::Integers { layer }),
        None => Ok(()),
    }
}

/// The integers to which Kiln rounds the values of a layer.
enum Found<'a> {
    Kernel(&'a QuantizedKernel),
    Stored(&'a StoredWeights),
}

/// Returns the layers whose integers in the file are not, in the sense of `fits`, those that Kiln writes.
fn compare(
    model: &TrainedModel,
    weights: &BTreeMap<String, FileWeights>,
    fits: fn(&Found<'_>, &FileWeights) -> bool,
) -> Vec<String> {
    let network = QuantizedNetwork::of(model);
    let stored = stored_weights(model);
    let architecture = &model.architecture;
    let mut different = Vec::new();
    for id in architecture.ids() {
        let name = &architecture.layer(id).name;
        let Some(file) = weights.get(name) else { continue };
        let kernel = network.kernels.get(&id).map(Found::Kernel);
        // Neither exists for a layer that the output does not depend on.
        let Some(found) = kernel.or_else(|| stored.get(&id).map(Found::Stored)) else { continue };
        if !fits(&found, file) {
            different.push(name.clone());
        }
    }
    different
}

fn is_exact(found: &Found<'_>, file: &FileWeights) -> bool {
    found.is_equal(
        file,
        |step, expected| step.total_cmp(&expected).is_eq(),
        |bias, expected| bias == expected,
    )
}

/// Whether steps and biases differ by rounding errors only.
fn is_close(found: &Found<'_>, file: &FileWeights) -> bool {
    let is_near = |found: f64, expected: f64, least: f64| {
        (found - expected).abs() <= expected.abs().mul_add(TOLERANCE, least)
    };
    found.is_equal(
        file,
        |step, expected| is_near(step.into(), expected.into(), 0.0),
        |bias, expected| is_near(bias.into(), expected.into(), 1.0),
    )
}

impl Found<'_> {
    fn is_equal(
        &self,
        file: &FileWeights,
        is_same_step: impl Fn(f32, f32) -> bool,
        is_same_bias: impl Fn(i32, i32) -> bool,
    ) -> bool {
        let are_steps = |found: &[f32], expected: &[f32]| {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| is_same_step(*found, *expected))
        };
        match (self, &file.stored, &file.biases) {
            (
                Found::Kernel(kernel),
                StoredWeights::Integers { format, integers, steps },
                Some(Biases { integers: biases, steps: bias_steps }),
            ) => {
                kernel.format == *format
                    && kernel.weights == *integers
                    && are_steps(&kernel.scales, steps)
                    && are_steps(&kernel.bias_scales, bias_steps)
                    && kernel.bias.len() == biases.len()
                    && kernel.bias.iter().zip(biases).all(|(found, bias)| is_same_bias(*found, *bias))
            }
            (
                Found::Stored(StoredWeights::Integers { format, integers, steps }),
                StoredWeights::Integers { format: file_format, integers: file_integers, steps: file_steps },
                None,
            ) => format == file_format && integers == file_integers && are_steps(steps, file_steps),
            (Found::Stored(found), stored, None) => *found == stored,
            _ => false,
        }
    }
}
