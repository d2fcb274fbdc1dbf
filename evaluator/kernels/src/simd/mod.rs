//! Vectors of floats behind one trait, so that each kernel is written once and compiled for every instruction set.
//!
//! A value of an implementing type is the proof that the processor has the instructions: arithmetic is therefore safe,
//! and only reading and writing memory through pointers is not.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Work that is compiled for every instruction set; `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;

    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Vectors of `LANES` floats.
pub(crate) trait Simd: Copy {
    const LANES: usize;
    type Vector: Copy;
    /// Some of the lanes.
    type Mask: Copy;

    fn splat(self, value: f32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger one, and `b` where either is not a number.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller one, and `b` where either is not a number.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `value` where `control > 0`, zero elsewhere.
    fn where_positive(self, control: Self::Vector, value: Self::Vector) -> Self::Vector;
    /// The first `count <= LANES` lanes, zero elsewhere.
    fn keep_first(self, value: Self::Vector, count: usize) -> Self::Vector;
    /// Lanes 0, 2, 4, .. of `a` and then of `b`.
    fn even(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Lanes 1, 3, 5, .. of `a` and then of `b`.
    fn odd(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Lanes of `a` and `b` in turn, in two vectors.
    fn interleave(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];
    /// The sum of the lanes, in a fixed order.
    fn sum(self, value: Self::Vector) -> f32;

    /// The lanes of which `contains` is true.
    fn mask(self, contains: impl Fn(usize) -> bool) -> Self::Mask;

    /// # Safety
    /// `LANES` floats can be read at `from`.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// # Safety
    /// `LANES` floats can be written at `to`.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
    /// Reads the first `count <= LANES` lanes; the others are zero.
    ///
    /// # Safety
    /// `count` floats can be read at `from`.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector;
    /// Reads the lanes of a mask; the others are zero, and may lie anywhere.
    ///
    /// # Safety
    /// The mask's floats can be read from `from` on.
    unsafe fn load_masked(self, from: *const f32, mask: Self::Mask) -> Self::Vector;
    /// Writes the first `count <= LANES` lanes.
    ///
    /// # Safety
    /// `count` floats can be written at `to`.
    unsafe fn store_first(self, to: *mut f32, value: Self::Vector, count: usize);
    /// Writes an `8 x 8` block with rows and columns exchanged; lines are `from_pitch` and `to_pitch` apart.
    ///
    /// # Safety
    /// Eight floats can be read in each line of `from`, and written in each line of `to`.
    unsafe fn transpose(self, from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize);

    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }
}
