//! Checks a model: the arrays that its architecture needs, their shapes and values, and the card.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{Architecture, LayerId, Op, Shape};

use crate::{Array, ExportError, QuantizationPlan, TrainedModel};

/// Returns the name and shape of every array that the output depends on. [`TrainedModel`] describes the
/// names.
///
/// # Panics
/// When the architecture is invalid ([`Architecture::validate`]).
///
/// # Example
/// ```
/// use kiln_space::{ArchitectureBuilder, Shape};
/// let mut b = ArchitectureBuilder::new(Shape::vector(4));
/// b.linear("head", b.input(), 3)?;
/// let arrays = kiln_export::expected_arrays(&b.finish()?);
/// assert_eq!(arrays["head.weight"], [3, 4]);
/// assert_eq!(arrays["head.bias"], [3]);
/// # Ok::<(), kiln_space::SpaceError>(())
/// ```
#[must_use]
pub fn expected_arrays(architecture: &Architecture) -> BTreeMap<String, Vec<usize>> {
    let live = architecture.live();
    arrays_of(architecture, |id| live[id.0])
}

impl TrainedModel {
    /// Checks these conditions:
    /// - The architecture is valid.
    /// - Every array that the architecture needs exists, with the right shape and usable values. There are no
    ///   other arrays.
    /// - Every 8-bit value has a quantization grid.
    /// - Every weight code fits its layer. Half precision represents the weights of its layers.
    /// - The card matches the architecture. The card has one class per output, and one mean and one standard
    ///   deviation per input channel. All numbers of the card are finite.
    ///
    /// Arrays of layers that the output does not depend on are optional.
    ///
    /// # Errors
    /// [`ExportError`] for the first mismatch.
    pub fn check(&self) -> Result<(), ExportError> {
        self.architecture.validate()?;
        let allowed = arrays_of(&self.architecture, |_| true);
        for name in expected_arrays(&self.architecture).into_keys() {
            if !self.arrays.contains_key(&name) {
                return Err(ExportError::MissingArray { name });
            }
        }
        for (name, array) in &self.arrays {
            let expected =
                allowed.get(name).ok_or_else(|| ExportError::UnknownArray { name: name.clone() })?;
            check_array(name, array, expected)?;
        }
        self.check_grids()?;
        self.check_codes()?;
        let classes = self.card.classes.len();
        let output = self.architecture.output();
        if output != Shape::vector(classes) {
            return Err(ExportError::Output { found: output, classes });
        }
        self.check_preprocessing()?;
        self.card.check()
    }

    fn check_grids(&self) -> Result<(), ExportError> {
        let plan = QuantizationPlan::new(&self.architecture);
        let owners: BTreeSet<&str> =
            plan.owners().map(|owner| self.architecture.layer(owner).name.as_str()).collect();
        if let Some(layer) = owners.iter().find(|owner| !self.quantization.contains_key(**owner)) {
            return Err(ExportError::MissingGrid { layer: (*layer).to_owned() });
        }
        for (layer, grid) in &self.quantization {
            if !owners.contains(layer.as_str()) {
                return Err(ExportError::UnknownGrid { layer: layer.clone() });
            }
            if !(grid.scale.is_finite() && grid.scale > 0.0) {
                return Err(ExportError::GridScale { layer: layer.clone(), scale: grid.scale });
            }
        }
        Ok(())
    }

    fn check_preprocessing(&self) -> Result<(), ExportError> {
        let expected = self.architecture.input.channels;
        let preprocessing = &self.card.preprocessing;
        let lengths = [
            ("preprocessing.mean", preprocessing.mean.len()),
            ("preprocessing.deviation", preprocessing.deviation.len()),
            ("preprocessing.inputs", preprocessing.inputs.len()),
        ];
        for (field, found) in lengths {
            // Cards of earlier builds have no `inputs`.
            if found != expected && !(found == 0 && field == "preprocessing.inputs") {
                return Err(ExportError::CardLength { field, found, expected });
            }
        }
        Ok(())
    }
}

/// Returns the names and shapes of the arrays that belong to the layers that `keep` accepts.
fn arrays_of(architecture: &Architecture, keep: impl Fn(LayerId) -> bool) -> BTreeMap<String, Vec<usize>> {
    let mut arrays = BTreeMap::new();
    for id in architecture.ids().filter(|id| keep(*id)) {
        let layer = architecture.layer(id);
        let inputs = layer.inputs.first().map_or(0, |input| architecture.layer(*input).output.channels);
        let outputs = layer.output.channels;
        let mut array = |part: &str, shape: &[usize]| {
            arrays.insert(format!("{}.{part}", layer.name), shape.to_vec());
        };
        match layer.op {
            Op::Conv2d { kernel, groups, bias, .. } => {
                array("weight", &[outputs, inputs / groups, kernel[0], kernel[1]]);
                if bias {
                    array("bias", &[outputs]);
                }
            }
            Op::Linear { bias, .. } => {
                array("weight", &[outputs, inputs]);
                if bias {
                    array("bias", &[outputs]);
                }
            }
            Op::BatchNorm => {
                for part in ["scale", "shift", "mean", "variance"] {
                    array(part, &[outputs]);
                }
            }
            _ => {}
        }
    }
    arrays
}

