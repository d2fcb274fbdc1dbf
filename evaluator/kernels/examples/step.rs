//! Times a training step of convolution, batch normalization and ReLU, with burn's own operations and with
//! these kernels.
//!
//! `cargo run --release -p kiln-kernels --example step [REPEATS]` prints one table. Steps with burn's
//! operations and with these kernels run alternately, so that other work on the machine disturbs both. Times
//! are medians over forward and backward pass. On Linux, the program also prints the time during which the
//! threads were running. With one thread (`RAYON_NUM_THREADS=1`), the running time measures the kernels even
//! if the machine is busy.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::fs;
use std::thread;
use std::time::Instant;

use burn::tensor::activation::relu;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, module};
use kiln_kernels::{Activation, InstructionSet, batch_norm_activation_train, conv2d};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const BATCH: usize = 64;

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    channels: usize,
    kernel: usize,
    depthwise: bool,
}

impl Case {
    fn weight(&self) -> [usize; 4] {
        [self.channels, if self.depthwise { 1 } else { self.channels }, self.kernel, self.kernel]
    }

    fn groups(&self) -> usize {
        if self.depthwise { self.channels } else { 1 }
    }
}

fn tensor<const D: usize>(rng: &mut Pcg64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::<D>::from_data(TensorData::new(values, shape), device).require_grad()
}

struct Inputs {
    x: Tensor<4>,
    weight: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
}

/// Seconds that the threads of this process have run. Returns `None` if the operating system does not report
/// this time.
fn running() -> Option<f64> {
    // The operating system updates a thread's running time when the thread stops running, so this thread
    // yields first.
    thread::yield_now();
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = tasks.map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(nanoseconds.sum::<Option<u64>>()? as f64 * 1e-9)
}

/// Seconds of one step: elapsed time, and running time of the threads.
fn step(case: Case, inputs: &Inputs, ours: bool) -> [f64; 2] {
    let (x, weight) = (inputs.x.clone(), inputs.weight.clone());
    let (scale, shift) = (inputs.scale.clone(), inputs.shift.clone());
    let padding = [case.kernel / 2; 2];
    let before = running();
    let start = Instant::now();
    let output = if ours {
        let output = conv2d(x, weight, None, [1, 1], padding, case.groups());
        batch_norm_activation_train(output, scale, shift, 1e-5, Activation::Relu).output
    } else {
        let output =
            module::conv2d(x, weight, None, ConvOptions::new([1, 1], padding, [1, 1], case.groups()));
        relu(module::batch_norm_train(output, scale, shift, 1e-5).output)
    };
    let gradients = output.sum().backward();
    let passed = start.elapsed().as_secs_f64();
    let run = running().zip(before).map_or(f64::NAN, |(after, before)| after - before);
    assert!(inputs.x.grad(&gradients).is_some(), "the input is tracked");
    [passed, run]
}

/// Medians of elapsed time and running time, in milliseconds.
fn median(times: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|kind| {
        let mut times: Vec<f64> = times.iter().map(|times| times[kind] * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn main() {
    let repeats = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(15);
    let device = Device::flex().autodiff();
    let threads = rayon::current_num_threads();
    println!("batch {BATCH}, {threads} threads, {}, {repeats} repeats\n", InstructionSet::current().name());
    println!(
        "| kernel | channels | image | burn ms | ours ms | burn / ours | run: burn ms | ours ms | \
         burn / ours |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, kernel, depthwise) in
        [("dense 3x3", 3, false), ("depthwise 3x3", 3, true), ("dense 1x1", 1, false)]
    {
        for channels in [16, 32, 64] {
            for size in [8, 14, 28] {
                let case = Case { name, channels, kernel, depthwise };
                let mut rng = Pcg64::seed_from_u64(1);
                let inputs = Inputs {
                    x: tensor(&mut rng, [BATCH, channels, size, size], &device),
                    weight: tensor(&mut rng, case.weight(), &device),
                    scale: tensor(&mut rng, [channels], &device),
                    shift: tensor(&mut rng, [channels], &device),
                };
                let (mut burn, mut ours) = (Vec::new(), Vec::new());
                for repeat in 0..repeats + 2 {
                    let times = (step(case, &inputs, false), step(case, &inputs, true));
                    // The first two runs warm up caches and allocator.
                    if repeat >= 2 {
                        burn.push(times.0);
                        ours.push(times.1);
                    }
                }
                let ([burn, burn_run], [ours, ours_run]) = (median(&burn), median(&ours));
                println!(
                    "| {} | {channels} | {size}x{size} | {burn:.2} | {ours:.2} | {:.1} | {burn_run:.2} | \
                     {ours_run:.2} | {:.1} |",
                    case.name,
                    burn / ours,
                    burn_run / ours_run,
                );
            }
        }
    }
}
