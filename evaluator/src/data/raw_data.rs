//! What a reader finds in its files.

use kiln_export::InputRecord;
use kiln_space::Shape;

use super::split::Given;
use super::targets::Targets;

/// What a reader has found in its files, before it is split.
#[derive(Clone, Debug)]
pub struct RawData {
    /// Name for people and cards.
    pub name: String,
    /// What a raw value is, such as `grey level 0..255`.
    pub input: String,
    /// Shape of one example.
    pub shape: Shape,
    /// Raw values less the offset of their channel, one example after the other, each `[channels, height,
    /// width]` row-major. All finite.
    pub examples: Vec<f32>,
    /// What each channel is, with what was taken off its values in double precision so that single precision
    /// holds how they vary.
    pub inputs: Vec<InputRecord>,
    /// What networks learn to give for each example.
    pub targets: Targets,
    /// Which examples the files put into a split, and by what the others are divided.
    pub given: Given,
    /// What a person should know of the files, a sentence each.
    pub notes: Vec<String>,
}
