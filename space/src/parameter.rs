//! Shared parameters by key, and how a layer reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Architecture, Op};

/// A half-open range of channels `[start, end)` of a shared parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// First channel.
    pub start: usize,
    /// One past the last channel.
    pub end: usize,
}

impl Segment {
    /// The leading `count` channels.
    #[must_use]
    pub const fn leading(count: usize) -> Self {
        Self { start: 0, end: count }
    }

    /// Channels in the segment.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the segment holds no channel.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// The part of a shared parameter that a layer reads: segments of output and input channels, in order, and the centre
/// of the kernel in the size that the layer's operation states.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WeightRef {
    /// Key of the [`ParameterSpec`].
    pub key: String,
    /// Segments of output channels (of the channels, for batch normalization).
    pub outputs: Vec<Segment>,
    /// Segments of input channels within a group; empty for batch normalization.
    pub inputs: Vec<Segment>,
}

impl WeightRef {
    /// The leading `outputs` x `inputs` channels of `key`.
    #[must_use]
    pub fn leading(key: impl Into<String>, outputs: usize, inputs: usize) -> Self {
        let inputs = if inputs == 0 { Vec::new() } else { vec![Segment::leading(inputs)] };
        Self { key: key.into(), outputs: vec![Segment::leading(outputs)], inputs }
    }
}

/// One shared parameter, in the largest shape any architecture of the space reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterSpec {
    /// Key, unique in the space.
    pub key: String,
    /// What it holds, and the largest shape.
    pub kind: ParameterKind,
}

/// What a shared parameter holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ParameterKind {
    /// Weight `[outputs, inputs, kernel[0], kernel[1]]`, and bias `[outputs]` if stated.
    Conv2d {
        /// Output channels.
        outputs: usize,
        /// Input channels of one group.
        inputs: usize,
        /// Largest window.
        kernel: [usize; 2],
        /// Whether there is a bias.
        bias: bool,
    },
    /// Weight `[outputs, inputs]`, and bias `[outputs]` if stated.
    Linear {
        /// Output features.
        outputs: usize,
        /// Input features.
        inputs: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Scale and shift, `[channels]` each.
    BatchNorm {
        /// Channels.
        channels: usize,
    },
}

impl ParameterSpec {
    /// The smallest parameters that hold everything these architectures read, in the order in which they are first read.
    ///
    /// A space whose sizes only grow together may name its largest architectures here instead of listing parameters.
    ///
    /// # Panics
    /// When an architecture is not valid, or two of them read one key as different kinds.
    #[must_use]
    pub fn covering<'a>(architectures: impl IntoIterator<Item = &'a Architecture>) -> Vec<Self> {
        let mut specs: Vec<Self> = Vec::new();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for layer in architectures.into_iter().flat_map(|architecture| &architecture.layers) {
            let Some(weights) = &layer.weights else { continue };
            let read =
                ParameterKind::read(&layer.op, weights).expect("only operations with weights read them");
            if let Some(index) = known.get(&weights.key) {
                specs[*index].kind.grow(&read);
            } else {
                known.insert(weights.key.clone(), specs.len());
                specs.push(Self { key: weights.key.clone(), kind: read });
            }
        }
        specs
    }

    /// Whether an operation finds in this parameter what it reads through `weights`.
    #[must_use]
    pub fn holds(&self, op: &Op, weights: &WeightRef) -> bool {
        let Some(read) = ParameterKind::read(op, weights) else { return false };
        let mut grown = self.kind.clone();
        weights.key == self.key && grown.is_like(&read) && {
            grown.grow(&read);
            grown == self.kind
        }
    }
}

impl ParameterKind {
    /// The smallest parameter that holds what `op` reads through `weights`.
    fn read(op: &Op, weights: &WeightRef) -> Option<Self> {
        let last = |segments: &[Segment]| segments.iter().map(|segment| segment.end).max().unwrap_or(0);
        let (outputs, inputs) = (last(&weights.outputs), last(&weights.inputs));
        match op {
            Op::Conv2d { kernel, bias, .. } => {
                Some(Self::Conv2d { outputs, inputs, kernel: *kernel, bias: *bias })
            }
            Op::Linear { bias, .. } => Some(Self::Linear { outputs, inputs, bias: *bias }),
            Op::BatchNorm => Some(Self::BatchNorm { channels: outputs }),
            _ => None,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Takes the larger of both in every direction.
    fn grow(&mut self, other: &Self) {
        match (self, other) {
            (
                Self::Conv2d { outputs, inputs, kernel, bias },
                Self::Conv2d { outputs: o, inputs: i, kernel: k, bias: b },
            ) => {
                *outputs = (*outputs).max(*o);
                *inputs = (*inputs).max(*i);
                *kernel = [kernel[0].max(k[0]), kernel[1].max(k[1])];
                *bias |= b;
            }
            (Self::Linear { outputs, inputs, bias }, Self::Linear { outputs: o, inputs: i, bias: b }) => {
                *outputs = (*outputs).max(*o);
                *inputs = (*inputs).max(*i);
                *bias |= b;
            }
            (Self::BatchNorm { channels }, Self::BatchNorm { channels: c }) => {
                *channels = (*channels).max(*c);
            }
            _ => panic!("one key is read as different kinds of parameters"),
        }
    }
}
