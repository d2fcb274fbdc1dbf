//! Vectors of floats behind one trait. Each kernel is written once and compiled for every instruction set.
//!
//! Each type that implements the trait can only be created if the processor has its instructions. Arithmetic
//! is therefore safe. Only access to memory through pointers is `unsafe`.

/// Work that is compiled separately for every instruction set.
///
/// `run`, and every generic function that `run` calls, must be `#[inline(always)]`. Code that is not inlined
/// into the function with the `target_feature` is compiled without the vector instructions.
pub(crate) trait Kernel {
    type Output;

    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Vectors of `LANES` floats.
pub(crate) trait Simd: Copy {
    const LANES: usize;
    type Vector: Copy;
    /// A subset of the lanes.
    type Mask: Copy;

    fn splat(self, value: f32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of both values, or `b` if either is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller of both values, or `b` if either is NaN.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `value` in lanes where `control > 0`, and zero in other lanes.
    fn where_positive(self, control: Self::Vector, value: Self::Vector) -> Self::Vector;
    /// Keeps the first `count <= LANES` lanes and sets the other lanes to zero.
    fn keep_first(self, value: Self::Vector, count: usize) -> Self::Vector;
    /// The even lanes (0, 2, 4, ..) of `a`, then the even lanes of `b`.
    fn even(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The odd lanes (1, 3, 5, ..) of `a`, then the odd lanes of `b`.
    fn odd(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The lanes of `a` and `b` alternately, as two vectors.
    fn interleave(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];
    /// The sum of the lanes, in a fixed order.
    fn sum(self, value: Self::Vector) -> f32;

    /// The lanes for which `contains` is true.
    fn mask(self, contains: impl Fn(usize) -> bool) -> Self::Mask;

    /// # Safety
    /// `LANES` floats can be read at `from`.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// # Safety
    /// `LANES` floats can be written at `to`.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
    /// Reads the first `count <= LANES` lanes and sets the other lanes to zero.
    ///
    /// # Safety
    /// `count` floats can be read at `from`.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector;
    /// Reads the lanes of a mask and sets the other lanes to zero. The addresses of the other lanes need not
    /// be readable.
    ///
    /// # Safety
    /// For each lane `i` of the mask, `from + i` can be read.
    unsafe fn load_masked(self, from: *const f32, mask: Self::Mask) -> Self::Vector;
    /// Writes the first `count <= LANES` lanes.
    ///
    /// # Safety
    /// `count` floats can be written at `to`.
    unsafe fn store_first(self, to: *mut f32, value: Self::Vector, count: usize);
    /// Transposes an `8 x 8` block. Rows are `from_pitch` floats apart in `from`, and `to_pitch` floats apart
    /// in `to`.
    ///
    /// # Safety
    /// Eight floats can be read in each row of `from`, and written in each row of `to`.
    unsafe fn transpose(self, from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize);

    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }
}
