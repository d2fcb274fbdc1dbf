//! The convolution kernels alone, beside what the processor can do: a roofline of this machine.
//!
//! `cargo run --release -p kiln-kernels --example roofline -- [REPEATS] [FILTER]` prints one table: for the
//! convolutions of typical small networks, GFLOP/s forward, of the gradient of the input and of the gradient of the
//! weight, without burn and without the allocation of tensors. `RAYON_NUM_THREADS` sets the threads; the share is that
//! of as many times what one thread reaches with nothing but multiply-adds in registers.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]
// The kernels have no public entry below tensors, so their files are compiled into this program as they are.
#![allow(dead_code, unreachable_pub, reason = "the table needs only a part of the modules")]

use std::time::Instant;

#[path = "../src/convolution.rs"]
mod convolution;
#[path = "../src/correlation.rs"]
mod correlation;
#[path = "../src/correlation_task.rs"]
mod correlation_task;
#[path = "../src/depthwise.rs"]
mod depthwise;
#[path = "../src/depthwise_gradient.rs"]
mod depthwise_gradient;
#[path = "../src/epilogue.rs"]
mod epilogue;
#[path = "../src/geometry.rs"]
mod geometry;
#[path = "../src/instruction_set.rs"]
mod instruction_set;
#[path = "../src/lines.rs"]
mod lines;
#[path = "../src/memory.rs"]
mod memory;
#[path = "../src/outer_products.rs"]
mod outer_products;
#[path = "../src/packing.rs"]
mod packing;
#[path = "../src/simd/mod.rs"]
mod simd;
#[path = "../src/sums.rs"]
mod sums;
#[path = "../src/tile.rs"]
mod tile;
#[path = "../src/unpacking.rs"]
mod unpacking;
#[path = "../src/weight_gradient.rs"]
mod weight_gradient;
#[path = "../src/weight_slice.rs"]
mod weight_slice;

use epilogue::Epilogue;
use geometry::Geometry;
use instruction_set::InstructionSet;
use simd::{Kernel, Simd};
use weight_slice::{Places, WeightSlice, WeightValues};

const BATCH: usize = 64;

/// Floats of an array that is copied: as many as the values of 64 channels of 32x32.
const COPIED: usize = BATCH * 64 * 32 * 32;

/// Input channels, output channels, groups, size of the image, kernel, stride.
const CASES: [[usize; 6]; 35] = [
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

/// Multiply-adds in twelve registers, as in the kernels' inner loops.
struct Peak(usize);

impl Kernel for Peak {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat(0.999);
        let mut sums = [simd.splat(0.5); 12];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| simd.sum(sum)).sum()
    }
}

/// GFLOP/s of one thread.
fn peak(set: InstructionSet) -> f64 {
    const STEPS: usize = 1_000_000;
    let best = fastest(9, || set.run(Peak(STEPS)));
    (STEPS * 12 * set.lanes() * 2) as f64 * 1e-9 / best
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed().as_secs_f64()
}

/// The fastest of several runs, which other work on the machine has disturbed least.
fn fastest<T>(repeats: usize, work: impl Fn() -> T) -> f64 {
    (0..=repeats).map(|_| seconds(&work)).min_by(f64::total_cmp).unwrap_or(f64::NAN)
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|index| ((index * 7919 % 1000) as f32 - 500.0) * 1e-3).collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let repeats = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(15);
    let filter = arguments.next().unwrap_or_default();
    let set = InstructionSet::current();
    let threads = rayon::current_num_threads();
    let peak = peak(set) * threads as f64;
    let (from, mut to) = (vec![1.0f32; COPIED], vec![0.0f32; COPIED]);
    let copy = (0..9).map(|_| seconds(|| to.copy_from_slice(std::hint::black_box(&from))));
    let copied = COPIED as f64 * 4e-9 / copy.min_by(f64::total_cmp).unwrap_or(f64::NAN);
    println!("one thread copies an array of 16 MiB at {copied:.1} GB/s\n");
    println!("batch {BATCH}, {threads} threads, {}, peak {peak:.0} GFLOP/s, best of {repeats}\n", set.name());
    println!("| convolution | image | MFLOP | forward | input gradient | weight gradient | both gradients |");
    println!("|---|---|---|---|---|---|---|");
    let mut total = [0.0; 4];
    for [inputs, outputs, groups, size, kernel, stride] in CASES {
        let depthwise = if groups > 1 { "depthwise " } else { "" };
        let name = format!("{depthwise}{kernel}x{kernel} {inputs}-{outputs} /{stride}");
        if !format!("{name} {size}").contains(&filter) {
            continue;
        }
        let weight_shape = [outputs, inputs / groups, kernel, kernel];
        let padding = [kernel / 2; 2];
        let geometry = Geometry::new([BATCH, inputs, size, size], weight_shape, [stride; 2], padding, groups);
        let pixels = geometry.output[0] * geometry.output[1];
        let weights = weight_shape.iter().product::<usize>();
        let operations = (2 * BATCH * pixels * weights) as f64;
        let x = values(BATCH * inputs * size * size);
        let (whole, places) = (values(weights), Places::new(&WeightSlice::whole(weight_shape), weight_shape));
        let weight = WeightValues { values: &whole, places: &places };
        let gradient = values(BATCH * outputs * pixels);
        let times = [
            fastest(repeats, || convolution::forward(set, &geometry, &x, weight, None, Epilogue::Nothing)),
            fastest(repeats, || convolution::input_gradient(set, &geometry, weight, &gradient)),
            fastest(repeats, || {
                let mut sums = vec![0.0; weights];
                convolution::weight_gradient(set, &geometry, &x, &gradient, |output, input, tap, value| {
                    sums[places.at(output, input, tap)] += value;
                });
                sums
            }),
            fastest(repeats, || {
                let mut sums = vec![0.0; weights];
                let add = |output, input, tap, value| sums[places.at(output, input, tap)] += value;
                let x = convolution::gradients(set, &geometry, &x, weight, &gradient, add);
                (x, sums)
            }),
        ];
        for (total, time) in total.iter_mut().zip(times) {
            *total += time;
        }
        let cells = [0, 1, 2, 3].map(|kind| {
            let (time, products) = (times[kind], if kind == 3 { 2.0 } else { 1.0 });
            let rate = products * operations * 1e-9 / time;
            format!("{rate:.0} ({:.0} %) {:.2} ms", 100.0 * rate / peak, time * 1e3)
        });
        println!("| {name} | {size}x{size} | {:.1} | {} |", operations * 1e-6, cells.join(" | "));
    }
    println!("\nms altogether: {:?}", total.map(|seconds| (seconds * 1e4).round() * 1e-1));
}
