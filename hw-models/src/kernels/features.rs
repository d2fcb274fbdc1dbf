//! What a regression knows of a kernel: logarithms of its work and shape, and how well its sizes fit the
//! blocks in which hardware computes.

use super::shape::KernelShape;

/// Multiples that channels are rounded up to, by vector units and matrix units.
const MULTIPLES: [usize; 3] = [8, 16, 32];
/// Blocks of the matrix product that a convolution is: outputs by output channels.
const BLOCKS: [[f64; 2]; 4] = [[128.0, 128.0], [256.0, 64.0], [64.0, 64.0], [32.0, 128.0]];
/// Units that compute blocks at the same time.
const UNITS: f64 = 80.0;

/// The simplest account of a kernel's time: the larger of the time of its operations and the time of its
/// bytes, after an overhead.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "each name ends with its unit")]
pub(super) struct Base {
    /// Operations in a microsecond.
    pub(super) operations_per_us: f64,
    /// Bytes in a microsecond.
    pub(super) bytes_per_us: f64,
    /// Microseconds of every kernel.
    pub(super) overhead_us: f64,
}

impl Base {
    /// Rates and overhead that the fastest of these kernels reach. There is at least one kernel.
    pub(super) fn of(kernels: &[(KernelShape, f64)]) -> Self {
        let quantile = |share: f64, value: &dyn Fn(&KernelShape, f64) -> f64| {
            let mut values: Vec<f64> = kernels.iter().map(|(shape, us)| value(shape, *us)).collect();
            values.sort_by(f64::total_cmp);
            let place = (share * (values.len().saturating_sub(1)) as f64).round() as usize;
            values.get(place).copied().unwrap_or(1.0)
        };
        Self {
            operations_per_us: quantile(0.95, &|shape, us| shape.operations() / us),
            bytes_per_us: quantile(0.95, &|shape, us| shape.bytes().iter().sum::<f64>() / us),
            overhead_us: 0.8 * quantile(0.02, &|_, us| us),
        }
    }

    pub(super) fn latency_us(&self, shape: &KernelShape) -> f64 {
        let bytes: f64 = shape.bytes().iter().sum();
        (shape.operations() / self.operations_per_us).max(bytes / self.bytes_per_us) + self.overhead_us
    }

    pub(super) fn is_usable(&self) -> bool {
        let usable = |value: f64| value.is_finite() && (1e-12..1e18).contains(&value);
        [self.operations_per_us, self.bytes_per_us, self.overhead_us].into_iter().all(usable)
    }
}

/// Features for smooth regressions: few, and on scales where equal steps matter alike.
pub(super) fn few(shape: &KernelShape, base: &Base) -> Vec<f64> {
    let log = |value: usize| (value as f64).ln();
    let [read, written, weights] = shape.bytes();
    let [nonlinear, costly] = shape.nonlinear.counts();
    let [share_in, share_out] = [shape.input.channels, shape.output.channels].map(|c| filled(c, 16));
    vec![
        shape.operations().ln(),
        read.ln(),
        written.ln(),
        (1.0 + weights).ln(),
        base.latency_us(shape).ln(),
        log(shape.input.channels),
        log(shape.output.channels),
        log(shape.output.positions()),
        log(shape.output.width),
        log(shape.kernel[0] * shape.kernel[1]),
        log(shape.stride[0] * shape.stride[1]),
        log(shape.groups),
        log(shape.tensors),
        (shape.batch as f64).ln(),
        f64::from(u8::from(shape.adds)),
        nonlinear as f64,
        costly as f64,
        share_in,
        share_out,
    ]
}

/// Features for trees: those of [`few`], raw sizes, and how the kernel's matrix product divides into blocks.
pub(super) fn many(shape: &KernelShape, base: &Base) -> Vec<f64> {
    let mut features = few(shape, base);
    let [inputs, outputs] = [shape.input.channels, shape.output.channels];
    let window = (shape.kernel[0] * shape.kernel[1]) as f64;
    let rows = shape.output.positions() as f64 * shape.batch as f64;
    let depth = window * inputs as f64 / shape.groups as f64;
    features.extend([
        rows.ln(),
        depth.ln(),
        (rows / outputs as f64).ln(),
        (shape.operations() / shape.bytes().iter().sum::<f64>()).ln(),
        shape.input.height as f64,
        shape.input.width as f64,
        shape.output.height as f64,
    ]);
    for multiple in MULTIPLES {
        features.extend([filled(inputs, multiple), filled(outputs, multiple)]);
    }
    features.extend([64, 128].map(|multiple| filled(outputs, multiple)));
    for [tall, wide] in BLOCKS {
        let blocks = (rows / tall).ceil() * (outputs as f64 / wide).ceil();
        let waves = (blocks / UNITS).ceil();
        features.extend([(waves * tall * wide * depth).ln(), blocks / (UNITS * waves)]);
    }
    // Winograd's method computes blocks of 2 x 2 or 4 x 4 outputs.
    for side in [2, 4] {
        let blocks = shape.output.height.div_ceil(side) * shape.output.width.div_ceil(side);
        features.push((blocks as f64 * shape.batch as f64).ln());
    }
    features
}

/// The share of a size among the multiple that it is rounded up to.
fn filled(size: usize, multiple: usize) -> f64 {
    size as f64 / (size.div_ceil(multiple) * multiple) as f64
}
