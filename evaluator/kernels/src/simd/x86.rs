//! AVX2 and AVX-512 vectors.

#[allow(clippy::wildcard_imports, reason = "intrinsics are named after what they are")]
use std::arch::x86_64::*;

use super::vectors::{Kernel, Simd};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Proof that the processor has AVX-512F and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx2 {
    /// # Safety
    /// The processor has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(crate) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Self(()))
    }
}

impl Avx512 {
    /// # Safety
    /// The processor has AVX-512F and VL.
    #[target_feature(enable = "avx512f,avx512vl")]
    pub(crate) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Self(()))
    }
}

/// Calls intrinsics that access no memory.
macro_rules! compute {
    ($call:expr) => {{
        // SAFETY: `self` exists only if the processor has the instructions.
        unsafe { $call }
    }};
}

/// Calls intrinsics that read or write memory.
macro_rules! access {
    ($call:expr) => {{
        // SAFETY: `self` exists only if the processor has the instructions. The caller guarantees the memory,
        // and lanes outside a mask do not access memory.
        unsafe { $call }
    }};
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    type Vector = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        compute!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        compute!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        compute!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        compute!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        compute!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        compute!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        compute!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn where_positive(self, control: __m512, value: __m512) -> __m512 {
        compute!(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(control, _mm512_setzero_ps()), value))
    }

    #[inline(always)]
    fn keep_first(self, value: __m512, count: usize) -> __m512 {
        compute!(_mm512_maskz_mov_ps(first(count), value))
    }

    #[inline(always)]
    fn even(self, a: __m512, b: __m512) -> __m512 {
        let lanes = compute!(_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
        compute!(_mm512_permutex2var_ps(a, lanes, b))
    }

    #[inline(always)]
    fn odd(self, a: __m512, b: __m512) -> __m512 {
        let lanes = compute!(_mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
        compute!(_mm512_permutex2var_ps(a, lanes, b))
    }

    #[inline(always)]
    fn interleave(self, a: __m512, b: __m512) -> [__m512; 2] {
        let low = compute!(_mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
        let high = compute!(_mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
        compute!([_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b)])
    }

    #[inline(always)]
    fn sum(self, value: __m512) -> f32 {
        compute!(_mm512_reduce_add_ps(value))
    }

    #[inline(always)]
    fn mask(self, contains: impl Fn(usize) -> bool) -> __mmask16 {
        (0..Self::LANES).filter(|lane| contains(*lane)).fold(0, |mask, lane| mask | (1 << lane))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        access!(_mm512_loadu_ps(from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        access!(_mm512_storeu_ps(to, value));
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        access!(_mm512_maskz_loadu_ps(first(count), from))
    }

    #[inline(always)]
    unsafe fn load_masked(self, from: *const f32, mask: __mmask16) -> __m512 {
        access!(_mm512_maskz_loadu_ps(mask, from))
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m512, count: usize) {
        access!(_mm512_mask_storeu_ps(to, first(count), value));
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize) {
        access!(transpose(from, from_pitch, to, to_pitch));
    }
}

/// The mask of the first `count <= 16` lanes.
#[inline(always)]
const fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type Vector = __m256;
    type Mask = __m256i;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        compute!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        compute!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        compute!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        compute!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        compute!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        compute!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        compute!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn where_positive(self, control: __m256, value: __m256) -> __m256 {
        compute!(_mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(control, _mm256_setzero_ps()), value))
    }

    #[inline(always)]
    fn keep_first(self, value: __m256, count: usize) -> __m256 {
        compute!(_mm256_and_ps(_mm256_castsi256_ps(self.first(count)), value))
    }

    #[inline(always)]
    fn even(self, a: __m256, b: __m256) -> __m256 {
        compute!({
            let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(pairs))
        })
    }

    #[inline(always)]
    fn odd(self, a: __m256, b: __m256) -> __m256 {
        compute!({
            let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(pairs))
        })
    }

    #[inline(always)]
    fn interleave(self, a: __m256, b: __m256) -> [__m256; 2] {
        compute!({
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
        })
    }

    #[inline(always)]
    fn sum(self, value: __m256) -> f32 {
        compute!({
            let four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn mask(self, contains: impl Fn(usize) -> bool) -> __m256i {
        let lanes: [i32; Self::LANES] = std::array::from_fn(|lane| if contains(lane) { -1 } else { 0 });
        // The array of eight integers is as large as the vector.
        access!(_mm256_loadu_si256(lanes.as_ptr().cast()))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        access!(_mm256_loadu_ps(from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        access!(_mm256_storeu_ps(to, value));
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        access!(_mm256_maskload_ps(from, self.first(count)))
    }

    #[inline(always)]
    unsafe fn load_masked(self, from: *const f32, mask: __m256i) -> __m256 {
        access!(_mm256_maskload_ps(from, mask))
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m256, count: usize) {
        access!(_mm256_maskstore_ps(to, self.first(count), value));
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize) {
        access!(transpose(from, from_pitch, to, to_pitch));
    }
}

/// Transposes an `8 x 8` block in registers.
///
/// # Safety
/// The processor has AVX. Rows of eight floats can be read and written as [`Simd::transpose`] requires.
#[inline(always)]
unsafe fn transpose(from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize) {
    // SAFETY: the caller guarantees the instructions and the memory.
    unsafe {
        let line = |row: usize| _mm256_loadu_ps(from.add(row * from_pitch));
        let rows = [line(0), line(1), line(2), line(3), line(4), line(5), line(6), line(7)];
        // There are three rounds: interleave pairs of rows, then interleave pairs of columns, then exchange
        // the halves.
        let low = |at: usize| _mm256_unpacklo_ps(rows[at], rows[at + 1]);
        let high = |at: usize| _mm256_unpackhi_ps(rows[at], rows[at + 1]);
        for half in 0..2 {
            let (upper, lower) = if half == 0 {
                ([low(0), low(2)], [low(4), low(6)])
            } else {
                ([high(0), high(2)], [high(4), high(6)])
            };
            for odd in 0..2 {
                let join = |pair: [__m256; 2]| {
                    if odd == 0 {
                        _mm256_shuffle_ps::<0b01_00_01_00>(pair[0], pair[1])
                    } else {
                        _mm256_shuffle_ps::<0b11_10_11_10>(pair[0], pair[1])
                    }
                };
                let (upper, lower) = (join(upper), join(lower));
                let column = 2 * half + odd;
                _mm256_storeu_ps(to.add(column * to_pitch), _mm256_permute2f128_ps::<0x20>(upper, lower));
                let second = _mm256_permute2f128_ps::<0x31>(upper, lower);
                _mm256_storeu_ps(to.add((column + 4) * to_pitch), second);
            }
        }
    }
}

impl Avx2 {
    /// The mask of the first `count <= 8` lanes.
    #[inline(always)]
    #[allow(clippy::unused_self, reason = "it proves that the processor has the instructions")]
    fn first(self, count: usize) -> __m256i {
        compute!(_mm256_cmpgt_epi32(
            _mm256_set1_epi32(count as i32),
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
        ))
    }
}
