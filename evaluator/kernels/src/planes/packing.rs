//! Copies image planes to a scratch buffer, once for each column shift. In the copies, each tap reads at a
//! constant offset.
//!
//! In the copy for a shift, rows follow each other without a gap, and positions beyond the ends of a row are
//! zero. Vectors of positions can therefore cross the ends of rows. Every lane computes a position of the
//! image, even if the image is narrow.

use crate::planes::geometry::{Axis, phase_len};
use crate::planes::lines::{copy_shifted, zero, zero_edges};
use crate::simd::Simd;

/// Number of floats in the widest vector. A vector may read or write this many floats beyond the end of a
/// row.
pub(crate) const SLACK: usize = 16;

/// Layout of a channel's planes in the scratch buffer from which correlations read.
///
/// There is a plane for each row phase and each copy. Planes are `len` floats apart. Each plane begins with
/// room for a vector that extends to the left of the first row.
#[derive(Debug, Clone)]
pub(crate) struct Packing {
    image: [usize; 2],
    phases: [usize; 2],
    layout: Layout,
    /// Column phase and column shift of each copy, sorted.
    copies: Vec<(usize, isize)>,
    /// Zero rows above the image.
    before: usize,
    /// Number of rows from the first row of the image to the last row that is read.
    reach: usize,
    /// Number of positions in a row.
    pitch: usize,
    /// Distance between planes in floats.
    len: usize,
}

/// How a row of the image is converted to a row of a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Both rows have the same length.
    Same,
    /// The row of the plane contains every second column of the image.
    Halves,
    /// The row is cut, or filled with zeros.
    Other,
}

/// The written positions of one phase. All positions of a phase read through the same taps.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// Row phase and column phase.
    pub(crate) place: [usize; 2],
    /// Row and column of the kernel for each tap.
    pub(crate) taps: Vec<[usize; 2]>,
    /// For each tap, the offset in a channel's planes that position zero reads.
    pub(crate) offsets: Vec<usize>,
}

impl Packing {
    pub(crate) fn new(rows: &Axis, columns: &Axis) -> Self {
        let mut copies: Vec<_> = columns.taps().iter().flatten().map(|tap| (tap.phase, tap.shift)).collect();
        copies.sort_unstable();
        copies.dedup();
        let (pitch, reach) = (columns.longest_written(), rows.longest_written() + rows.after());
        let phases = [rows.read_phases(), columns.read_phases()];
        let near = copies.iter().all(|(_, shift)| shift.unsigned_abs() < SLACK);
        let layout = if phases == [1, 1] && pitch == columns.read() {
            Layout::Same
        } else if phases[1] == 2 && 2 * pitch == columns.read() && near {
            Layout::Halves
        } else {
            Layout::Other
        };
        Self {
            image: [rows.read(), columns.read()],
            phases,
            layout,
            copies,
            before: rows.before(),
            reach,
            pitch,
            len: uneven((rows.before() + reach) * pitch + 3 * SLACK),
        }
    }

    /// Number of floats in all planes of a channel.
    pub(crate) const fn channel_len(&self) -> usize {
        self.len * self.phases[0] * self.copies.len()
    }

    /// The written phases of a correlation along these axes.
    pub(crate) fn phases(&self, rows: &Axis, columns: &Axis) -> Vec<Phase> {
        let mut phases = Vec::new();
        for (row_phase, row_taps) in rows.taps().iter().enumerate() {
            for (column_phase, column_taps) in columns.taps().iter().enumerate() {
                let (mut taps, mut offsets) = (Vec::new(), Vec::new());
                for row in row_taps {
                    let line = self.before.checked_add_signed(row.shift).expect("`before` is the largest");
                    for column in column_taps {
                        let copy = self.copies.binary_search(&(column.phase, column.shift));
                        let copy = copy.expect("there is a copy for every tap");
                        taps.push([row.index, column.index]);
                        let plane = (row.phase * self.copies.len() + copy) * self.len + SLACK;
                        offsets.push(plane + line * self.pitch);
                    }
                }
                phases.push(Phase { place: [row_phase, column_phase], taps, offsets });
            }
        }
        phases
    }

