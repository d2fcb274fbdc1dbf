//! Measures the roofline of the kernels on this machine, without burn.
//!
//! `cargo run --release -p kiln-kernels --example roofline -- [REPEATS] [FILTER] [BATCH]` prints one table.
//! It shows the GFLOP/s of the forward pass, of the input's gradient and of the weight's gradient, for the
//! convolutions and fully connected layers of typical small networks. `RAYON_NUM_THREADS` sets the number of
//! threads. The peak is measured on one thread that only executes multiply-adds in registers, and multiplied
//! by the number of threads.
#![allow(clippy::print_stdout, reason = "this program prints a table")]

use std::hint::black_box;

use kiln_kernels::InstructionSet;
use kiln_kernels::measurement::{self, Seconds, fastest};

/// Default number of images.
const BATCH: usize = 64;

/// Number of floats in the array that is copied: a batch of images with 64 channels of 32x32.
const COPIED: usize = BATCH * 64 * 32 * 32;

/// For each convolution: input channels, output channels, groups, size of the image, kernel, stride.
const CONVOLUTIONS: [[usize; 6]; 35] = [
    [3, 16, 1, 32, 3, 1],
    [1, 16, 1, 28, 3, 2],
    [16, 64, 1, 32, 1, 1],
    [64, 16, 1, 32, 1, 1],
    [24, 96, 1, 16, 1, 1],
    [96, 24, 1, 16, 1, 1],
    [24, 96, 1, 14, 1, 1],
    [96, 24, 1, 14, 1, 1],
    [32, 96, 1, 8, 1, 1],
    [96, 32, 1, 8, 1, 1],
    [32, 96, 1, 7, 1, 1],
    [96, 32, 1, 7, 1, 1],
    [96, 96, 1, 4, 1, 1],
    [64, 64, 64, 32, 3, 1],
    [64, 64, 64, 32, 3, 2],
    [96, 96, 96, 16, 3, 1],
    [96, 96, 96, 16, 5, 1],
    [96, 96, 96, 16, 3, 2],
    [96, 96, 96, 16, 5, 2],
    [96, 96, 96, 14, 3, 1],
    [96, 96, 96, 14, 5, 2],
    [96, 96, 96, 8, 3, 1],
    [96, 96, 96, 8, 5, 1],
    [96, 96, 96, 7, 3, 1],
    [96, 96, 96, 7, 5, 1],
    [96, 96, 96, 4, 3, 1],
    [16, 16, 1, 32, 3, 1],
    [16, 32, 1, 32, 3, 2],
    [64, 64, 1, 28, 3, 1],
    [64, 64, 1, 14, 3, 1],
    [32, 32, 1, 16, 3, 1],
    [32, 64, 1, 16, 3, 2],
    [64, 64, 1, 8, 3, 1],
    [16, 16, 1, 32, 1, 1],
    [64, 64, 1, 8, 1, 1],
];

/// For each layer: inputs and outputs.
const LAYERS: [[usize; 2]; 4] = [[784, 256], [256, 256], [256, 10], [1280, 1000]];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let repeats = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(15);
    let filter = arguments.next().unwrap_or_default();
    let batch = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(BATCH);
    let (set, threads) = (InstructionSet::current(), rayon::current_num_threads());
    let peak = measurement::peak() * threads as f64;
    let (from, mut to) = (vec![1.0f32; COPIED], vec![0.0f32; COPIED]);
    let copied = COPIED as f64 * 4e-9 / fastest(9, || to.copy_from_slice(black_box(&from)));
    println!("one thread copies an array of 16 MiB at {copied:.1} GB/s\n");
    println!("batch {batch}, {threads} threads, {}, peak {peak:.0} GFLOP/s, best of {repeats}\n", set.name());
    println!("| layer | image | MFLOP | forward | input gradient | weight gradient | both gradients |");
    println!("|---|---|---|---|---|---|---|");
    let mut total = [0.0; 4];
    let mut row = |name: &str, size: &str, seconds: &dyn Fn() -> Seconds| {
        if !format!("{name} {size}").contains(&filter) {
            return;
        }
        let Seconds { operations, forward, input, weight, both } = seconds();
        let times = [forward, input, weight, both];
        for (total, time) in total.iter_mut().zip(times) {
            *total += time;
        }
        let cells = [0, 1, 2, 3].map(|kind| {
            let (time, products) = (times[kind], if kind == 3 { 2.0 } else { 1.0 });
            let rate = products * operations * 1e-9 / time;
            format!("{rate:.0} ({:.0} %) {:.2} ms", 100.0 * rate / peak, time * 1e3)
        });
        println!("| {name} | {size} | {:.1} | {} |", operations * 1e-6, cells.join(" | "));
    };
    for [inputs, outputs, groups, size, kernel, stride] in CONVOLUTIONS {
        let depthwise = if groups > 1 { "depthwise " } else { "" };
        let name = format!("{depthwise}{kernel}x{kernel} {inputs}-{outputs} /{stride}");
        let (image, weight) = ([batch, inputs, size, size], [outputs, inputs / groups, kernel, kernel]);
        row(&name, &format!("{size}x{size}"), &|| {
            measurement::convolution(repeats, image, weight, stride, groups)
        });
    }
    for [inputs, outputs] in LAYERS {
        row(&format!("connected {inputs}-{outputs}"), "", &|| {
            measurement::linear(repeats, [batch, inputs, outputs])
        });
    }
    println!("\nms altogether: {:?}", total.map(|seconds| (seconds * 1e4).round() * 1e-1));
}
