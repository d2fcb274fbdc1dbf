//! Computes weight gradients as sums over the images of a batch. The input's gradient can be computed at the
//! same time.
//!
//! The batch is cut into chunks that depend only on the shapes. The sums of the chunks are added in order, so
//! the result is the same for any number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::shared::memory::Buffer;

/// Maximum number of chunks of a batch.
const CHUNKS: usize = 16;

/// Maximum number of floats in the sums of all chunks together.
const SUMS: usize = 4 << 20;

/// Number of floats in a piece of the output's gradient. Both gradients read a piece before they continue
/// with the next, so the piece stays in the second-level cache.
const CACHED: usize = 32 * 1024;

/// The inputs of a batch, and the gradient of its outputs.
pub(super) struct Images<'a> {
    batch: usize,
    x: &'a [f32],
    gradient: &'a [f32],
}

impl<'a> Images<'a> {
    /// # Panics
    /// When the batch is empty, or a slice does not contain whole images of the batch.
    pub(super) fn new(batch: usize, x: &'a [f32], gradient: &'a [f32]) -> Self {
        assert!(
            batch > 0 && x.len().is_multiple_of(batch) && gradient.len().is_multiple_of(batch),
            "a batch consists of whole images"
        );
        Self { batch, x, gradient }
    }

    /// Number of floats in one input image, and in one image of the output's gradient.
    fn lens(&self) -> [usize; 2] {
        [self.x.len() / self.batch, self.gradient.len() / self.batch]
    }

    /// Number of images in a chunk if each chunk has `sums` sums.
    fn of_chunk(&self, sums: usize) -> usize {
        self.batch.div_ceil(CHUNKS.min(SUMS / sums.max(1)).max(1))
    }

    /// Sums over the batch. The arguments of `add` are the inputs of some images, the gradient of their
    /// outputs, and the sums. `add` adds the images' contribution to the sums.
    pub(super) fn sums(&self, sums: usize, add: impl Fn(&[f32], &[f32], &mut [f32]) + Sync) -> Buffer {
        let ([x_image, gradient_image], images) = (self.lens(), self.of_chunk(sums));
        let chunks =
            self.x.par_chunks(images * x_image).zip(self.gradient.par_chunks(images * gradient_image));
        let chunk = |(x, gradient): (&[f32], &[f32])| Buffer::zeroed_and(sums, |sums| add(x, gradient, sums));
        Buffer::total(chunks.map(chunk).collect()).expect("a batch has images")
    }

    /// Computes the input's gradient with `write`, and the sums over the batch. The arguments of `write` are
    /// the gradient of the outputs, and a target with the shape of the input.
    ///
    /// Both computations read the same few images in turn, so the second one reads them from the cache.
    ///
    /// # Safety
    /// `write` writes all of its target.
    pub(super) unsafe fn sums_and(
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
        // SAFETY: input and gradient have the same number of chunks, as `new` checked, and the chunks cover
        // the whole target. The caller guarantees that `write` writes all of its target.
        let written = unsafe { Buffer::filled(self.x.len(), fill) };
        [written, total.expect("a batch has images")]
    }
}
