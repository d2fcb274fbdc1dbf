//! Vectors as arrays, for processors without the instructions that have a module of their own.

use super::Simd;

const LANES: usize = 8;

/// Vectors that any processor has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], operation: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut result = a;
    for lane in 0..LANES {
        result[lane] = operation(a[lane], b[lane]);
    }
    result
}

impl Simd for Portable {
    const LANES: usize = LANES;
    type Vector = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; LANES]
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
        // Not `f32::mul_add`: without the instruction it is a slow library call.
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
        [a[0], a[2], a[4], a[6], b[0], b[2], b[4], b[6]]
    }

    #[inline(always)]
    fn odd(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [a[1], a[3], a[5], a[7], b[1], b[3], b[5], b[7]]
    }

    #[inline(always)]
    fn interleave(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2] {
        let half =
            |at: usize| [a[at], b[at], a[at + 1], b[at + 1], a[at + 2], b[at + 2], a[at + 3], b[at + 3]];
        [half(0), half(4)]
    }

    #[inline(always)]
    fn sum(self, value: Self::Vector) -> f32 {
        let [a, b, c, d, e, f, g, h] = value;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::Vector {
        // SAFETY: the caller answers for `LANES` readable floats; an array of floats needs no more alignment than one.
        unsafe { from.cast::<[f32; LANES]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Self::Vector) {
        // SAFETY: the caller answers for `LANES` writable floats; an array of floats needs no more alignment than one.
        unsafe { to.cast::<[f32; LANES]>().write(value) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector {
        let mut value = [0.0; LANES];
        // SAFETY: the caller answers for `count` readable floats, and `count <= LANES`.
        unsafe { std::ptr::copy_nonoverlapping(from, value.as_mut_ptr(), count) };
        value
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: Self::Vector, count: usize) {
        // SAFETY: the caller answers for `count` writable floats, and `count <= LANES`.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), to, count) };
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize) {
        for row in 0..8 {
            for column in 0..8 {
                // SAFETY: the caller answers for eight lines of eight floats on both sides.
                unsafe { *to.add(column * to_pitch + row) = *from.add(row * from_pitch + column) };
            }
        }
    }
}
