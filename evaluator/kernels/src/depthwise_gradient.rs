//! The gradient of a depthwise convolution's weight: products of each channel's shifted input and its gradient.
//!
//! The batch is cut into chunks that depend on the shapes alone; the sums of the chunks are added in order, so that
//! the result is the same for any number of threads.

use rayon::prelude::*;

use crate::geometry::Geometry;
use crate::instruction_set::InstructionSet;
use crate::memory::{Buffer, with_scratch};
use crate::packing::{Packing, Phase};
use crate::simd::{Kernel, Simd};

/// Chunks of the batch at most.
const CHUNKS: usize = 16;

/// Floats of packed planes that stay in the first level of the cache.
const PACKED: usize = 4 * 1024;

/// Taps whose sums stay in registers while a plane is read.
const TAPS: usize = 9;

/// Gives each element of the gradient to `add`: channel, zero, row and column of the kernel, value.
pub(crate) fn run(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    gradient: &[f32],
    mut add: impl FnMut(usize, usize, [usize; 2], f32),
) {
    let (rows, columns) = (geometry.rows(), geometry.columns());
    let packing = Packing::new(&rows, &columns);
    let Phase { taps, offsets, .. } = packing.phases(&rows, &columns).remove(0);
    let planes = [rows.read * columns.read, rows.written * columns.written];
    let channels = geometry.in_channels;
    let [x_image, gradient_image] = planes.map(|plane| channels * plane);
    assert_eq!(x.len(), geometry.batch * x_image, "an input has the shape that was planned for");
    assert_eq!(gradient.len(), geometry.batch * gradient_image, "a gradient has the shape of the output");
    let images = geometry.batch.div_ceil(CHUNKS);
    let chunks = x.par_chunks(images * x_image).zip(gradient.par_chunks(images * gradient_image));
    let sums: Vec<Buffer> = chunks
        .map(|(x, gradient)| {
            Buffer::zeroed_and(channels * offsets.len() * set.lanes(), |sums| {
                with_scratch(together(&packing, channels) * packing.channel_len(), |scratch| {
                    let (packing, offsets) = (&packing, &offsets);
                    set.run(Products { packing, offsets, planes, x, gradient, scratch, sums });
                });
            })
        })
        .collect();
    let total = Buffer::total(sums).expect("a batch has images");
    for (index, lanes) in total.values().chunks_exact(set.lanes()).enumerate() {
        add(index / taps.len(), 0, taps[index % taps.len()], lanes.iter().sum());
    }
}

/// Planes that are packed at once: small ones cost little more than the way to them.
fn together(packing: &Packing, channels: usize) -> usize {
    (PACKED / packing.channel_len()).clamp(1, channels)
}

/// The products of some images.
struct Products<'a> {
    packing: &'a Packing,
    offsets: &'a [usize],
    /// Pixels of input and output.
    planes: [usize; 2],
    x: &'a [f32],
    gradient: &'a [f32],
    scratch: &'a mut [f32],
    /// What is added to: a vector for each channel and tap.
    sums: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let taps = self.offsets.len();
        let positions = self.planes[1];
        let whole = positions - positions % S::LANES;
        let x = self.scratch.as_mut_ptr();
        let planes = self.gradient.len() / positions;
        let channels = self.sums.len() / (taps * S::LANES);
        let together = together(self.packing, channels);
        // SAFETY: the scratch holds as many channels.
        unsafe { self.packing.prepare(simd, x, together) };
        for (index, gradient) in self.gradient.chunks_exact(positions).enumerate() {
            let sums = &mut self.sums[index % channels * taps * S::LANES..][..taps * S::LANES];
            // SAFETY: the input has the shape that the packing was made for, and the scratch holds it. Offsets stay
            // inside the packed planes for all positions and the rest of a vector; the gradient is read as far as it
            // goes. `sums` holds a vector for each tap.
            unsafe {
                if index % together == 0 {
                    let source = self.x.as_ptr().add(index * self.planes[0]);
                    self.packing.pack(simd, source, x, together.min(planes - index));
                }
                let x = x.add(index % together * self.packing.channel_len());
                let last = simd.load_first(gradient.as_ptr().add(whole), positions - whole);
                for first in (0..taps).step_by(TAPS) {
                    let mut values = [simd.zero(); TAPS];
                    let mut starts = [x.cast_const(); TAPS];
                    for (tap, start) in starts.iter_mut().enumerate() {
                        *start = x.add(self.offsets[(first + tap).min(taps - 1)]);
                    }
                    for at in (0..whole).step_by(S::LANES) {
                        let gradient = simd.load(gradient.as_ptr().add(at));
                        for (value, start) in values.iter_mut().zip(starts) {
                            *value = simd.mul_add(gradient, simd.load(start.add(at)), *value);
                        }
                    }
                    if whole < positions {
                        for (value, start) in values.iter_mut().zip(starts) {
                            *value = simd.mul_add(last, simd.load(start.add(whole)), *value);
                        }
                    }
                    for (tap, value) in values.into_iter().enumerate().take(taps - first) {
                        let sum = sums.as_mut_ptr().add((first + tap) * S::LANES);
                        simd.store(sum, simd.add(simd.load(sum), value));
                    }
                }
            }
        }
    }
}