fn check_array(name: &str, array: &Array, expected: &[usize]) -> Result<(), ExportError> {
    if array.shape != expected {
        return Err(ExportError::ArrayShape {
            name: name.to_owned(),
            found: array.shape.clone(),
            expected: expected.to_vec(),
        });
    }
    let values = expected.iter().fold(1_usize, |product, size| product.saturating_mul(*size));
    if array.data.len() != values {
        return Err(ExportError::ArrayLength {
            name: name.to_owned(),
            found: array.data.len(),
            expected: values,
        });
    }
    let refuse = |usable: fn(f32) -> bool, expected: &'static str| match array
        .data
        .iter()
        .position(|value| !usable(*value))
    {
        None => Ok(()),
        Some(index) => {
            Err(ExportError::ArrayValue { name: name.to_owned(), index, value: array.data[index], expected })
        }
    };
    refuse(f32::is_finite, "a finite number")?;
    if name.ends_with(".variance") {
        refuse(|value| value >= 0.0, "a variance of zero or more")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grid, testing};

    /// Damages a valid model with `damage` and returns the resulting error message.
    fn refused(damage: impl FnOnce(&mut TrainedModel)) -> String {
        let mut model = testing::perceptron();
        model.check().expect("the sample is whole");
        damage(&mut model);
        model.check().expect_err("the damage is found").to_string()
    }

    #[test]
    fn every_sample_model_is_valid() {
        for (name, model) in testing::sample_models() {
            model.check().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn check_errors_name_array_and_expectation() {
        let name = "head.bias";
        assert_eq!(refused(|m| drop(m.arrays.remove(name))), "array `head.bias` is missing from the model");
        assert_eq!(
            refused(|m| m.arrays.get_mut(name).unwrap().shape = vec![1, 3]),
            "array `head.bias` has shape [1, 3], expected [3]"
        );
        assert_eq!(
            refused(|m| m.arrays.get_mut(name).unwrap().data.push(0.0)),
            "array `head.bias` holds 4 values, expected 3 from its shape"
        );
        assert_eq!(
            refused(|m| m.arrays.get_mut(name).unwrap().data[1] = f32::NAN),
            "array `head.bias` holds `NaN` at position 1, expected a finite number"
        );
        assert_eq!(
            refused(|m| m.arrays.get_mut("norm.variance").unwrap().data[2] = -0.5),
            "array `norm.variance` holds `-0.5` at position 2, expected a variance of zero or more"
        );
        assert_eq!(
            refused(|m| {
                let array = m.arrays[name].clone();
                m.arrays.insert("tail.bias".to_owned(), array);
            }),
            "array `tail.bias` belongs to no layer of the architecture; arrays are named `<layer>.<part>`"
        );
    }

    #[test]
    fn check_errors_name_field_of_card() {
        assert_eq!(
            refused(|m| m.card.classes.truncate(2)),
            "the network outputs 3x1x1, expected a vector with one value for each of the 2 classes or values \
             of the card"
        );
        assert_eq!(
            refused(|m| m.card.preprocessing.mean.truncate(1)),
            "`preprocessing.mean` of the model card has 1 entries, expected 5, one for each input channel"
        );
        assert_eq!(
            refused(|m| m.card.preprocessing.deviation[1] = 0.0),
            "`preprocessing.deviation.1` of the model card is `0`, expected a positive number"
        );
    }

    #[test]
    fn check_errors_name_layer_of_wrong_grid() {
        assert_eq!(
            refused(|m| m.architecture.layers[1].precision.activations = kiln_space::NumberFormat::Int8),
            "the model does not say on which grid the output of layer `input` is rounded to 8 bits; \
             calibrate it"
        );
        assert_eq!(
            refused(|m| m.quantization.extend([("head".to_owned(), Grid { scale: 1.0, zero_point: 0 })])),
            "the model has a grid for layer `head`, whose output is not rounded to 8 bits on a grid of its \
             own"
        );
        assert_eq!(
            refused(|m| {
                *m = testing::quantized(m, &[]);
                m.quantization.get_mut("input").unwrap().scale = 0.0;
            }),
            "the grid of layer `input` has a scale of `0`, expected a positive number"
        );
    }

    #[test]
    fn check_refuses_invalid_architecture() {
        let message = refused(|m| m.architecture.layers[1].output.channels += 1);
        assert_eq!(message, "the architecture of the model cannot be used");
    }

    #[test]
    fn check_refuses_layer_without_values() {
        let message = refused(|m| {
            m.architecture.input.channels = 0;
            m.architecture.layers[0].output.channels = 0;
        });
        assert_eq!(message, "the architecture of the model cannot be used");
    }

    #[test]
    fn check_allows_and_checks_arrays_of_dead_layers() {
        let mut model = testing::sample_models().remove("dead-layers").unwrap();
        let dead = "unused.weight";
        assert!(!expected_arrays(&model.architecture).contains_key(dead));
        model.arrays.insert(dead.to_owned(), Array { shape: vec![1], data: vec![0.0] });
        assert!(matches!(model.check(), Err(ExportError::ArrayShape { .. })));
        model.arrays.remove(dead);
        model.check().unwrap();
    }
}
