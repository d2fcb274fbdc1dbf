//! Tests the model on single convolutions that were measured on a V100 under `TensorRT` (Alibaba,
//! lightweight-neural-architecture-search) in three number formats. The tests cover efficiencies,
//! predictions, and the speedup of narrow formats. The environment variable `KILN_DATA` must name the folder
//! with the data.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of a test that reports what it found")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use kiln_hw_models::{CostModel, Device, Roofline, spearman};
use kiln_space::{Architecture, ArchitectureBuilder, LayerId, NumberFormat, Precision, Shape, Sparsity};

/// One of every `STRIDE` convolutions is used to derive the efficiencies. Another one is predicted.
const STRIDE: usize = 4;
/// Minimum time of a convolution at the peak rate, in microseconds. Shorter convolutions are not used to
/// derive the efficiencies.
const LONG_US: f64 = 20.0;

/// The shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Convolution {
    depthwise: bool,
    batch: usize,
    in_c: usize,
    height: usize,
    width: usize,
    out_c: usize,
    kernel: usize,
    stride: usize,
}

impl Convolution {
    fn architecture(&self, format: NumberFormat) -> Architecture {
        let mut b = ArchitectureBuilder::new(Shape::new(self.in_c, self.height, self.width));
        b.set_input_format(format);
        b.set_compression(Precision::uniform(format), Sparsity::Dense);
        let groups = if self.depthwise { self.in_c } else { 1 };
        b.conv("conv", b.input(), self.out_c, self.kernel, self.stride, groups).unwrap();
        b.finish().unwrap()
    }

    /// Returns the compute time and the memory time of activations, in microseconds at a device's peak rates.
    fn at_the_peaks(&self, device: &Device, format: NumberFormat) -> [f64; 2] {
        let architecture = self.architecture(format);
        let macs = architecture.layer_counts(LayerId(1)).macs * self.batch as u64;
        let values = self.in_c * self.height * self.width + architecture.output().elements();
        let bytes = format.bytes((self.batch * values) as u64);
        let seconds = [
            macs as f64 / device.macs_per_s(format).unwrap(),
            bytes as f64 / device.memory.external_bytes_per_s.value,
        ];
        seconds.map(|seconds| seconds * 1e6)
    }

    fn predicted_us(&self, device: &Device, format: NumberFormat) -> f64 {
        let model = Roofline::new(device.clone(), self.batch as u64, 1);
        model.network(&self.architecture(format)).unwrap().latency_us.value
    }
}

/// Reads the latencies in microseconds of all convolutions without a fused addition.
fn measurements(data: &Path, file: &str) -> BTreeMap<Convolution, f64> {
    let path = data.join(format!("v100_conv_ops/v100_tensorrt_{file}.csv.gz"));
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path).unwrap()));
    let rows = reader.records().filter_map(|record| {
        let record = record.unwrap();
        let number = |column: usize| record[column].parse::<usize>().unwrap();
        let latency_ms: f64 = record[9].parse().unwrap();
        let convolution = Convolution {
            depthwise: &record[0] == "Depthwise",
            batch: number(1),
            in_c: number(2),
            height: number(3),
            width: number(4),
            out_c: number(5),
            kernel: number(6),
            stride: number(7),
        };
        (latency_ms > 0.0 && number(8) == 0).then_some((convolution, latency_ms * 1e3))
    });
    rows.collect()
}

fn quantiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [5, 50, 95].map(|percent| values[values.len() * percent / 100])
}

/// The measurements in one number format.
struct Table {
    name: &'static str,
    format: NumberFormat,
    measured: BTreeMap<Convolution, f64>,
}

impl Table {
    /// Returns the median fraction of the peak rate. Among dense convolutions, only compute-bound ones count.
    fn share(&self, device: &Device, depthwise: bool, among: &BTreeSet<Convolution>) -> f64 {
        let rows = self.measured.iter().filter(|(c, _)| c.depthwise == depthwise && among.contains(c));
        let shares = rows.filter_map(|(convolution, measured_us)| {
            let [compute_us, memory_us] = convolution.at_the_peaks(device, self.format);
            let counts = compute_us.max(memory_us) > LONG_US && (depthwise || compute_us > memory_us);
            counts.then_some(compute_us / measured_us)
        });
        quantiles(shares.collect())[1]
    }

