//! Gradients of weights as sums over the images of a batch, alone or together with the gradient of the input.
//!
//! The batch is cut into chunks that depend on the shapes alone; the sums of the chunks are added in order, so that
//! the result is the same for any number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::memory::Buffer;

/// Chunks of the batch at most.
const CHUNKS: usize = 16;

/// Floats that the sums of all chunks may take.
const SUMS: usize = 4 << 20;

/// Floats of the output's gradient that stay in the second level of the cache while both gradients read them.
const CACHED: usize = 32 * 1024;

/// Input and output's gradient of a batch.
pub(crate) struct Images<'a> {
    pub(crate) batch: usize,
    pub(crate) x: &'a [f32],
    pub(crate) gradient: &'a [f32],
}

impl Images<'_> {
    /// Floats of an image: of the input, and of the output's gradient.
    fn lens(&self) -> [usize; 2] {
        [self.x.len() / self.batch, self.gradient.len() / self.batch]
    }

    /// Images of a chunk, each of which has so many sums.
    fn of_chunk(&self, sums: usize) -> usize {
        self.batch.div_ceil(CHUNKS.min(SUMS / sums.max(1)).max(1))
    }

    /// The sums, to which `add` adds those of some images.
    pub(crate) fn sums(&self, sums: usize, add: impl Fn(&[f32], &[f32], &mut [f32]) + Sync) -> Buffer {
        let ([x_image, gradient_image], images) = (self.lens(), self.of_chunk(sums));
        let chunks =
            self.x.par_chunks(images * x_image).zip(self.gradient.par_chunks(images * gradient_image));
        let chunk = |(x, gradient): (&[f32], &[f32])| Buffer::zeroed_and(sums, |sums| add(x, gradient, sums));
        Buffer::total(chunks.map(chunk).collect()).expect("a batch has images")
    }

    /// The same, and what `write` makes of the output's gradients of the same images, in the shape of the input: the
    /// gradients are read from the cache the second time.
    ///
    /// # Safety
    /// `write` writes all of its target.
    pub(crate) unsafe fn sums_and(
        &self,
        sums: usize,
        add: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
        write: impl Fn(&[f32], &mut [MaybeUninit<f32>]) + Sync,
    ) -> [Buffer; 2] {
        let ([x_image, gradient_image], images) = (self.lens(), self.of_chunk(sums));
        let cached = (CACHED / gradient_image).max(1);
        let mut total = None;
        let fill = |target: &mut [MaybeUninit<f32>]| {
            let targets = target.par_chunks_mut(images * x_image);
            let chunks =
                self.x.par_chunks(images * x_image).zip(self.gradient.par_chunks(images * gradient_image));
            let sums = targets.zip(chunks).map(|(target, (x, gradient))| {
                Buffer::zeroed_and(sums, |sums| {
                    let targets = target.chunks_mut(cached * x_image);
                    let inputs = x.chunks(cached * x_image).zip(gradient.chunks(cached * gradient_image));
                    for (target, (x, gradient)) in targets.zip(inputs) {
                        write(gradient, target);
                        add(x, gradient, sums);
                    }
                })
            });
            total = Buffer::total(sums.collect());
        };
        // SAFETY: the chunks cover the whole target, and the caller answers for `write`.
        let written = unsafe { Buffer::filled(self.x.len(), fill) };
        [written, total.expect("a batch has images")]
    }
}
