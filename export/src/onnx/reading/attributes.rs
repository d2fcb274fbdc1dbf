//! Reads the attributes of a node. Every attribute that the node has must be asked for.

use kiln_space::BATCH_NORM_EPSILON;

use super::error::OnnxError;
use super::graph::check_size;
use super::message::{Attribute, Node};

/// ONNX's default for `epsilon` of a batch normalization.
const DEFAULT_EPSILON: f32 = 1e-5;

impl Node<'_> {
    /// The name by which errors refer to the node: its own, or else that of its output.
    pub(super) fn label(&self) -> String {
        let output = self.outputs.first().copied().unwrap_or_default();
        (if self.name.is_empty() { output } else { self.name }).to_owned()
    }

    /// The error that an attribute is not as expected.
    pub(super) fn attribute_error(&self, attribute: &str, expected: &'static str) -> OnnxError {
        OnnxError::Attribute {
            node: self.label(),
            operation: self.operation.to_owned(),
            attribute: attribute.to_owned(),
            expected,
        }
    }

    /// The error that the inputs are not as expected.
    pub(super) fn inputs_error(&self, expected: &'static str) -> OnnxError {
        OnnxError::Inputs { node: self.label(), operation: self.operation.to_owned(), expected }
    }

    /// Checks that the node has these attributes and no others.
    pub(super) fn check_attributes(&self, names: &[&str]) -> Result<(), OnnxError> {
        for (index, attribute) in self.attributes.iter().enumerate() {
            // Only the attribute `direction` is a text.
            let is_fit = attribute.text.is_none() || attribute.name == "direction";
            let is_known = names.contains(&attribute.name) && is_fit && !attribute.is_other;
            if !is_known || self.attributes[..index].iter().any(|other| other.name == attribute.name) {
                return Err(self.attribute_error(attribute.name, "absent: Kiln does not write it"));
            }
        }
        Ok(())
    }

    fn attribute(&self, name: &str) -> Option<&Attribute<'_>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Checks an integer attribute that has only one value in Kiln's files.
    pub(super) fn check_int(&self, name: &str, value: i64, expected: &'static str) -> Result<(), OnnxError> {
        if self.attribute(name).and_then(|attribute| attribute.int) == Some(value) {
            return Ok(());
        }
        Err(self.attribute_error(name, expected))
    }

    /// Checks an integer attribute whose only value in Kiln's files is the operator's default. It may be
    /// absent.
    pub(super) fn check_default_int(
        &self,
        name: &str,
        value: i64,
        expected: &'static str,
    ) -> Result<(), OnnxError> {
        if self.attribute(name).is_none() {
            return Ok(());
        }
        self.check_int(name, value, expected)
    }

    /// Checks a floating-point attribute that has only one value in Kiln's files.
    pub(super) fn check_float(
        &self,
        name: &str,
        value: f32,
        expected: &'static str,
    ) -> Result<(), OnnxError> {
        let found = self.attribute(name).and_then(|attribute| attribute.float);
        if found.map(f32::to_bits) == Some(value.to_bits()) {
            return Ok(());
        }
        Err(self.attribute_error(name, expected))
    }

    /// Checks the attribute `epsilon` of a batch normalization. If it is absent, it has ONNX's default.
    pub(super) fn check_epsilon(&self) -> Result<(), OnnxError> {
        if self.attribute("epsilon").is_none() && BATCH_NORM_EPSILON.to_bits() == DEFAULT_EPSILON.to_bits() {
            return Ok(());
        }
        self.check_float("epsilon", BATCH_NORM_EPSILON, "0.00001 in single precision")
    }

    /// Checks an attribute that is a text.
    pub(super) fn check_text(&self, name: &str, text: &str, expected: &'static str) -> Result<(), OnnxError> {
        if self.attribute(name).and_then(|attribute| attribute.text) == Some(text.as_bytes()) {
            return Ok(());
        }
        Err(self.attribute_error(name, expected))
    }

    /// The number of groups of a convolution.
    pub(super) fn groups(&self) -> Result<usize, OnnxError> {
        let Some(attribute) = self.attribute("group") else { return Ok(1) };
        let value = attribute.int.and_then(|value| u64::try_from(value).ok());
        let value = value.ok_or_else(|| self.attribute_error("group", "a whole number"))?;
        check_size(value)?;
        Ok(value as usize)
    }

    /// An attribute that is a list of `N` sizes. If it is absent, every size is `default`.
    fn sizes<const N: usize>(&self, name: &str, default: Option<usize>) -> Result<[usize; N], OnnxError> {
        let refuse = || self.attribute_error(name, "a list of whole numbers, one or two for each axis");
        let ints = match (self.attribute(name), default) {
            (Some(attribute), _) => &attribute.ints,
            (None, Some(default)) => return Ok([default; N]),
            (None, None) => return Err(refuse()),
        };
        let mut sizes = [0; N];
        if ints.len() != N {
            return Err(refuse());
        }
        for (size, int) in sizes.iter_mut().zip(ints) {
            let found = u64::try_from(*int).map_err(|_| refuse())?;
            check_size(found)?;
            *size = found as usize;
        }
        Ok(sizes)
    }

    /// Checks an attribute that is a tensor with a single zero in single precision.
    pub(super) fn check_zero_tensor(&self, name: &str) -> Result<(), OnnxError> {
        let tensor = self.attribute(name).and_then(|attribute| attribute.tensor.as_ref());
        let value = tensor.and_then(|tensor| tensor.array().ok());
        if value.is_some_and(|array| array.shape == [1] && array.data[0].to_bits() == 0) {
            return Ok(());
        }
        Err(self.attribute_error(name, "a tensor with a single zero"))
    }

    /// Window, stride and padding of a sliding window.
    pub(super) fn window(&self) -> Result<[[usize; 2]; 3], OnnxError> {
        let (kernel, stride) = (self.sizes("kernel_shape", None)?, self.sizes("strides", Some(1))?);
        let [top, left, bottom, right] = self.sizes("pads", Some(0))?;
        if top != bottom || left != right {
            return Err(self.attribute_error("pads", "equal on opposite sides"));
        }
        Ok([kernel, stride, [top, left]])
    }
}
