//! Planes of images in scratch: lines one pitch apart with zeros between, so that a tap is a constant distance.

use crate::geometry::{Axis, phase_len};
use crate::simd::Simd;

/// Floats that a vector of any instruction set may read or write beyond what it needs.
const SLACK: usize = 16;

/// How the planes of a group of images lie in scratch.
///
/// Each channel is `phases` planes, `len` apart; a plane holds image after image, line after line, with zeros
/// before, between and after.
#[derive(Debug, Clone)]
pub(crate) struct Packing {
    image: [usize; 2],
    phases: [usize; 2],
    /// Lines from one image to the next, and positions from one line to the next.
    lines: usize,
    pub(crate) pitch: usize,
    /// Where the first line begins in a plane.
    pub(crate) front: usize,
    /// Floats in a plane.
    pub(crate) len: usize,
}

impl Packing {
    /// For what a correlation reads.
    pub(crate) fn read(rows: &Axis, columns: &Axis, images: usize) -> Self {
        let pitch = columns.pitch;
        let front = rows.before * pitch + columns.before;
        let reach = span(rows, columns, images).next_multiple_of(SLACK) + rows.after * pitch + columns.after;
        let len = front + reach.max(images * rows.pitch * pitch) + SLACK;
        Self {
            image: [rows.read, columns.read],
            phases: [rows.read_phases, columns.read_phases],
            lines: rows.pitch,
            pitch,
            front,
            len: uneven(len),
        }
    }

    /// For what a forward correlation wrote, at the positions that it wrote.
    pub(crate) fn written(rows: &Axis, columns: &Axis, images: usize) -> Self {
        Self {
            image: [rows.written, columns.written],
            phases: [1, 1],
            lines: rows.pitch,
            pitch: columns.pitch,
            front: 0,
            len: uneven(images * rows.pitch * columns.pitch + SLACK),
        }
    }

    /// Floats in the planes of a channel.
    pub(crate) const fn channel_len(&self) -> usize {
        self.len * self.phases[0] * self.phases[1]
    }

    /// The phases that a correlation between these axes writes.
    pub(crate) fn phases(&self, rows: &Axis, columns: &Axis) -> Vec<Phase> {
        let mut phases = Vec::new();
        for (row_phase, row_taps) in rows.taps.iter().enumerate() {
            for (column_phase, column_taps) in columns.taps.iter().enumerate() {
                let (mut taps, mut offsets) = (Vec::new(), Vec::new());
                for row in row_taps {
                    for column in column_taps {
                        let start = (row.phase * self.phases[1] + column.phase) * self.len + self.front;
                        let shift = row.shift * self.pitch as isize + column.shift;
                        taps.push([row.index, column.index]);
                        offsets.push(
                            start.checked_add_signed(shift).expect("`front` holds what lies before a plane"),
                        );
                    }
                }
                phases.push(Phase { place: [row_phase, column_phase], taps, offsets });
            }
        }
        phases
    }

    /// Writes the planes of one channel of `images` images, zeros included.
    ///
    /// # Safety
    /// `source` is the channel's plane in the first image, with the other images `image_stride` apart, all readable;
    /// `channel_len` floats can be written at `target`; `images` is at most what the packing was made for.
    #[inline(always)]
    pub(crate) unsafe fn pack<S: Simd>(
        &self,
        simd: S,
        source: *const f32,
        image_stride: usize,
        images: usize,
        target: *mut f32,
    ) {
        for row_phase in 0..self.phases[0] {
            for column_phase in 0..self.phases[1] {
                let height = phase_len(self.image[0], self.phases[0], row_phase);
                let width = phase_len(self.image[1], self.phases[1], column_phase);
                // SAFETY: a plane is `front`, then `images * lines` lines of `pitch`, then at least `SLACK`. Every
                // line is written from its beginning, its last vector spilling less than `SLACK` zeros over what is
                // written later. Sources stay inside the image: `phase + phases * i < size` for `i < phase_len`.
                unsafe {
                    let plane = target.add((row_phase * self.phases[1] + column_phase) * self.len);
                    zero(simd, plane, self.front);
                    let mut line = plane.add(self.front);
                    for image in 0..images {
                        let image = source.add(image * image_stride);
                        for row in 0..height {
                            let row =
                                image.add((row * self.phases[0] + row_phase) * self.image[1] + column_phase);
                            let end = copy_line(simd, row, self.phases[1], width, line);
                            if end < self.pitch {
                                zero(simd, line.add(end), self.pitch - end);
                            }
                            line = line.add(self.pitch);
                        }
                        let gap = (self.lines - height) * self.pitch;
                        zero(simd, line, gap);
                        line = line.add(gap);
                    }
                    let used = self.front + images * self.lines * self.pitch;
                    zero(simd, line, self.len - used);
                }
            }
        }
    }
}

