//! Pooling windows over planes of one size.

use std::ops::Range;

use crate::pooling::box_sums::{Boxes, Sides};

/// The kind of pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Max,
    /// The mean over the positions inside the image.
    Average,
}

/// Windows along one axis of a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    size: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// Windows over planes of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pooling {
    kind: Kind,
    rows: Axis,
    columns: Axis,
}

impl Axis {
    /// # Panics
    /// When no window fits, or a window could lie entirely in the padding.
    pub(crate) fn new(size: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        assert!(stride > 0 && kernel > 0, "windows and strides are positive");
        assert!(2 * padding <= kernel, "the padding of a pooling is at most half its window");
        assert!(size + 2 * padding >= kernel, "a window is not larger than a padded image");
        Self { size, output: (size + 2 * padding - kernel) / stride + 1, kernel, stride, padding }
    }

    /// Number of positions of the image along this axis.
    #[inline]
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Number of windows.
    #[inline]
    pub(crate) const fn output(&self) -> usize {
        self.output
    }

    /// Number of positions in a window.
    #[inline]
    pub(super) const fn kernel(&self) -> usize {
        self.kernel
    }

    #[inline]
    pub(super) const fn stride(&self) -> usize {
        self.stride
    }

    /// The positions of the image that a window covers.
    pub(super) fn window(&self, output: usize) -> Range<usize> {
        let start = output * self.stride;
        start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(self.size)
    }

    /// Describes average pooling with stride 1 as weighted sums over windows. In the forward pass, the sums
    /// are the means of the windows. In the backward pass, they are the gradients of the input.
    fn sides(&self, backward: bool) -> Sides {
        let means: Vec<f32> = (0..self.output).map(|output| 1.0 / self.window(output).len() as f32).collect();
        let (window, ones) = (self.kernel, vec![1.0; self.size]);
        if backward {
            Sides::new([means, ones], window, window - 1 - self.padding)
        } else {
            Sides::new([ones, means], window, self.padding)
        }
    }

    /// Returns the windows whose position `tap` lies inside the image. Also returns the image position that
    /// `tap` has in the first of these windows.
    #[inline(always)]
    pub(super) fn inside(&self, tap: usize) -> (Range<usize>, usize) {
        let from = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let to = match (self.size + self.padding).checked_sub(tap + 1) {
            Some(last) => (last / self.stride + 1).min(self.output),
            None => 0,
        };
        (from..to.max(from), (from * self.stride + tap).saturating_sub(self.padding))
    }
}

impl Pooling {
    /// Creates windows along rows and columns.
    pub(crate) const fn new(kind: Kind, [rows, columns]: [Axis; 2]) -> Self {
        Self { kind, rows, columns }
    }

    #[inline]
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    #[inline]
    pub(crate) const fn rows(&self) -> &Axis {
        &self.rows
    }

    #[inline]
    pub(crate) const fn columns(&self) -> &Axis {
        &self.columns
    }

    /// Number of floats in an input plane and in an output plane.
    pub(super) const fn planes(&self) -> [usize; 2] {
        [self.rows.size * self.columns.size, self.rows.output * self.columns.output]
    }

    /// Number of floats in a task's scratch buffer: one row of the image and two rows of the output.
    ///
    /// The caller requests the scratch buffer outside the code that is compiled for an instruction set. A
    /// closure inside that code would not be compiled for the instruction set.
    pub(super) const fn scratch(&self) -> usize {
        self.columns.size + 2 * self.columns.output
    }

    /// Splits the scratch buffer into a row of the image, a row of the output, and a row with the number of
    /// image columns in each window.
    #[inline(always)]
    pub(super) fn lines<'a>(&self, scratch: &'a mut [f32]) -> [&'a mut [f32]; 3] {
        let (line, rest) = scratch.split_at_mut(self.columns.size);
        let (output, counts) = rest.split_at_mut(self.columns.output);
        for (column, count) in counts.iter_mut().enumerate() {
            *count = self.columns.window(column).len() as f32;
        }
        [line, output, counts]
    }

    /// Describes average pooling with stride 1 as weighted sums over windows. Returns `None` for other kinds
    /// of pooling and other strides.
    pub(super) fn boxes(&self, backward: bool) -> Option<Boxes> {
        let without_stride = self.rows.stride == 1 && self.columns.stride == 1;
        let boxes = || Boxes::new([self.rows.sides(backward), self.columns.sides(backward)]);
        (self.kind == Kind::Average && without_stride).then(boxes)
    }
}
