//! Vectors that are plain arrays, for processors without AVX2.
//!
//! Tests also use them to run the code for 16 lanes on processors without AVX-512.

use super::vectors::Simd;

/// Vectors of `N` floats on any processor; `N` is a power of two.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>;

#[inline(always)]
fn zip<const N: usize>(a: [f32; N], b: [f32; N], operation: impl Fn(f32, f32) -> f32) -> [f32; N] {
    let mut result = a;
    for lane in 0..N {
        result[lane] = operation(a[lane], b[lane]);
    }
    result
}

impl<const N: usize> Simd for Portable<N> {
    const LANES: usize = N;
    type Vector = [f32; N];
    type Mask = [bool; N];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; N]
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // Not `f32::mul_add`, which is a slow library call without the FMA instruction.
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn where_positive(self, control: Self::Vector, value: Self::Vector) -> Self::Vector {
        zip(control, value, |control, value| if control > 0.0 { value } else { 0.0 })
    }

    #[inline(always)]
    fn keep_first(self, mut value: Self::Vector, count: usize) -> Self::Vector {
        value[count..].fill(0.0);
        value
    }

    #[inline(always)]
    fn even(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| if lane < N / 2 { a[2 * lane] } else { b[2 * lane - N] })
    }

    #[inline(always)]
    fn odd(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| if lane < N / 2 { a[2 * lane + 1] } else { b[2 * lane + 1 - N] })
    }

    #[inline(always)]
    fn interleave(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2] {
        let half = |at: usize| {
            std::array::from_fn(|lane| if lane % 2 == 0 { a[at + lane / 2] } else { b[at + lane / 2] })
        };
        [half(0), half(N / 2)]
    }

    #[inline(always)]
    fn sum(self, mut value: Self::Vector) -> f32 {
        let mut lanes = N;
        while lanes > 1 {
            lanes /= 2;
            for lane in 0..lanes {
                value[lane] += value[lane + lanes];
            }
        }
        value[0]
    }

    #[inline(always)]
    fn mask(self, contains: impl Fn(usize) -> bool) -> [bool; N] {
        std::array::from_fn(contains)
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::Vector {
        // SAFETY: the caller guarantees `N` readable floats; an array of floats is aligned like one float.
        unsafe { from.cast::<[f32; N]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Self::Vector) {
        // SAFETY: the caller guarantees `N` writable floats; an array of floats is aligned like one float.
        unsafe { to.cast::<[f32; N]>().write(value) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector {
        let mut value = [0.0; N];
        // SAFETY: the caller guarantees `count` readable floats and `count <= N`.
        unsafe { std::ptr::copy_nonoverlapping(from, value.as_mut_ptr(), count) };
        value
    }

    #[inline(always)]
    unsafe fn load_masked(self, from: *const f32, mask: [bool; N]) -> Self::Vector {
        std::array::from_fn(|lane| {
            // SAFETY: the caller guarantees that the floats of the mask can be read.
            if mask[lane] { unsafe { *from.wrapping_add(lane) } } else { 0.0 }
        })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: Self::Vector, count: usize) {
        // SAFETY: the caller guarantees `count` writable floats and `count <= N`.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), to, count) };
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize) {
        for row in 0..8 {
            for column in 0..8 {
                // SAFETY: the caller guarantees eight rows of eight floats on both sides.
                unsafe { *to.add(column * to_pitch + row) = *from.add(row * from_pitch + column) };
            }
        }
    }
}
