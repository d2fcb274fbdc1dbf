//! Slices of a convolution's weight. Kernels read and write the slices in place, without a copy.

use std::ops::Range;

/// The part of a weight that a convolution uses: ranges of channels, and the center of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSlice {
    /// Ranges of output channels, in the order of use.
    pub outputs: Vec<Range<usize>>,
    /// Ranges of input channels within a group, in the order of use.
    pub inputs: Vec<Range<usize>>,
    /// Height and width of the part of the kernel that is used. The part is centered. If the margin is odd,
    /// the smaller half of the margin is above and to the left.
    pub kernel: [usize; 2],
}

impl WeightSlice {
    /// Selects all of a weight `[out_channels, in_channels / groups, kernel_height, kernel_width]`.
    #[must_use]
    pub fn whole([outputs, inputs, height, width]: [usize; 4]) -> Self {
        let all = |channels| Vec::from([Range { start: 0, end: channels }]);
        Self { outputs: all(outputs), inputs: all(inputs), kernel: [height, width] }
    }

    /// The shape of the slice.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        let total = |ranges: &[Range<usize>]| ranges.iter().map(Range::len).sum();
        [total(&self.outputs), total(&self.inputs), self.kernel[0], self.kernel[1]]
    }

    /// First kernel row and column that are used.
    pub(crate) fn corner(&self, whole: [usize; 4]) -> [usize; 2] {
        [(whole[2] - self.kernel[0]) / 2, (whole[3] - self.kernel[1]) / 2]
    }

    /// # Panics
    /// When the slice exceeds the whole weight.
    pub(crate) fn check(&self, whole: [usize; 4]) {
        let inside = |ranges: &[Range<usize>], size| ranges.iter().all(|range| range.end <= size);
        assert!(
            inside(&self.outputs, whole[0])
                && inside(&self.inputs, whole[1])
                && self.kernel[0] <= whole[2]
                && self.kernel[1] <= whole[3],
            "a slice {self:?} does not lie inside a weight of shape {whole:?}"
        );
    }
}

/// Positions of a slice's elements in the whole weight.
#[derive(Debug)]
pub(crate) struct Places {
    /// Index at which each output channel begins.
    outputs: Vec<usize>,
    /// Offset of each input channel within an output channel.
    inputs: Vec<usize>,
    /// Distance between rows of the kernel.
    pitch: usize,
}

impl Places {
    /// # Panics
    /// When the slice exceeds the whole weight.
    pub(crate) fn new(slice: &WeightSlice, whole: [usize; 4]) -> Self {
        slice.check(whole);
        let [_, inputs, height, width] = whole;
        let [top, left] = slice.corner(whole);
        let outputs = slice.outputs.iter().cloned().flatten();
        Self {
            outputs: outputs.map(|output| output * inputs * height * width + top * width + left).collect(),
            inputs: slice.inputs.iter().cloned().flatten().map(|input| input * height * width).collect(),
            pitch: width,
        }
    }

    #[inline]
    pub(crate) fn at(&self, output: usize, input: usize, [row, column]: [usize; 2]) -> usize {
        self.outputs[output] + self.inputs[input] + row * self.pitch + column
    }
}

/// Values of a whole weight, and the slice of it to use.
#[derive(Clone, Copy)]
pub(crate) struct WeightValues<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) places: &'a Places,
}

impl WeightValues<'_> {
    #[inline]
    pub(crate) fn get(&self, output: usize, input: usize, tap: [usize; 2]) -> f32 {
        self.values[self.places.at(output, input, tap)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(start: usize, end: usize) -> Vec<Range<usize>> {
        std::iter::once(start..end).collect()
    }

    #[test]
    fn places_of_a_slice_are_indices_of_the_whole_weight() {
        let slice = WeightSlice { outputs: vec![2..3, 0..1], inputs: one(1, 2), kernel: [1, 3] };
        assert_eq!(slice.shape(), [2, 1, 1, 3]);
        let places = Places::new(&slice, [3, 2, 4, 5]);
        // Row (4 - 1) / 2 = 1, column (5 - 3) / 2 = 1.
        assert_eq!(places.at(0, 0, [0, 0]), ((2 * 2 + 1) * 4 + 1) * 5 + 1);
        assert_eq!(places.at(1, 0, [0, 2]), (4 + 1) * 5 + 3);
    }

    #[test]
    #[should_panic(expected = "does not lie inside")]
    fn slice_beyond_the_whole_weight_panics() {
        let slice = WeightSlice { outputs: one(0, 4), inputs: one(0, 2), kernel: [1, 1] };
        Places::new(&slice, [3, 2, 1, 1]);
    }
}