/// Written positions that read through the same taps.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// Phase of rows and of columns.
    pub(crate) place: [usize; 2],
    /// Row and column of the kernel, for each tap.
    pub(crate) taps: Vec<[usize; 2]>,
    /// What each tap reads for position zero, in the planes of a channel.
    pub(crate) offsets: Vec<usize>,
}

/// The planes that a correlation writes, and where positions of scratch belong in them.
#[derive(Debug, Clone)]
pub(crate) struct Unpacking {
    image: [usize; 2],
    phases: [usize; 2],
    lines: usize,
    pitch: usize,
}

impl Unpacking {
    pub(crate) fn new(rows: &Axis, columns: &Axis) -> Self {
        Self {
            image: [rows.written, columns.written],
            phases: [rows.written_phases, columns.written_phases],
            lines: rows.pitch,
            pitch: columns.pitch,
        }
    }

    /// Writes one phase of one channel of `images` images.
    ///
    /// # Safety
    /// `source` holds the span of `images` images and `SLACK` more floats; `target` is the channel's plane in the
    /// first image, with the other images `image_stride` apart, all writable.
    #[inline(always)]
    pub(crate) unsafe fn unpack<S: Simd>(
        &self,
        simd: S,
        source: *const f32,
        [row_phase, column_phase]: [usize; 2],
        target: *mut f32,
        image_stride: usize,
        images: usize,
    ) {
        let height = phase_len(self.image[0], self.phases[0], row_phase);
        let width = phase_len(self.image[1], self.phases[1], column_phase);
        for image in 0..images {
            for row in 0..height {
                // SAFETY: positions stay inside image and span, as in `pack`; a line's last vector reads less than
                // `SLACK` floats beyond it.
                unsafe {
                    let from = source.add((image * self.lines + row) * self.pitch);
                    let to = target
                        .add(image * image_stride)
                        .add((row * self.phases[0] + row_phase) * self.image[1] + column_phase);
                    if self.phases[1] == 1 {
                        let whole = width - width % S::LANES;
                        let mut column = 0;
                        while column < whole {
                            simd.store(to.add(column), simd.load(from.add(column)));
                            column += S::LANES;
                        }
                        if whole < width {
                            simd.store_first(to.add(whole), simd.load(from.add(whole)), width - whole);
                        }
                    } else {
                        for column in 0..width {
                            *to.add(column * self.phases[1]) = *from.add(column);
                        }
                    }
                }
            }
        }
    }
}

/// Positions from the first that `images` images write to the last.
pub(crate) const fn span(rows: &Axis, columns: &Axis, images: usize) -> usize {
    ((images - 1) * rows.pitch + rows.longest_written() - 1) * columns.pitch + columns.longest_written()
}

/// A length of an odd number of cache lines, so that planes do not all fall on the same sets of the cache.
const fn uneven(len: usize) -> usize {
    let lines = len.div_ceil(16);
    (lines + 1 - lines % 2) * 16
}

/// Copies `width` values that lie `stride` apart, and says how many places were written, zeros behind them included.
///
/// # Safety
/// The values are readable, and `width` rounded up to whole vectors is writable.
#[inline(always)]
unsafe fn copy_line<S: Simd>(simd: S, from: *const f32, stride: usize, width: usize, to: *mut f32) -> usize {
    // SAFETY: the caller answers for both sides.
    unsafe {
        if stride == 1 {
            let whole = width - width % S::LANES;
            let mut column = 0;
            while column < whole {
                simd.store(to.add(column), simd.load(from.add(column)));
                column += S::LANES;
            }
            if whole < width {
                simd.store(to.add(whole), simd.load_first(from.add(whole), width - whole));
                return whole + S::LANES;
            }
        } else {
            for column in 0..width {
                *to.add(column) = *from.add(column * stride);
            }
        }
    }
    width
}

/// # Safety
/// `len` floats can be written.
#[inline(always)]
unsafe fn zero<S: Simd>(simd: S, to: *mut f32, len: usize) {
    let whole = len - len % S::LANES;
    let mut place = 0;
    // SAFETY: only the `len` floats are written.
    unsafe {
        while place < whole {
            simd.store(to.add(place), simd.zero());
            place += S::LANES;
        }
        if whole < len {
            simd.store_first(to.add(whole), simd.zero(), len - whole);
        }
    }
}
