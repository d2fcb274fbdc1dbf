//! Windows of convolution and pooling layers.

use kiln_space::{Layer, Op};

/// Size and position of the windows of a convolution or pooling layer, `[height, width]` each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) size: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
    pub(super) groups: usize,
}

impl Window {
    /// A window of size 1x1.
    pub(super) const fn single(groups: usize) -> Self {
        Self { size: [1; 2], stride: [1; 2], padding: [0; 2], groups }
    }

    /// Returns the window of a layer, or a 1x1 window if the layer has no window.
    pub(super) const fn of(layer: &Layer) -> Self {
        match layer.op {
            Op::Conv2d { kernel: size, stride, padding, groups, .. } => {
                Self { size, stride, padding, groups }
            }
            Op::Pool { kernel: size, stride, padding, .. } => Self { size, stride, padding, groups: 1 },
            _ => Self::single(1),
        }
    }
}
