//! Shapes of a convolution, and the positions that its taps read along rows and columns.

/// Sizes of a convolution. Two-dimensional sizes are `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    batch: usize,
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

impl Geometry {
    /// # Panics
    /// When the shapes do not form a valid convolution.
    pub(crate) fn new(
        x: [usize; 4],
        weight: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
        groups: usize,
    ) -> Self {
        let [batch, in_channels, height, width] = x;
        let [out_channels, in_group, kernel_height, kernel_width] = weight;
        assert!(
            groups > 0 && out_channels % groups == 0,
            "`{groups}` groups do not divide `{out_channels}` channels"
        );
        assert!(
            in_group * groups == in_channels,
            "a weight for `{in_group}` channels in each of `{groups}` groups does not fit an input of \
             `{in_channels}`"
        );
        let (input, kernel) = ([height, width], [kernel_height, kernel_width]);
        let output = [0, 1].map(|axis| {
            assert!(stride[axis] > 0 && kernel[axis] > 0, "stride and kernel are at least 1");
            let padded = input[axis] + 2 * padding[axis];
            assert!(
                padded >= kernel[axis],
                "a kernel of `{}` is larger than a padded image of `{padded}`",
                kernel[axis]
            );
            (padded - kernel[axis]) / stride[axis] + 1
        });
        Self { batch, in_channels, out_channels, groups, input, output, kernel, stride, padding }
    }

    pub(crate) const fn batch(&self) -> usize {
        self.batch
    }

    pub(crate) const fn in_channels(&self) -> usize {
        self.in_channels
    }

    pub(crate) const fn out_channels(&self) -> usize {
        self.out_channels
    }

    pub(crate) const fn groups(&self) -> usize {
        self.groups
    }

    /// Size of an input image.
    pub(crate) const fn input(&self) -> [usize; 2] {
        self.input
    }

    /// Size of an output image.
    pub(crate) const fn output(&self) -> [usize; 2] {
        self.output
    }

    pub(crate) const fn kernel(&self) -> [usize; 2] {
        self.kernel
    }

    #[cfg(test)]
    pub(crate) const fn stride(&self) -> [usize; 2] {
        self.stride
    }

    #[cfg(test)]
    pub(crate) const fn padding(&self) -> [usize; 2] {
        self.padding
    }

    /// Number of input channels in a group.
    pub(crate) const fn in_group(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Number of output channels in a group.
    pub(crate) const fn out_group(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Whether each channel has exactly one filter.
    pub(crate) const fn is_depthwise(&self) -> bool {
        self.groups == self.in_channels && self.in_channels == self.out_channels && self.groups > 1
    }

    /// Whether every output pixel reads exactly the input pixel at the same position.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// If the convolution is pointwise, returns the same convolution on images with a single row, because the
    /// shape of the images does not matter. Other convolutions are returned unchanged.
    pub(crate) fn flattened(mut self) -> Self {
        if self.is_pointwise() {
            self.input = [1, self.input[0] * self.input[1]];
            self.output = self.input;
        }
        self
    }

    pub(crate) fn rows(&self) -> Axis {
        Axis::forward(self, 0)
    }

    pub(crate) fn columns(&self) -> Axis {
        Axis::forward(self, 1)
    }
}

/// An element of the kernel along one axis. Through this tap, written position `i` reads position `i + shift`
/// of a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) index: usize,
    pub(crate) phase: usize,
    pub(crate) shift: isize,
}

/// One dimension of a correlation. A strided correlation is split into correlations with stride 1 between
/// phases.
///
/// A stride of `s` splits the strided side into `s` phases. Phase `r` contains the positions `r, r + s, r + 2
/// s, ..`, so each tap reads one phase at a constant shift.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    read: usize,
    read_phases: usize,
    written: usize,
    written_phases: usize,
    taps: Vec<Vec<Tap>>,
    before: usize,
    after: usize,
}

impl Axis {
    /// The axis of the convolution, in which output positions read input positions.
    fn forward(geometry: &Geometry, axis: usize) -> Self {
        let (stride, padding) = (geometry.stride[axis] as isize, geometry.padding[axis] as isize);
        let taps = (0..geometry.kernel[axis])
            .map(|index| {
                let distance = index as isize - padding;
                Tap { index, phase: distance.rem_euclid(stride) as usize, shift: distance.div_euclid(stride) }
            })
            .collect();
        Self::new([geometry.input[axis], geometry.stride[axis]], [geometry.output[axis], 1], vec![taps])
    }

