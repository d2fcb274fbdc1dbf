//! Fits devices to 100 published measurements and tests the fits on other measurements. The measurements are
//! those of NAS-Bench-201 cells in HW-NAS-Bench (C. Li et al., ICLR 2021). The environment variable
//! `KILN_DATA` must name the folder with the data.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of a test that reports what it found")]

use std::path::{Path, PathBuf};

use kiln_hw_models::{
    Agreement, Calibration, Comparison, Device, KeyFile, LatencyUnit, MeasurementFile, Measurements, Roofline,
};
use kiln_space::spaces::NasBench201;

/// Number of networks in each fit.
const NETWORKS: usize = 100;
/// The test evaluates every `STRIDE`-th of the other networks.
const STRIDE: usize = 10;
/// Seeds of the random draws. The coverage of a single draw varies by about 3 %, so the test averages it over
/// several draws.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

fn measurements(data: &Path, column: &str) -> (String, Measurements) {
    let cells = KeyFile { path: data.join("nasbench201/nasbench201.csv.gz"), on: "index".to_owned() };
    let file = MeasurementFile {
        path: data.join("hw_nas_bench/nasbench201_cifar10.csv.gz"),
        key: "arch".to_owned(),
        key_file: Some(cells),
        latency_column: column.to_owned(),
        unit: LatencyUnit::Ms,
    };
    (file.name(), file.read(&NasBench201::default()).unwrap())
}

fn show(name: &str, seed: u64, agreement: &Agreement) {
    let Agreement { mean_error_percent, median_error_percent, within_a_tenth_percent, spearman, .. } =
        agreement;
    println!(
        "{name:<24} seed {seed}: mean {mean_error_percent:.1} %, median {median_error_percent:.1} %, within \
         10 % {within_a_tenth_percent:.1} %, Spearman {:.3}",
        spearman.unwrap()
    );
}

/// The Cortex-A72 file in which all numbers are assumed.
fn assumed_cortex_a72() -> Device {
    Device::parse("cortex-a72-assumed.toml", include_str!("devices/cortex-a72-assumed.toml")).unwrap()
}

/// Checks limits on the mean error and the median error in percent, and on the rank correlation. The limits
/// apply to networks outside the draw.
fn check_device(data: &Path, device: &Device, column: &str, [mean, median, spearman]: [f64; 3]) {
    let (file, all) = measurements(data, column);
    assert_eq!((all.measured.len(), all.not_measured), (15_625, 0));
    let mut covered = 0.0;
    for seed in SEEDS {
        let (drawn, rest) = all.clone().draw(NETWORKS, seed);
        let rest: Vec<_> = rest.into_iter().step_by(STRIDE).collect();
        let fit = Calibration::new(&file, column).fit(device, &drawn).unwrap();
        let report = &fit.report;
        let before = Comparison::new(&Roofline::new(device.clone(), 1, 1), &rest).unwrap();
        let after = Comparison::new(&Roofline::new(fit.device.clone(), 1, 1), &rest).unwrap();
        show(&format!("{column}, file"), seed, &before.agreement);
        show("  held out of the 100", seed, &report.held_out);
        show("  others", seed, &after.agreement);
        let (before, after_agreement) = (&before.agreement, &after.agreement);
        assert!(after_agreement.mean_error_percent < before.mean_error_percent * 0.7, "{column}\n{report}");
        assert!(
            after_agreement.within_a_tenth_percent > before.within_a_tenth_percent + 20.0,
            "{column}\n{report}"
        );
        assert!(after_agreement.mean_error_percent < mean, "{column}\n{report}");
        assert!(after_agreement.median_error_percent < median, "{column}\n{report}");
        assert!(after_agreement.spearman.unwrap() > spearman, "{column}\n{report}");
        // Cross-validation must predict the error on the other networks.
        let promised = report.held_out.median_error_percent;
        assert!((promised - after_agreement.median_error_percent).abs() < 7.0, "{column}\n{report}");
        println!("  {:.1} % of the others within their intervals", after.within_interval_percent);
        covered += after.within_interval_percent / SEEDS.count() as f64;
    }
    println!("{column}: {covered:.1} % within the interval, mean of the draws\n");
    assert!((85.0..=95.0).contains(&covered), "{column}: {covered} %");
}

#[test]
#[ignore = "needs KILN_DATA: measured latencies of NAS-Bench-201"]
fn fit_to_a_hundred_cells_predicts_the_others() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    let (pi, jetson) = (assumed_cortex_a72(), Device::builtin("jetson-tx2").unwrap());
    check_device(&data, &pi, "raspi4_latency_ms", [20.0, 10.0, 0.95]);
    check_device(&data, &jetson, "edgegpu_latency_ms", [20.0, 14.0, 0.90]);
    check_device(&data, &pi, "pixel3_latency_ms", [20.0, 10.0, 0.95]);
}

#[test]
#[ignore = "needs KILN_DATA: measured latencies of NAS-Bench-201"]
fn fit_to_a_hundred_cells_reproduces_the_cortex_a72_file() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    let (file, all) = measurements(&data, "raspi4_latency_ms");
    let (drawn, others) = all.draw(NETWORKS, 1);
    let fit = Calibration::new(file, "raspi4_latency_ms").fit(&assumed_cortex_a72(), &drawn).unwrap();
    let shipped = Device::builtin("cortex-a72").unwrap();
    let values = |device: &Device| -> Vec<(String, f64)> {
        let numbers = device.numbers().into_iter().filter(|(key, _)| !key.starts_with("error."));
        numbers.map(|(key, number)| (key, number.value)).collect()
    };
    for ((key, fitted), (name, written)) in values(&fit.device).into_iter().zip(values(&shipped)) {
        assert_eq!(key, name);
        // Logarithms differ between machines in the last bits, so the last digit may differ.
        assert!(
            (fitted - written).abs() <= 2e-3 * written.abs(),
            "{key}: {fitted}, {written}: {}",
            fit.report
        );
    }
    assert_eq!(values(&fit.device).len(), values(&shipped).len());
    let comparison = Comparison::new(&Roofline::new(shipped, 1, 1), &others).unwrap();
    show("cortex-a72, other cells", 1, &comparison.agreement);
    println!("  {:.1} % of them within the interval of the file", comparison.within_interval_percent);
    assert!(comparison.agreement.median_error_percent < 7.0 && comparison.within_interval_percent > 90.0);
}

#[test]
#[ignore = "needs KILN_DATA: measured latencies of NAS-Bench-201"]
fn read_counts_and_skips_unmeasured_cells() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    let (_, edge_tpu) = measurements(&data, "edgetpu_latency_ms");
    assert_eq!((edge_tpu.measured.len(), edge_tpu.not_measured), (15_625 - 4_699, 4_699));
}
