//! Reads tables of measured kernels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_space::{NumberFormat, Shape};

use super::activations::Activations;
use super::shape::{KernelKind, KernelShape};
use crate::measurements::{CsvFile, NOT_MEASURED, Row};
use crate::{HwError, LatencyUnit};

/// A CSV file of measured kernels, plain or gzipped, in one of two forms:
///
/// - a column `kernel` with descriptions as [`KernelShape`] writes them, such as `kiln hw measure` leaves;
/// - single convolutions in the columns `conv_type` (`Regular` or `Depthwise`), `batch`, `in_c`, `in_h`,
///   `in_w`, `out_c`, `kernel`, `stride` and `elmt_fused` (1 if a tensor is added), as published for a V100.
///   Padding is half the kernel.
///
/// An empty latency or -1 means "not measured". Of a kernel that was measured repeatedly, the median counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Column of the latencies, each of a whole batch.
    pub latency_column: String,
    /// Unit of the latencies.
    pub unit: LatencyUnit,
    /// Format of the convolutions in the second form.
    pub format: NumberFormat,
}

/// A measured kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredKernel {
    /// The kernel.
    pub shape: KernelShape,
    /// Latency of the whole batch in microseconds.
    pub latency_us: f64,
    /// Line of the table at which the kernel appears first, from 1.
    pub line: u64,
}

/// Columns of single convolutions.
const COLUMNS: [&str; 9] =
    ["conv_type", "batch", "in_c", "in_h", "in_w", "out_c", "kernel", "stride", "elmt_fused"];

impl KernelFile {
    /// Reads the measured kernels and the number of rows without a latency.
    ///
    /// # Errors
    /// [`HwError`] that names the file, and line, column and value of a field that cannot be right.
    pub fn read(&self) -> Result<(Vec<MeasuredKernel>, usize), HwError> {
        let table = CsvFile::read(&self.path)?;
        let latency = table.column(&self.latency_column)?;
        let described = table.column(COLUMNS[0]).is_err();
        let columns = if described {
            vec![table.column("kernel")?]
        } else {
            COLUMNS.into_iter().map(|name| table.column(name)).collect::<Result<_, _>>()?
        };
        let mut found: BTreeMap<KernelShape, (u64, Vec<f64>)> = BTreeMap::new();
        let mut not_measured = 0;
        for row in table.rows() {
            let text = row.field(latency);
            let value = if text.is_empty() { NOT_MEASURED } else { text.parse().unwrap_or(f64::NAN) };
            if value.total_cmp(&NOT_MEASURED).is_eq() {
                not_measured += 1;
                continue;
            }
            let latency_us = value * self.unit.us();
            if !(latency_us.is_finite() && (1e-6..1e12).contains(&latency_us)) {
                return Err(row.refuse(latency, "a number above 0, or -1 or nothing if not measured"));
            }
            let shape = if described {
                row.field(columns[0]).parse().map_err(|error: super::shape::NoKernel| {
                    row.refuse(columns[0], error.to_string().trim_start_matches("expected "))
                })?
            } else {
                convolution(&row, &columns, self.format)?
            };
            let line = row.line();
            found.entry(shape).or_insert_with(|| (line, Vec::new())).1.push(latency_us);
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let mut kernels: Vec<MeasuredKernel> = found
            .into_iter()
            .map(|(shape, (line, values))| MeasuredKernel { shape, latency_us: median(values), line })
            .collect();
        kernels.sort_by_key(|kernel| kernel.line);
        Ok((kernels, not_measured))
    }

    /// Returns the file name without its folder.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| self.path.display().to_string())
    }
}

/// Reads a row of the second form.
fn convolution(row: &Row<'_>, columns: &[usize], format: NumberFormat) -> Result<KernelShape, HwError> {
    let number = |place: usize, most: usize| {
        let column = columns[place];
        let found = row.field(column).parse().ok().filter(|found| (1..=most).contains(found));
        found.ok_or_else(|| row.refuse(column, format!("a whole number from 1 to {most}")))
    };
    let (batch, in_c, in_h, in_w) =
        (number(1, 65_536)?, number(2, 1 << 20)?, number(3, 1 << 14)?, number(4, 1 << 14)?);
    let (out_c, kernel, stride) = (number(5, 1 << 20)?, number(6, 255)?, number(7, 255)?);
    let is_depthwise = match row.field(columns[0]) {
        "Regular" => false,
        "Depthwise" => true,
        _ => return Err(row.refuse(columns[0], "`Regular` or `Depthwise`")),
    };
    let adds = match row.field(columns[8]) {
        "0" => false,
        "1" => true,
        _ => return Err(row.refuse(columns[8], "0 or 1")),
    };
    if is_depthwise && in_c != out_c {
        return Err(row.refuse(columns[5], "as many output channels as input channels"));
    }
    let padding = kernel / 2;
    if in_h + 2 * padding < kernel || in_w + 2 * padding < kernel {
        return Err(row.refuse(columns[6], "a kernel that the padded input can hold"));
    }
    let out = |size: usize| (size + 2 * padding - kernel) / stride + 1;
    Ok(KernelShape {
        kind: if is_depthwise { KernelKind::DepthwiseConv } else { KernelKind::Conv },
        batch: batch as u64,
        input: Shape::new(in_c, in_h, in_w),
        output: Shape::new(out_c, out(in_h), out(in_w)),
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        groups: if is_depthwise { in_c } else { 1 },
        tensors: 1,
        adds,
        weights: format,
        activations: format,
        nonlinear: Activations::default(),
    })
}
