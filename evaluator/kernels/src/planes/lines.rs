//! Copies rows of floats and fills them with zeros.

use crate::simd::Simd;

/// Copies planes of `height` rows of `width`, shifted by columns. Columns that a shift would read from
/// outside a row become zero.
///
/// # Safety
/// The planes can be read at `from` and written at `to`. `between` contains the distances between planes in
/// source and target.
#[inline(always)]
pub(crate) unsafe fn copy_shifted<S: Simd>(
    simd: S,
    from: *const f32,
    shift: isize,
    [height, width]: [usize; 2],
    to: *mut f32,
    planes: usize,
    between: [usize; 2],
) {
    let (len, distance) = (height * width, shift.unsigned_abs().min(width));
    let kept = len.saturating_sub(distance);
    let (read, written) = if shift < 0 { (0, len - kept) } else { (len - kept, 0) };
    for plane in 0..planes {
        // SAFETY: everything stays inside the `len` floats of both source and target. Either `distance <=
        // width <= len`, or `height` is zero and nothing is copied.
        unsafe {
            let to = to.add(plane * between[1]);
            copy(simd, from.add(plane * between[0] + read), to.add(written), kept);
            zero_edges(simd, shift, [height, width], to);
        }
    }
}

/// Sets columns to zero that a shift would read from outside the rows.
///
/// # Safety
/// `height` rows of `width` can be written at `to`.
#[inline(always)]
pub(crate) unsafe fn zero_edges<S: Simd>(simd: S, shift: isize, [height, width]: [usize; 2], to: *mut f32) {
    let distance = shift.unsigned_abs().min(width);
    // SAFETY: the columns are inside the rows.
    unsafe {
        let edge = to.add(if shift < 0 { 0 } else { width - distance });
        match distance {
            0 => {}
            1 => zero_edge::<1>(edge, height, width),
            2 => zero_edge::<2>(edge, height, width),
            3 => zero_edge::<3>(edge, height, width),
            _ => {
                for row in 0..height {
                    zero(simd, edge.add(row * width), distance);
                }
            }
        }
    }
}

/// Sets the first `N` columns of rows to zero.
///
/// `N` is a constant, because the compiler turns a loop of variable length into a call of `memset`. Such a
/// call costs more than one to three stores.
///
/// # Safety
/// The columns can be written in `height` rows, which are `width` floats apart.
#[inline(always)]
unsafe fn zero_edge<const N: usize>(to: *mut f32, height: usize, width: usize) {
    for row in 0..height {
        // SAFETY: the caller guarantees the columns of every row.
        unsafe { to.add(row * width).cast::<[f32; N]>().write([0.0; N]) };
    }
}

/// Copies `len` floats, and accesses no other floats.
///
/// # Safety
/// The floats can be read at `from` and written at `to`.
#[inline(always)]
pub(crate) unsafe fn copy<S: Simd>(simd: S, from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: every vector lies inside the `len` floats. The last vector may overlap the previous one.
    unsafe {
        if len < S::LANES {
            for place in 0..len {
                *to.add(place) = *from.add(place);
            }
            return;
        }
        let mut place = 0;
        while place + S::LANES <= len {
            simd.store(to.add(place), simd.load(from.add(place)));
            place += S::LANES;
        }
        if place < len {
            let last = len - S::LANES;
            simd.store(to.add(last), simd.load(from.add(last)));
        }
    }
}

/// Sets `len` floats to zero.
///
/// # Safety
/// The floats can be written.
#[inline(always)]
pub(crate) unsafe fn zero<S: Simd>(simd: S, to: *mut f32, len: usize) {
    // SAFETY: only the `len` floats are written.
    unsafe {
        let mut place = 0;
        while place + S::LANES <= len {
            simd.store(to.add(place), simd.zero());
            place += S::LANES;
        }
        while place < len {
            *to.add(place) = 0.0;
            place += 1;
        }
    }
}
