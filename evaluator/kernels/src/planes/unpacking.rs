//! Copies the results of a correlation from the scratch buffer to the image. In the scratch buffer, the
//! results are stored phase by phase.

use crate::planes::geometry::{Axis, phase_len};
use crate::simd::Simd;

/// Layout of the plane that a correlation writes, and of the plane's phases in the scratch buffer. There,
/// rows of `pitch` floats follow each other without a gap.
#[derive(Debug, Clone)]
pub(crate) struct Unpacking {
    image: [usize; 2],
    phases: [usize; 2],
    pitch: usize,
}

impl Unpacking {
    pub(crate) fn new(rows: &Axis, columns: &Axis) -> Self {
        Self {
            image: [rows.written(), columns.written()],
            phases: [rows.written_phases(), columns.written_phases()],
            pitch: columns.longest_written(),
        }
    }

    /// Number of positions of a phase in the scratch buffer.
    pub(crate) const fn positions(&self) -> usize {
        phase_len(self.image[0], self.phases[0], 0) * self.pitch
    }

    /// Writes the rows of one row phase from its column phases, which are `distance` floats apart in the
    /// scratch buffer.
    ///
    /// # Safety
    /// `source` contains `positions` floats for each column phase, and the plane can be written at `target`.
    #[inline(always)]
    pub(crate) unsafe fn unpack<S: Simd>(
        &self,
        simd: S,
        source: *const f32,
        distance: usize,
        row_phase: usize,
        target: *mut f32,
    ) {
        let width = self.image[1];
        for row in 0..phase_len(self.image[0], self.phases[0], row_phase) {
            // SAFETY: the row of the phase is a row of the image, and `phase + phases * i < width` for `i <
            // phase_len`. Whole vectors are interleaved only if the row has room for them. The last one may
            // overlap the previous one.
            unsafe {
                let from = source.add(row * self.pitch);
                let to = target.add((row * self.phases[0] + row_phase) * width);
                if self.phases[1] == 2 && width == 2 * self.pitch && self.pitch >= S::LANES {
                    let mut place = 0;
                    while place < self.pitch {
                        let at = place.min(self.pitch - S::LANES);
                        let pair = [simd.load(from.add(at)), simd.load(from.add(distance + at))];
                        let [low, high] = simd.interleave(pair[0], pair[1]);
                        simd.store(to.add(2 * at), low);
                        simd.store(to.add(2 * at + S::LANES), high);
                        place += S::LANES;
                    }
                    continue;
                }
                for phase in 0..self.phases[1] {
                    let from = from.add(phase * distance);
                    for column in 0..phase_len(width, self.phases[1], phase) {
                        *to.add(column * self.phases[1] + phase) = *from.add(column);
                    }
                }
            }
        }
    }
}
