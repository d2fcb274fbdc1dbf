//! Weighted sums over windows with stride 1. They compute average pooling with stride 1, and the gradient of
//! this pooling.
//!
//! Each row and each column has a weight. The rows of a window are added first, then the columns.

use std::mem::MaybeUninit;

use crate::shared::memory::with_scratch;
use crate::simd::{InstructionSet, Kernel, Simd};

/// Number of lanes in the widest vectors.
const WIDEST: usize = 16;

/// The windows along one axis of a plane, and the weights of the positions on this axis.
#[derive(Debug, Clone)]
pub(super) struct Sides {
    /// Weight of each position that is read.
    read: Vec<f32>,
    /// Factor for the sum at each position that is written.
    written: Vec<f32>,
    /// Number of positions in a window.
    window: usize,
    /// Number of positions of the first window that lie before the plane.
    before: usize,
}

impl Sides {
    /// `weights` contains the weights of the positions that are read, and the factors of the positions that
    /// are written.
    pub(super) fn new(weights: [Vec<f32>; 2], window: usize, before: usize) -> Self {
        let [read, written] = weights;
        Self { read, written, window, before }
    }
}

/// Windows over planes of one size.
#[derive(Debug, Clone)]
pub(super) struct Boxes {
    rows: Sides,
    columns: Sides,
}

impl Boxes {
    pub(super) fn new([rows, columns]: [Sides; 2]) -> Self {
        Self { rows, columns }
    }

    /// Number of floats in a plane that is read, and in one that is written.
    const fn planes(&self) -> [usize; 2] {
        [self.rows.read.len() * self.columns.read.len(), self.rows.written.len() * self.columns.written.len()]
    }

    /// Number of floats in the scratch buffer: a row, the padding before and after the row, and one more
    /// vector on either side.
    fn scratch(&self) -> usize {
        let Sides { read, written, window, before } = &self.columns;
        (before + read.len()).max(written.len() + window) + 2 * WIDEST
    }
}

/// Sums the windows of all planes of `source` and writes all of the target.
pub(super) fn write(boxes: &Boxes, set: InstructionSet, source: &[f32], target: &mut [MaybeUninit<f32>]) {
    with_scratch(boxes.scratch(), |scratch| set.run(Planes { boxes, source, target, scratch }));
}

/// The planes of one call of `write`.
struct Planes<'a> {
    boxes: &'a Boxes,
    source: &'a [f32],
    target: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { boxes, source, target, scratch } = self;
        let Boxes { rows, columns } = boxes;
        let [read, written] = boxes.planes();
        assert!(source.len() / read == target.len() / written, "as many planes are written as are read");
        assert!(scratch.len() >= boxes.scratch(), "there is room for a line");
        let (from, to) = (columns.read.len(), columns.written.len());
        scratch.fill(0.0);
        let line = scratch.as_mut_ptr();
        let planes = source.chunks_exact(read).zip(target.chunks_exact_mut(written));
        for (source, target) in planes {
            let lines = target.chunks_exact_mut(to).zip(&rows.written).enumerate();
            for (row, (target, weight)) in lines {
                let first = row.saturating_sub(rows.before);
                let window = first..(row + rows.window).saturating_sub(rows.before).min(rows.read.len());
                // SAFETY: the rows of a window lie in the plane. The last vector of a row is read only up to
                // the end of the row. The scratch has one more vector on either side than `scratch` counts.
                // Lanes beyond a row are zero, and so are the positions before and after it, because nothing
                // else is written there.
                unsafe {
                    for at in (0..from).step_by(S::LANES) {
                        let left = (from - at).min(S::LANES);
                        let mut sum = simd.zero();
                        for place in window.clone() {
                            let values = load(simd, source.as_ptr().add(place * from + at), left);
                            sum = simd.mul_add(simd.splat(rows.read[place]), values, sum);
                        }
                        let weights = load(simd, columns.read.as_ptr().add(at), left);
                        simd.store(line.add(columns.before + at), simd.mul(sum, weights));
                    }
                    let weight = simd.splat(*weight);
                    for at in (0..to).step_by(S::LANES) {
                        let left = (to - at).min(S::LANES);
                        let mut sum = simd.zero();
                        for tap in 0..columns.window {
                            sum = simd.add(sum, simd.load(line.add(at + tap)));
                        }
                        let weights = load(simd, columns.written.as_ptr().add(at), left);
                        let value = simd.mul(sum, simd.mul(weight, weights));
                        let target = target.as_mut_ptr().cast::<f32>().add(at);
                        if left == S::LANES {
                            simd.store(target, value);
                        } else {
                            simd.store_first(target, value, left);
                        }
                    }
                }
            }
        }
    }
}

/// Reads the first `count <= LANES` lanes and sets the other lanes to zero. Whole vectors are read without a
/// mask.
///
/// # Safety
/// `count` floats can be read at `from`.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::Vector {
    // SAFETY: the caller guarantees that `count` floats can be read.
    unsafe { if count == S::LANES { simd.load(from) } else { simd.load_first(from, count) } }
}
