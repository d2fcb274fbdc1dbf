//! Sums over windows that move by one place at a time, with weights of lines and columns: average pooling without stride, and its
//! gradient. The lines of a window are added, then the columns.

use std::mem::MaybeUninit;

use crate::simd::{Kernel, Simd};

/// Lanes of the widest vectors.
const WIDEST: usize = 16;

/// One direction of a plane.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    /// What each place that is read counts, and what the sum at each place that is written is multiplied by.
    pub(crate) read: Vec<f32>,
    pub(crate) written: Vec<f32>,
    /// Places of a window, and how many of the first one lie before the plane.
    pub(crate) window: usize,
    pub(crate) before: usize,
}

/// Windows over planes of one size.
#[derive(Debug, Clone)]
pub(crate) struct Boxes {
    pub(crate) rows: Sides,
    pub(crate) columns: Sides,
}

impl Boxes {
    /// Floats of a plane that is read, and of one that is written.
    pub(crate) const fn planes(&self) -> [usize; 2] {
        [self.rows.read.len() * self.columns.read.len(), self.rows.written.len() * self.columns.written.len()]
    }

    /// Floats of scratch: a line with the places before it, after it and of a vector more.
    pub(crate) fn scratch(&self) -> usize {
        let Sides { read, written, window, before } = &self.columns;
        (before + read.len()).max(written.len() + window) + 2 * WIDEST
    }
}

/// Some planes.
pub(crate) struct Planes<'a> {
    pub(crate) boxes: &'a Boxes,
    pub(crate) source: &'a [f32],
    pub(crate) target: &'a mut [MaybeUninit<f32>],
    /// As many floats as the boxes ask for.
    pub(crate) scratch: &'a mut [f32],
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
                // SAFETY: a window's lines lie in the plane; of the last vector of a line only what is there is read, and the line
                // has room for a vector more on either side of what `scratch` counts. Lanes beyond a line are zero, and so are
                // the places before and after it, which nothing else is written to.
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

/// The first `count <= LANES` lanes; the others are zero.
///
/// # Safety
/// `count` floats can be read at `from`.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::Vector {
    // SAFETY: as the caller says.
    unsafe { if count == S::LANES { simd.load(from) } else { simd.load_first(from, count) } }
}