    /// Writes the zeros around the rows of all planes of `channels` channels. The zeros remain valid for any
    /// number of calls of `pack`.
    ///
    /// # Safety
    /// `channels * channel_len` floats can be written at `target`.
    #[inline(always)]
    pub(crate) unsafe fn prepare<S: Simd>(&self, simd: S, target: *mut f32, channels: usize) {
        let planes = self.phases[0] * self.copies.len();
        for plane in 0..channels * planes {
            // SAFETY: `channel_len` is the total length of exactly these planes, which are `len` floats
            // apart.
            unsafe { self.surround(simd, plane % planes / self.copies.len(), target.add(plane * self.len)) };
        }
    }

    /// Writes the zeros around the rows of one plane.
    ///
    /// # Safety
    /// `plane` is one of the planes of this row phase.
    #[inline(always)]
    unsafe fn surround<S: Simd>(&self, simd: S, phase: usize, plane: *mut f32) {
        let (before, height) = (self.before * self.pitch, self.height(phase));
        // SAFETY: a plane consists of `SLACK` floats, `before + reach` rows of `pitch`, and at least twice
        // `SLACK` floats.
        unsafe {
            zero(simd, plane.add(SLACK), before);
            let used = SLACK + before + height * self.pitch;
            zero(simd, plane.add(used), (self.reach - height) * self.pitch + SLACK);
        }
    }

    /// Number of rows of the image in a plane of this row phase.
    fn height(&self, phase: usize) -> usize {
        phase_len(self.image[0], self.phases[0], phase).min(self.reach)
    }

    /// Writes the rows of all planes of `channels` channels. `prepare` must have written the zeros around the
    /// rows.
    ///
    /// # Safety
    /// `channels` planes of the image can be read at `source`, and `channels * channel_len` floats can be
    /// written at `target`.
    #[inline(always)]
    pub(crate) unsafe fn pack<S: Simd>(
        &self,
        simd: S,
        source: *const f32,
        target: *mut f32,
        channels: usize,
    ) {
        let plane = self.image[0] * self.image[1];
        // SAFETY: the caller guarantees the planes of source and target.
        unsafe {
            if self.layout == Layout::Same {
                let size = [self.height(0), self.pitch];
                for (number, &(_, shift)) in self.copies.iter().enumerate() {
                    let lines = target.add(number * self.len + SLACK + self.before * self.pitch);
                    let between = [plane, self.channel_len()];
                    copy_shifted(simd, source, shift, size, lines, channels, between);
                }
            } else {
                for channel in 0..channels {
                    let (source, target) =
                        (source.add(channel * plane), target.add(channel * self.channel_len()));
                    self.pack_phases(simd, source, target);
                }
            }
        }
    }

    /// Writes the planes of one channel for layouts in which rows of the plane and of the image have
    /// different lengths.
    ///
    /// # Safety
    /// The channel's plane can be read at `source`; `channel_len` floats can be written at `target`.
    #[inline(always)]
    unsafe fn pack_phases<S: Simd>(&self, simd: S, source: *const f32, target: *mut f32) {
        for phase in 0..self.phases[0] {
            let height = self.height(phase);
            // SAFETY: a plane consists of `SLACK` floats, `before + reach` rows of `pitch`, and at least
            // twice `SLACK` floats. Vectors write beyond the ends of rows. These places are overwritten
            // later: by the next rows, which are written in order, and then by the zeros at the edges and
            // around the rows. Reads stay inside the image, as the called functions document.
            unsafe {
                let planes = target.add(phase * self.copies.len() * self.len);
                let lines = planes.add(SLACK + self.before * self.pitch);
                if self.layout == Layout::Halves {
                    self.copy_halves(simd, source.add(phase * self.image[1]), height, lines);
                }
                for (number, &(column_phase, shift)) in self.copies.iter().enumerate() {
                    let lines = lines.add(number * self.len);
                    if self.layout == Layout::Halves {
                        zero_edges(simd, shift, [height, self.pitch], lines);
                    } else {
                        for row in 0..height {
                            let from = source.add((row * self.phases[0] + phase) * self.image[1]);
                            self.copy_line(simd, from, column_phase, shift, lines.add(row * self.pitch));
                        }
                    }
                    self.surround(simd, phase, planes.add(number * self.len));
                }
            }
        }
    }

