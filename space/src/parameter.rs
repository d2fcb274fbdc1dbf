//! Describes shared parameters, and the part of a shared parameter that a layer reads.

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
    /// The first `count` channels.
    #[must_use]
    pub const fn leading(count: usize) -> Self {
        Self { start: 0, end: count }
    }

    /// Number of channels in the segment.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the segment has no channels.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// The part of a shared parameter that a layer reads. This part consists of segments of output channels and
/// segments of input channels, both in order. If the shared kernel is larger than the layer's kernel, the
/// layer reads the center of the shared kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WeightRef {
    /// Key of the [`ParameterSpec`].
    pub key: String,
    /// Segments of output channels. For a batch normalization, these are segments of its channels.
    pub outputs: Vec<Segment>,
    /// Segments of input channels within a group; empty for batch normalization.
    pub inputs: Vec<Segment>,
}

impl WeightRef {
    /// The first `outputs` output channels and the first `inputs` input channels of `key`.
    #[must_use]
    pub fn leading(key: impl Into<String>, outputs: usize, inputs: usize) -> Self {
        let inputs = if inputs == 0 { Vec::new() } else { vec![Segment::leading(inputs)] };
        Self { key: key.into(), outputs: vec![Segment::leading(outputs)], inputs }
    }
}

/// One shared parameter. The parameter's shape is the largest shape that any architecture of the space reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterSpec {
    /// Key, unique in the space.
    pub key: String,
    /// Kind of the parameter, with its largest shape.
    pub kind: ParameterKind,
}

/// Kind and shape of a shared parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ParameterKind {
    /// A weight of shape `[outputs, inputs, kernel[0], kernel[1]]` and, if `bias` is set, a bias of shape
    /// `[outputs]`.
    Conv2d {
        /// Output channels.
        outputs: usize,
        /// Input channels of one group.
        inputs: usize,
        /// Largest `[height, width]` of the kernel.
        kernel: [usize; 2],
        /// Whether the layer has a bias.
        bias: bool,
    },
    /// A weight of shape `[outputs, inputs]` and, if `bias` is set, a bias of shape `[outputs]`.
    Linear {
        /// Output features.
        outputs: usize,
        /// Input features.
        inputs: usize,
        /// Whether the layer has a bias.
        bias: bool,
    },
    /// Scale and shift, `[channels]` each.
    BatchNorm {
        /// Channels.
        channels: usize,
    },
}

impl ParameterSpec {
    /// Returns the smallest parameters that contain everything these architectures read. The parameters are
    /// in the order in which the architectures first use them.
    ///
    /// A space may pass only its largest architectures if every smaller architecture reads parts of the same
    /// parameters.
    ///
    /// # Panics
    /// When an architecture is invalid, or when two architectures read the same key as different kinds of
    /// parameters.
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

    /// Whether the parameter contains everything that `op` reads through `weights`.
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
    /// Returns the smallest parameter that contains what `op` reads through `weights`. Returns `None` if `op`
    /// has no weights.
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

    /// Grows every dimension to the larger size of `self` and `other`.
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