    /// The axis of the input's gradient. In it, each input position reads the output positions that read this
    /// input position in the forward pass.
    pub(crate) fn backward(geometry: &Geometry, axis: usize) -> Self {
        let (stride, padding) = (geometry.stride[axis], geometry.padding[axis]);
        let taps = (0..stride)
            .map(|phase| {
                (0..geometry.kernel[axis])
                    .filter(|index| (phase + padding) % stride == index % stride)
                    .map(|index| {
                        let shift = ((phase + padding) as isize - index as isize) / stride as isize;
                        Tap { index, phase: 0, shift }
                    })
                    .collect()
            })
            .collect();
        Self::new([geometry.output[axis], 1], [geometry.input[axis], stride], taps)
    }

    fn new(
        [read, read_phases]: [usize; 2],
        [written, written_phases]: [usize; 2],
        taps: Vec<Vec<Tap>>,
    ) -> Self {
        let shifts = || taps.iter().flatten().map(|tap| tap.shift);
        let before = shifts().map(|shift| -shift).max().unwrap_or(0).max(0) as usize;
        let after = shifts().max().unwrap_or(0).max(0) as usize;
        Self { read, read_phases, written, written_phases, taps, before, after }
    }

    /// Number of positions that are read.
    pub(crate) const fn read(&self) -> usize {
        self.read
    }

    pub(crate) const fn read_phases(&self) -> usize {
        self.read_phases
    }

    /// Number of positions that are written.
    pub(crate) const fn written(&self) -> usize {
        self.written
    }

    pub(crate) const fn written_phases(&self) -> usize {
        self.written_phases
    }

    /// The taps of each written phase.
    pub(crate) fn taps(&self) -> &[Vec<Tap>] {
        &self.taps
    }

    /// Largest distance at which a tap reads before the written position.
    pub(crate) const fn before(&self) -> usize {
        self.before
    }

    /// Largest distance at which a tap reads after the written position.
    pub(crate) const fn after(&self) -> usize {
        self.after
    }

    /// Number of positions in the longest phase that is written.
    pub(crate) const fn longest_written(&self) -> usize {
        phase_len(self.written, self.written_phases, 0)
    }
}

/// Number of positions in a phase, if all phases together have `len` positions.
pub(crate) const fn phase_len(len: usize, phases: usize, phase: usize) -> usize {
    len.saturating_sub(phase).div_ceil(phases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(input: usize, kernel: usize, stride: usize, padding: usize) -> Geometry {
        Geometry::new([1, 1, input, input], [1, 1, kernel, kernel], [stride; 2], [padding; 2], 1)
    }

    /// Taps of a written position, each with the position that it reads. Taps in the padding are omitted.
    fn reads(axis: &Axis, position: usize) -> Vec<(usize, usize)> {
        let (phase, place) = (position % axis.written_phases, position / axis.written_phases);
        let mut reads: Vec<(usize, usize)> = axis.taps[phase]
            .iter()
            .filter_map(|tap| {
                let within = place as isize + tap.shift;
                let inside =
                    within >= 0 && within < phase_len(axis.read, axis.read_phases, tap.phase) as isize;
                inside.then(|| (tap.index, tap.phase + axis.read_phases * within as usize))
            })
            .collect();
        reads.sort_unstable();
        reads
    }

    #[test]
    fn taps_read_the_positions_of_the_definition() {
        for (input, kernel, stride, padding) in
            [(5, 3, 1, 1), (6, 3, 2, 1), (7, 5, 3, 2), (4, 7, 2, 3), (3, 1, 2, 0), (4, 2, 1, 3), (9, 3, 4, 0)]
        {
            let geometry = geometry(input, kernel, stride, padding);
            let (forward, backward) = (geometry.rows(), Axis::backward(&geometry, 0));
            let pairs = |output: usize| {
                (0..kernel).filter_map(move |tap| {
                    let place = (output * stride + tap).checked_sub(padding)?;
                    (place < input).then_some((tap, place))
                })
            };
            for output in 0..geometry.output[0] {
                assert_eq!(reads(&forward, output), pairs(output).collect::<Vec<_>>());
            }
            for place in 0..input {
                let mut expected: Vec<(usize, usize)> = (0..geometry.output[0])
                    .flat_map(|output| pairs(output).map(move |(tap, place)| (tap, place, output)))
                    .filter_map(|(tap, read, output)| (read == place).then_some((tap, output)))
                    .collect();
                expected.sort_unstable();
                assert_eq!(reads(&backward, place), expected);
            }
        }
    }

    #[test]
    fn axis_of_a_centered_kernel_reads_equally_far_on_both_sides() {
        let axis = geometry(8, 5, 1, 2).rows();
        assert_eq!((axis.before, axis.after, axis.longest_written()), (2, 2, 8));
    }
}
