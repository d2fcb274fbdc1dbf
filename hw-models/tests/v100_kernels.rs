//! Predictors of single convolutions, fitted to measurements on a V100 under `TensorRT` (Alibaba,
//! lightweight-neural-architecture-search) and judged on others. The environment variable `KILN_DATA` must
//! name the folder with the data. `KILN_V100_KERNELS` is the number of kernels of each format (default 4000);
//! with all of them, a fit takes minutes.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of a test that reports what it found")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_hw_models::{
    Agreement, CostModel, Device, KernelFile, Kernels, KernelsReport, LatencyUnit, MeasuredKernel,
};
use kiln_space::NumberFormat;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

/// Seed of the split: a fifth of the kernels is judged.
const SEED: u64 = 0;

#[test]
#[ignore = "needs KILN_DATA: measured convolutions"]
fn predictors_of_v100_convolutions_agree_with_held_out_ones() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    let device = Device::parse("v100.toml", include_str!("devices/v100.toml")).unwrap();
    let count = std::env::var("KILN_V100_KERNELS").map_or(4000, |count| count.parse().unwrap());
    // Smallest share within 10 % from all kernels, and from a part of them.
    let formats = [
        ("fp32", NumberFormat::F32, [90.0, 60.0]),
        ("fp16", NumberFormat::F16, [80.0, 45.0]),
        ("int8", NumberFormat::Int8, [90.0, 60.0]),
    ];
    for (name, format, least) in formats {
        let path = data.join(format!("v100_conv_ops/v100_tensorrt_{name}.csv.gz"));
        let file = KernelFile { path, latency_column: "latency".to_owned(), unit: LatencyUnit::Ms, format };
        let (mut kernels, not_measured) = file.read().unwrap();
        let least = least[usize::from(count < kernels.len())];
        kernels.shuffle(&mut Pcg64::seed_from_u64(SEED));
        kernels.truncate(count);
        let all = kernels.len();
        let begin = std::time::Instant::now();
        let (fitted, report) = KernelsReport::fit(&kernels, &device, "v100", 1, SEED).unwrap();
        println!(
            "{name}: {all} kernels measured, {not_measured} not; fitted to four fifths in {:.0} s, a file of {} \
             bytes; on the other fifth, {report:#?}",
            begin.elapsed().as_secs_f64(),
            fitted.to_toml().len()
        );

        // The interval rests on the fifth that was held out, so it is judged on kernels that no part saw.
        let judged = kernels.split_off(all / 4);
        let (fitted, _) = KernelsReport::fit(&kernels, &device, "v100", 1, SEED).unwrap();
        let models: BTreeMap<u64, Kernels> = [1, 32, 64, 128]
            .map(|batch| (batch, Kernels::new(fitted.clone(), Some(batch)).unwrap()))
            .into_iter()
            .collect();
        let (mut pairs, mut inside) = (Vec::new(), 0);
        for MeasuredKernel { shape, latency_us, .. } in judged.iter().take(8000) {
            let network = shape.network().unwrap();
            // An added tensor of another shape is left out of a network of one kernel.
            if shape.adds && shape.input != shape.output {
                continue;
            }
            let found = models[&shape.batch].network(&network).unwrap().latency_us;
            inside += usize::from((found.low..=found.high).contains(latency_us));
            pairs.push((found.value, *latency_us));
        }
        let found = Agreement::new(&pairs);
        let coverage = 100.0 * inside as f64 / pairs.len() as f64;
        println!(
            "{name}: fitted to a quarter, {} others: {:.1} % within 10 %, {coverage:.1} % inside the 90 % interval",
            found.networks, found.within_a_tenth_percent
        );
        let within = report.formats[0].held_out.within_a_tenth_percent;
        assert!(within >= least, "{name}: {within}");
        assert!((85.0..=97.0).contains(&coverage), "{name}: {coverage}");
    }
}
