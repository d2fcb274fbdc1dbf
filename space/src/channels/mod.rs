//! Finds which channels of an architecture must be removed together, and removes them. This module knows no
//! weights: [`Shrunk`] states which rows and columns of each weight remain.

mod components;
mod coupling;
mod shrink;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::{Architecture, LayerId, Op};

/// Maximum number of channels of all layers together for which [`Coupling`] works.
pub const CHANNELS_MAX: usize = 1 << 24;

/// One output channel of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel {
    /// The layer.
    pub layer: LayerId,
    /// Index of the channel in the layer's output.
    pub index: usize,
}

/// Channels that can only be removed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Index of the unit's group in [`Coupling::groups`].
    pub group: usize,
    /// Whether the channels cannot be removed: they belong to the network's input or output, or a layer has
    /// no other channels.
    pub is_fixed: bool,
    /// The channels, sorted.
    pub channels: Vec<Channel>,
}

/// Units that lie side by side in the same layers, such as the channels of a residual stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Indices in [`Coupling::units`], sorted.
    pub units: Vec<usize>,
    /// The layers that create the channels of this group: the input, convolutions, fully connected layers and
    /// zeros. Sorted.
    pub layers: Vec<LayerId>,
}

/// Which channels of an architecture must be removed together.
///
/// The operations couple channels as follows:
///
/// | operation | coupling |
/// |---|---|
/// | convolution, fully connected layer | none: outputs and inputs can be removed independently |
/// | convolution with groups, depthwise convolution | all inputs and outputs of one group |
/// | the same, if no channel of its input can be removed | the outputs (and the inputs) at the same position in every group |
/// | batch normalization, activation, pooling | each output with its input |
/// | flattening | all positions of one channel |
/// | sum, product (such as squeeze-excitation) | the same channel of all inputs and the output |
/// | concatenation | each output with the input that it copies |
/// | zeros | none |
///
/// The channels of the network's input and output are fixed.
///
/// # Example
/// ```
/// use std::collections::BTreeSet;
///
/// use kiln_space::channels::Coupling;
/// use kiln_space::{ArchitectureBuilder, Op, Shape};
///
/// let mut b = ArchitectureBuilder::new(Shape::new(1, 8, 8));
/// let stem = b.conv("stem", b.input(), 4, 3, 1, 1)?;
/// let depthwise = b.conv("depthwise", stem, 4, 3, 1, 4)?;
/// let sum = b.add("sum", Op::Add, &[stem, depthwise], None)?;
/// let pool = b.global_pool("pool", sum)?;
/// b.linear("head", pool, 10)?;
/// let architecture = b.finish()?;
///
/// let coupling = Coupling::new(&architecture)?;
/// let unit = coupling.unit(stem, 2);
/// assert_eq!(unit, coupling.unit(sum, 2));
/// let smaller = coupling.shrink(&architecture, &BTreeSet::from([unit]))?.architecture;
/// assert_eq!(smaller.layer(sum).output, Shape::new(3, 8, 8));
/// assert!(smaller.counts().macs < architecture.counts().macs);
/// # Ok::<(), kiln_space::SpaceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupling {
    units: Vec<Unit>,
    groups: Vec<Group>,
    /// For each layer, the unit of each output channel.
    of: Vec<Vec<usize>>,
    divisions: Vec<Division>,
}

/// How the channels of a layer are coupled by the groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Division {
    /// The layer is not a convolution with groups.
    None,
    /// All inputs and outputs of one group are coupled, so that whole groups are removed.
    WholeGroups,
    /// Inputs, and outputs, at the same position in every group are coupled, so that every group becomes
    /// smaller.
    Positions,
}

/// An architecture without the removed channels.
///
/// Each of its layers reads one whole parameter, whose key is the layer's name, because other networks of a
/// search space do not share these weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smaller architecture. It has the same layers, in the same order.
    pub architecture: Architecture,
    /// For each layer, the output channels that remain. They are the rows of its weights.
    pub outputs: Vec<Vec<usize>>,
    /// For each layer with a weight matrix or kernel, the columns that remain along the weight's input axis.
    /// Empty for other layers.
    pub inputs: Vec<Vec<usize>>,
}

impl Coupling {
    /// Returns all units, sorted by their first channels.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Returns all groups, sorted by their first units.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the unit of an output channel of a layer.
    ///
    /// # Panics
    /// When the architecture has no such channel.
    #[must_use]
    pub fn unit(&self, layer: LayerId, channel: usize) -> usize {
        self.of[layer.0][channel]
    }

    /// Returns the unit of each output channel of a layer. These channels are the rows of the layer's
    /// weights.
    ///
    /// # Panics
    /// When the architecture has no such layer.
    #[must_use]
    pub fn rows(&self, layer: LayerId) -> &[usize] {
        &self.of[layer.0]
    }

    /// Returns, for each column along the input axis of a layer's weight, the unit that the column reads.
    /// Setting all columns that read a unit to zero has the same effect as removing the unit.
    ///
    /// The result is empty for layers without such an axis. It is also empty for a convolution from which
    /// whole groups are removed, because its columns read only channels of the unit that they belong to.
    ///
    /// # Panics
    /// When `architecture` is not the one that this coupling describes.
    #[must_use]
    pub fn columns(&self, architecture: &Architecture, layer: LayerId) -> Vec<usize> {
        let Some(input) = architecture.layer(layer).inputs.first() else { return Vec::new() };
        let units = &self.of[input.0];
        match (&architecture.layer(layer).op, self.divisions[layer.0]) {
            (Op::Linear { .. }, _) | (Op::Conv2d { .. }, Division::None) => units.clone(),
            (Op::Conv2d { groups, .. }, Division::Positions) => units[..units.len() / groups].to_vec(),
            _ => Vec::new(),
        }
    }

    /// Returns the units that can be removed.
    pub fn removable(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.units.len()).filter(|unit| !self.units[*unit].is_fixed)
    }

    /// Returns, for each layer, the output channels that remain without the removed units.
    fn kept(&self, removed: &BTreeSet<usize>) -> Vec<Vec<usize>> {
        let kept = |units: &Vec<usize>| {
            (0..units.len()).filter(|channel| !removed.contains(&units[*channel])).collect()
        };
        self.of.iter().map(kept).collect()
    }
}
