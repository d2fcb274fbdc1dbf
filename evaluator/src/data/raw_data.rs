//! The content of a data set's files.

use kiln_export::InputRecord;
use kiln_space::Shape;

use super::split::Given;
use super::targets::Targets;

/// The data of the files before splitting.
#[derive(Clone, Debug)]
pub struct RawData {
    /// Name of the data set, as messages and model cards show it.
    pub name: String,
    /// Meaning of a raw value, such as `grey level 0..255`.
    pub input: String,
    /// Shape of one example.
    pub shape: Shape,
    /// Raw values minus the offset of their channel. Examples are stored one after another. Each example is
    /// `[channels, height, width]`, row-major. All values are finite.
    pub examples: Vec<f32>,
    /// Description of each channel. It contains the offset that was subtracted in double precision, so that
    /// single precision keeps small differences.
    pub inputs: Vec<InputRecord>,
    /// Targets of all examples.
    pub targets: Targets,
    /// Splits that the files specify, and the rule that divides all other examples.
    pub given: Given,
    /// Notes about the files, one sentence each.
    pub notes: Vec<String>,
}
