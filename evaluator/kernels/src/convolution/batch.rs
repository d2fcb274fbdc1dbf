//! Gradients of weights as sums over the images of a batch, alone or together with the gradient of the input.
//!
//! The batch is cut into chunks that depend on the shapes alone. The sums of the chunks are added in order,
//! so the result is the same for any number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::shared::memory::Buffer;

/// Maximum number of chunks of a batch.
const CHUNKS: usize = 16;

/// Maximum number of floats of the sums of all chunks.
const SUMS: usize = 4 << 20;

/// Floats of the output's gradient that both gradients read before the next ones, so that they stay in the
/// second level of the cache.
const CACHED: usize = 32 * 1024;

/// Input and gradient of the output of a batch.
pub(super) struct Images<'a> {
    batch: usize,
    x: &'a [f32],
    gradient: &'a [f32],
}

impl<'a> Images<'a> {
    /// # Panics
    /// When the batch is empty, or the slices do not hold whole images of it.
    pub(super) fn new(batch: usize, x: &'a [f32], gradient: &'a [f32]) -> Self {
        assert!(
            batch > 0 && x.len().is_multiple_of(batch) && gradient.len().is_multiple_of(batch),
            "a batch consists of whole images"
        );
        Self { batch, x, gradient }
    }

    /// Floats of an image of the input and of one of the output's gradient.
    fn lens(&self) -> [usize; 2] {
        [self.x.len() / self.batch, self.gradient.len() / self.batch]
    }

    /// Number of images of a chunk, where a chunk has `sums` sums.
    fn of_chunk(&self, sums: usize) -> usize {
        self.batch.div_ceil(CHUNKS.min(SUMS / sums.max(1)).max(1))
    }

    /// The sums over the batch. `add` adds the sums of some images: of an input, of the output's gradient, to
    /// the sums.
    pub(super) fn sums(&self, sums: usize, add: impl Fn(&[f32], &[f32], &mut [f32]) + Sync) -> Buffer {
        let ([x_image, gradient_image], images) = (self.lens(), self.of_chunk(sums));
        let chunks =
            self.x.par_chunks(images * x_image).zip(self.gradient.par_chunks(images * gradient_image));
        let chunk = |(x, gradient): (&[f32], &[f32])| Buffer::zeroed_and(sums, |sums| add(x, gradient, sums));
        Buffer::total(chunks.map(chunk).collect()).expect("a batch has images")
    }

    /// The sums over the batch, after what `write` computes from the output's gradients in the shape of the
    /// input.
    ///
    /// Both read the same few images in turn, so the second reads them from the cache.
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
        // SAFETY: input and gradient have the same number of chunks, as `new` checked, and these cover the
        // whole target. The caller guarantees `write`.
        let written = unsafe { Buffer::filled(self.x.len(), fill) };
        [written, total.expect("a batch has images")]
    }
}