    /// Prints the agreement of predictions and returns their rank correlation.
    fn agreement(&self, device: &Device, depthwise: bool, among: &BTreeSet<Convolution>) -> f64 {
        let rows = self.measured.iter().filter(|(c, _)| c.depthwise == depthwise && among.contains(c));
        let pairs = rows.map(|(c, measured_us)| (c.predicted_us(device, self.format), *measured_us));
        let (predicted, measured): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let ratios: Vec<f64> = measured.iter().zip(&predicted).map(|(m, p)| m / p).collect();
        let within = ratios.iter().filter(|ratio| (1.0 / 3.0..=3.0).contains(*ratio)).count();
        let rank = spearman(&predicted, &measured).unwrap();
        println!(
            "{}, depthwise {depthwise}, {} convolutions: Spearman {rank:.3}, {:.1} % within a factor of 3, \
             measured / predicted {:.2?}",
            self.name,
            ratios.len(),
            100.0 * within as f64 / ratios.len() as f64,
            quantiles(ratios),
        );
        rank
    }
}

/// Prints the median speedup of the narrow format.
fn print_gain(device: &Device, wide: &Table, narrow: &Table, among: &BTreeSet<Convolution>) {
    for (depthwise, batch) in [(false, 1), (false, 32), (false, 128), (true, 1), (true, 32), (true, 128)] {
        let rows = among.iter().filter(|c| c.depthwise == depthwise && c.batch == batch);
        let gains = rows.filter_map(|c| {
            let measured = wide.measured.get(c)? / narrow.measured.get(c)?;
            Some((measured, c.predicted_us(device, wide.format) / c.predicted_us(device, narrow.format)))
        });
        let (measured, predicted): (Vec<f64>, Vec<f64>) = gains.unzip();
        println!(
            "{} over {}, depthwise {depthwise}, batch {batch}, {} convolutions: median gain measured {:.2}, \
             predicted {:.2}",
            narrow.name,
            wide.name,
            measured.len(),
            quantiles(measured)[1],
            quantiles(predicted)[1],
        );
    }
}

#[test]
#[ignore = "needs KILN_DATA: measured convolutions"]
fn v100_convolutions_confirm_efficiencies_and_ranks() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    let device = Device::parse("v100.toml", include_str!("devices/v100.toml")).unwrap();
    let formats = [("fp32", NumberFormat::F32), ("fp16", NumberFormat::F16), ("int8", NumberFormat::Int8)];
    let formats = formats.map(|(name, format)| Table { name, format, measured: measurements(&data, name) });
    let all: BTreeSet<Convolution> = formats.iter().flat_map(|f| f.measured.keys().copied()).collect();
    let every = |first: usize| all.iter().copied().skip(first).step_by(STRIDE).collect::<BTreeSet<_>>();
    let (some, others) = (every(0), every(STRIDE / 2));

    let shares =
        formats.each_ref().map(|f| [false, true].map(|depthwise| f.share(&device, depthwise, &some)));
    println!(
        "shares of the peak, dense and depthwise: fp32 {:.3?}, fp16 {:.3?}, int8 {:.3?}",
        shares[0], shares[1], shares[2]
    );
    // devices/h200.toml takes the dense efficiency from f16 and the depthwise efficiency from f32.
    let h200 = Device::builtin("h200").unwrap().efficiency;
    assert!((h200.dense_conv.value - shares[1][0]).abs() < 0.02, "{shares:?}");
    assert!((h200.depthwise_conv.value - shares[0][1]).abs() < 0.01, "{shares:?}");

    for format in &formats {
        let [dense, depthwise] = [false, true].map(|depthwise| format.agreement(&device, depthwise, &others));
        assert!(dense > 0.9 && depthwise > 0.9, "{}: {dense}, {depthwise}", format.name);
    }
    for (wide, narrow) in [(0, 1), (0, 2), (1, 2)] {
        print_gain(&device, &formats[wide], &formats[narrow], &others);
    }
}
