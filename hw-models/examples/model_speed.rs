//! How long cost models take for a network. Run it alone, in release.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that prints what it measures")]

use std::hint::black_box;
use std::time::Instant;

use kiln_hw_models::{
    CostModel, Device, KernelTable, Kernels, KernelsReport, MeasuredKernel, Roofline, Schedule,
    distinct_kernels,
};
use kiln_space::spaces::NasBench201;
use kiln_space::{Architecture, SearchSpace, variation};
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Microseconds of one call for each network, the best of five rounds.
fn each_us(networks: &[Architecture], mut call: impl FnMut(usize, &Architecture)) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        networks.iter().enumerate().for_each(|(place, network)| call(place, network));
        begin.elapsed().as_secs_f64() * 1e6 / networks.len() as f64
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    let space = NasBench201::default();
    let mut rng = Pcg64::seed_from_u64(0);
    let networks: Vec<Architecture> =
        (0..500).map(|_| space.decode(&variation::sample(&space, &mut rng)).unwrap()).collect();
    let device = Device::builtin("cortex-a72").unwrap();
    let kernel = |shape| MeasuredKernel { shape, latency_us: 5.0 + shape.operations() / 1e3, line: 1 };
    let kernels: Vec<_> = distinct_kernels(&space, 1, 0, 1000).into_iter().map(kernel).collect();
    let (fitted, _) = KernelsReport::fit(&kernels, &device, "speed", 1, 0).unwrap();

    let table = KernelTable::new(fitted.clone(), None).unwrap();
    // A table knows the kernels of sampled networks, which are not all.
    let networks: Vec<Architecture> =
        networks.into_iter().filter(|network| table.network(network).is_ok()).collect();
    let count = networks.len() as f64;
    let layers: usize = networks.iter().map(|network| network.layers.len()).sum();
    let schedules: Vec<Schedule> = networks.iter().map(Schedule::new).collect();
    let looked_up = each_us(&networks, |place, network| {
        black_box(table.latency_us(network, &schedules[place]).unwrap());
    });
    let kernels_of: usize = schedules.iter().map(|schedule| schedule.kernels.len()).sum();
    let fusion = each_us(&networks, |_, network| {
        black_box(Schedule::new(network));
    });
    let (each_layers, each_kernels) = (layers as f64 / count, kernels_of as f64 / count);
    println!(
        "networks of {each_layers:.0} layers, {each_kernels:.0} kernels; fusion {fusion:.1} us; `table` of {} \
         kernels, look-up {looked_up:.2} us: {:.1} million layers, {:.1} million kernels a second",
        table.len(),
        each_layers / looked_up,
        each_kernels / looked_up
    );
    let models: [(&str, Box<dyn CostModel>); 3] = [
        ("roofline", Box::new(Roofline::new(device, 1, 1))),
        ("kernels", Box::new(Kernels::new(fitted, None).unwrap())),
        ("table", Box::new(table)),
    ];
    for (name, model) in &models {
        let us = each_us(&networks, |_, network| {
            black_box(model.network(network).unwrap());
        });
        println!("`{name}`: {us:.1} us a network");
    }
}
