//! The gradient of a depthwise convolution's weight: products of each channel's shifted input and its output
//! gradient.

use crate::planes::geometry::Geometry;
use crate::planes::packing::{Packing, Phase};
use crate::shared::memory::with_scratch;
use crate::simd::{InstructionSet, Kernel, Simd};

/// Number of floats in packed planes that stay in the first-level cache.
const PACKED: usize = 4 * 1024;

/// Number of taps whose sums stay in registers for a whole plane.
const TAPS: usize = 9;

/// The part of the computation that is the same for all images.
pub(crate) struct Plan {
    packing: Packing,
    taps: Vec<[usize; 2]>,
    offsets: Vec<usize>,
    channels: usize,
    /// Number of pixels of input and output.
    planes: [usize; 2],
    /// The instruction set. The sums are laid out for its number of lanes.
    set: InstructionSet,
}

impl Plan {
    pub(crate) fn new(set: InstructionSet, geometry: &Geometry) -> Self {
        let (rows, columns) = (geometry.rows(), geometry.columns());
        let packing = Packing::new(&rows, &columns);
        let Phase { taps, offsets, .. } = packing.phases(&rows, &columns).remove(0);
        let planes = [rows.read() * columns.read(), rows.written() * columns.written()];
        Self { packing, taps, offsets, channels: geometry.in_channels(), planes, set }
    }

    /// Number of sums for an image. There is a vector for each channel and tap.
    pub(crate) fn sums(&self) -> usize {
        self.channels * self.taps.len() * self.set.lanes()
    }

    /// Adds the products of some images to the sums.
    pub(crate) fn add(&self, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let [x_image, gradient_image] = self.planes.map(|plane| self.channels * plane);
        assert!(
            x.len().is_multiple_of(x_image) && gradient.len() == x.len() / x_image * gradient_image,
            "input and gradient have the shapes that were planned for"
        );
        assert_eq!(sums.len(), self.sums(), "there is room for each sum");
        with_scratch(self.together() * self.packing.channel_len(), |scratch| {
            self.set.run(Products { plan: self, x, gradient, scratch, sums });
        });
    }

    /// Calls `see` for each sum. The arguments are the channel, zero, row and column of the kernel, and the
    /// sum.
    pub(crate) fn visit(&self, sums: &[f32], mut see: impl FnMut(usize, usize, [usize; 2], f32)) {
        for (index, lanes) in sums.chunks_exact(self.set.lanes()).enumerate() {
            let (channel, tap) = (index / self.taps.len(), index % self.taps.len());
            see(channel, 0, self.taps[tap], lanes.iter().sum());
        }
    }

    /// Number of planes that are packed at once. For small planes, packing calls cost more than the copies
    /// themselves.
    fn together(&self) -> usize {
        (PACKED / self.packing.channel_len()).clamp(1, self.channels)
    }
}

/// The computation for some images.
struct Products<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    gradient: &'a [f32],
    scratch: &'a mut [f32],
    /// The sums to which the products are added: a vector for each channel and tap.
    sums: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let plan = self.plan;
        let taps = plan.offsets.len();
        let positions = plan.planes[1];
        let whole = positions - positions % S::LANES;
        let x = self.scratch.as_mut_ptr();
        let planes = self.gradient.len() / positions;
        let (together, channels) = (plan.together(), plan.channels);
        // SAFETY: the scratch buffer has room for the planes of `together` channels.
        unsafe { plan.packing.prepare(simd, x, together) };
        for (index, gradient) in self.gradient.chunks_exact(positions).enumerate() {
            let sums = &mut self.sums[index % channels * taps * S::LANES..][..taps * S::LANES];
            // SAFETY: the input has the shape of the packing, and the scratch buffer has room for it. Offsets
            // stay inside the packed planes for all positions and the rest of a vector. The gradient is not
            // read beyond its end. `sums` has a vector for each tap.
            unsafe {
                if index % together == 0 {
                    let source = self.x.as_ptr().add(index * plan.planes[0]);
                    plan.packing.pack(simd, source, x, together.min(planes - index));
                }
                let x = x.add(index % together * plan.packing.channel_len());
                let last = simd.load_first(gradient.as_ptr().add(whole), positions - whole);
                // Always compute `TAPS` sums, so that they stay in registers. If fewer taps are left, the
                // last tap is computed repeatedly, and these additional sums are not stored.
                for first in (0..taps).step_by(TAPS) {
                    let mut values = [simd.zero(); TAPS];
                    let mut starts = [x.cast_const(); TAPS];
                    for (tap, start) in starts.iter_mut().enumerate() {
                        *start = x.add(plan.offsets[(first + tap).min(taps - 1)]);
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
