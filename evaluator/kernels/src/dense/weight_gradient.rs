//! The gradient of a dense convolution's weight: a sum over pixels of products of output gradients and
//! inputs.
//!
//! One operand is transposed, so that a vector contains several channels of one pixel. The other operand is
//! read pixel by pixel through the taps. The sums of many channels and many weights stay in registers for all
//! pixels of an image. There is no horizontal sum over the lanes of a vector.

use crate::dense::outer_products::{Products, transpose};
use crate::planes::geometry::Geometry;
use crate::planes::packing::Packing;
use crate::shared::memory::with_scratch;
use crate::simd::{InstructionSet, Kernel, Simd};

/// The part of the computation that is the same for all images.
pub(crate) struct Plan {
    geometry: Geometry,
    /// The instruction set. Sums and scratch buffer are laid out for its number of lanes.
    set: InstructionSet,
    packing: Packing,
    /// Row and column of the kernel for each tap.
    taps: Vec<[usize; 2]>,
    /// Offsets of the operand that is read pixel by pixel. There is one for each input channel and tap, or
    /// one for each output channel.
    offsets: Vec<usize>,
    /// Whether images are read in place.
    direct: bool,
    /// Whether the input is transposed. Otherwise the output's gradient is transposed.
    input_in_lanes: bool,
}

impl Plan {
    pub(crate) fn new(set: InstructionSet, geometry: &Geometry) -> Self {
        let direct = geometry.is_pointwise();
        let (rows, columns) = (geometry.rows(), geometry.columns());
        let packing = Packing::new(&rows, &columns);
        let phase = packing.phases(&rows, &columns).remove(0);
        let (in_group, out_group) = (geometry.in_group(), geometry.out_group());
        // Transposing the operand with fewer channels costs less.
        let input_in_lanes = direct && in_group < out_group;
        let [height, width] = geometry.output();
        let pixels = height * width;
        let offsets = if input_in_lanes {
            (0..out_group).map(|channel| channel * pixels).collect()
        } else {
            let of_taps = if direct { vec![0] } else { phase.offsets };
            let distance = if direct { pixels } else { packing.channel_len() };
            let channel = |channel: usize| of_taps.iter().map(move |offset| channel * distance + offset);
            (0..in_group).flat_map(channel).collect()
        };
        let (geometry, taps) = (*geometry, phase.taps);
        Self { geometry, set, packing, taps, offsets, direct, input_in_lanes }
    }

    fn x_image(&self) -> usize {
        self.geometry.in_channels() * self.geometry.input().iter().product::<usize>()
    }

    fn gradient_image(&self) -> usize {
        self.geometry.out_channels() * self.pixels()
    }

    fn pixels(&self) -> usize {
        self.geometry.output().iter().product()
    }

    /// Number of channels per group in the transposed operand.
    fn in_lanes(&self) -> usize {
        if self.input_in_lanes { self.geometry.in_group() } else { self.geometry.out_group() }
    }

    /// Number of floats in the sums of a group. There is a vector for each combination of a vector of
    /// channels and an offset.
    fn group_sums(&self) -> usize {
        self.in_lanes().next_multiple_of(self.set.lanes()) * self.offsets.len()
    }

    /// Number of sums for an image.
    pub(crate) fn sums(&self) -> usize {
        self.geometry.groups() * self.group_sums()
    }

    fn packed(&self) -> usize {
        if self.direct { 0 } else { self.geometry.in_group() * self.packing.channel_len() }
    }

    fn scratch(&self) -> usize {
        self.packed() + self.in_lanes().next_multiple_of(self.set.lanes()) * self.pixels()
    }

    /// Adds the products of some images to the sums.
    pub(crate) fn add(&self, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let (x_image, gradient_image) = (self.x_image(), self.gradient_image());
        assert!(
            x.len().is_multiple_of(x_image) && gradient.len() == x.len() / x_image * gradient_image,
            "input and gradient have the shapes that were planned for"
        );
        assert_eq!(sums.len(), self.sums(), "there is room for each sum");
        with_scratch(self.scratch(), |scratch| {
            for (x, gradient) in x.chunks_exact(x_image).zip(gradient.chunks_exact(gradient_image)) {
                self.set.run(Task { plan: self, x, gradient, scratch: &mut *scratch, sums: &mut *sums });
            }
        });
    }

    /// Calls `see` for each sum. The arguments are output channel, input channel within the group, row and
    /// column of the kernel, and the sum.
    pub(crate) fn visit(&self, sums: &[f32], mut see: impl FnMut(usize, usize, [usize; 2], f32)) {
        let (taps, lanes, out_group) = (self.taps.len(), self.set.lanes(), self.geometry.out_group());
        for group in 0..self.geometry.groups() {
            let sums = &sums[group * self.group_sums()..];
            for output in 0..out_group {
                for input in 0..self.geometry.in_group() {
                    for tap in 0..taps {
                        let (lane, offset) =
                            if self.input_in_lanes { (input, output) } else { (output, input * taps + tap) };
                        let vector = (lane / lanes) * self.offsets.len() + offset;
                        let value = sums[vector * lanes + lane % lanes];
                        see(group * out_group + output, input, self.taps[tap], value);
                    }
                }
            }
        }
    }
}

/// The computation for one image.
struct Task<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    gradient: &'a [f32],
    scratch: &'a mut [f32],
    /// The sums to which the products are added.
    sums: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { plan, x, gradient, scratch, sums } = self;
        let geometry = &plan.geometry;
        let (in_group, out_group, pixels) = (geometry.in_group(), geometry.out_group(), plan.pixels());
        let x_plane = geometry.input().iter().product::<usize>();
        let (packed, transposed) = scratch.split_at_mut(plan.packed());
        let sums = sums.chunks_exact_mut(plan.group_sums());
        for (group, sums) in sums.enumerate() {
            // SAFETY: `add` checked the lengths of input and gradient against the plan, provides the plan's
            // scratch buffer, and runs the plan's instruction set. Offsets stay inside the packed planes for
            // every pixel, or inside the image if it is read in place.
            unsafe {
                let x = x.as_ptr().add(group * in_group * x_plane);
                let gradient = gradient.as_ptr().add(group * out_group * pixels);
                let (lanes_side, pixel_side) = if plan.input_in_lanes {
                    (x, gradient)
                } else if plan.direct {
                    (gradient, x)
                } else {
                    plan.packing.prepare(simd, packed.as_mut_ptr(), in_group);
                    plan.packing.pack(simd, x, packed.as_mut_ptr(), in_group);
                    (gradient, packed.as_ptr())
                };
                transpose(simd, lanes_side, plan.in_lanes(), pixels, transposed.as_mut_ptr());
                let vectors = plan.in_lanes().div_ceil(S::LANES);
                let products = Products {
                    transposed: transposed.as_ptr(),
                    vectors,
                    read: pixel_side,
                    offsets: &plan.offsets,
                    pixels,
                };
                products.add_to(simd, sums);
            }
        }
    }
}