    /// Splits rows into even and odd columns, for all copies at once. Each half has the length of a row in a
    /// plane. Writes less than a vector beyond either end.
    ///
    /// # Safety
    /// `from` is the first row of a row phase with `height` rows. The rows of all copies can be written at
    /// `to`.
    #[inline(always)]
    unsafe fn copy_halves<S: Simd>(&self, simd: S, from: *const f32, height: usize, to: *mut f32) {
        let step = self.phases[0] * self.image[1];
        // SAFETY: rows are `2 * pitch` long. Whole vectors lie inside them, and the last may overlap the
        // previous one. Rows shorter than a vector are read with masks.
        unsafe {
            for row in 0..height {
                let line = from.add(row * step);
                let mut column = 0;
                while column < self.pitch {
                    let at = column.min(self.pitch.saturating_sub(S::LANES));
                    let pair = if self.pitch < S::LANES {
                        let rest = (2 * self.pitch).saturating_sub(S::LANES);
                        let first = simd.load_first(line, (2 * self.pitch).min(S::LANES));
                        [first, simd.load_first(line.wrapping_add(S::LANES), rest)]
                    } else {
                        [simd.load(line.add(2 * at)), simd.load(line.add(2 * at + S::LANES))]
                    };
                    let halves = [simd.even(pair[0], pair[1]), simd.odd(pair[0], pair[1])];
                    for (number, &(phase, shift)) in self.copies.iter().enumerate() {
                        let place = to.add(number * self.len + row * self.pitch + at);
                        simd.store(place.offset(-shift), halves[phase]);
                    }
                    column += S::LANES;
                }
            }
        }
    }

    /// Copies the columns of one phase from a row, shifted. Writes less than a vector of zeros after the row.
    ///
    /// # Safety
    /// `from` is a row of the image; `pitch` floats and one vector can be written at `to`.
    #[inline(always)]
    unsafe fn copy_line<S: Simd>(&self, simd: S, from: *const f32, phase: usize, shift: isize, to: *mut f32) {
        let (width, stride) = (self.image[1], self.phases[1]);
        let first = ((-shift).max(0) as usize).min(self.pitch);
        // SAFETY: each branch reads only columns below `width`, and writes at most one vector beyond the row.
        unsafe {
            for column in 0..first {
                *to.add(column) = 0.0;
            }
            let mut column = first;
            while column < self.pitch {
                let start = (column as isize + shift) as usize * stride;
                let left = width.saturating_sub(start);
                if stride > 2 {
                    let inside = start + phase < width;
                    *to.add(column) = if inside { *from.add(start + phase) } else { 0.0 };
                    column += 1;
                    continue;
                }
                let low = simd.load_first(from.wrapping_add(start), left.min(S::LANES));
                let value = if stride == 1 {
                    low
                } else {
                    let left = left.saturating_sub(S::LANES).min(S::LANES);
                    let high = simd.load_first(from.wrapping_add(start + S::LANES), left);
                    if phase == 0 { simd.even(low, high) } else { simd.odd(low, high) }
                };
                simd.store(to.add(column), value);
                column += S::LANES;
            }
        }
    }
}

/// Rounds up to an odd number of cache lines.
///
/// If the distance between planes were a power of two, the same row of all planes would compete for one set
/// of the cache.
const fn uneven(len: usize) -> usize {
    let lines = len.div_ceil(16);
    (lines + 1 - lines % 2) * 16
}
