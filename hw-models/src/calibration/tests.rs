use kiln_space::{Architecture, ArchitectureBuilder, LayerId, Op, PoolKind, Shape, SpaceError};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::*;
use crate::{Comparison, CostModel, Schedule};

/// Builds a chain of one to four layers with random kinds and sizes.
fn network(rng: &mut dyn Rng) -> Result<Architecture, SpaceError> {
    let channels = 8 << rng.random_range(0..4);
    let size = 1 << rng.random_range(0..6);
    let mut b = ArchitectureBuilder::new(Shape::new(channels, size, size));
    let mut x = b.input();
    for i in 0..rng.random_range(1..=4) {
        x = layer(&mut b, &format!("layer{i}"), x, rng)?;
    }
    b.finish()
}

fn layer(
    b: &mut ArchitectureBuilder,
    name: &str,
    x: LayerId,
    rng: &mut dyn Rng,
) -> Result<LayerId, SpaceError> {
    let Shape { channels, height, .. } = b.shape(x);
    let width = 16 << rng.random_range(0..4);
    match rng.random_range(0..4) {
        0 if height > 1 => b.conv(name, x, width, 3, 1, 1),
        1 if height > 1 => b.conv(name, x, channels, 3, 1, channels),
        2 if height > 1 => {
            let op = Op::Pool { kind: PoolKind::Max, kernel: [3; 2], stride: [1; 2], padding: [1; 2] };
            b.add(name, op, &[x], None)
        }
        _ => {
            let flat = b.add(format!("{name}_flat"), Op::Flatten, &[x], None)?;
            b.linear(name, flat, if rng.random_bool(0.5) { width } else { 256 })
        }
    }
}

/// A device whose true numbers differ from its file.
fn actual() -> Device {
    let mut device = Device::builtin("cortex-a72").unwrap();
    device.efficiency.dense_conv.value = 0.31;
    device.efficiency.depthwise_conv.value = 0.06;
    device.efficiency.linear.value = 0.2;
    device.efficiency.element_wise.value = 0.04;
    device.memory.external_bytes_per_s.value *= 0.5;
    device.memory.on_chip_bytes_per_s_per_core.value *= 0.5;
    device.layer_overhead_us.value = 21.0;
    device
}

/// Simulated measurements of the device with up to 5 % noise. The first `broken` are ten times too large.
fn measured(device: &Device, count: usize, broken: usize, seed: u64) -> Vec<Measured> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let model = Roofline::new(device.clone(), 1, 1);
    let measured = |i: usize| {
        let architecture = network(&mut rng).unwrap();
        let exact = model.network(&architecture).unwrap().latency_us.value;
        let noise = if i < broken { 10.0 } else { rng.random_range(0.95..1.05) };
        Measured { architecture, latency_us: exact * noise, standard_error: 0.0 }
    };
    (0..count).map(measured).collect()
}

fn calibration() -> Calibration {
    Calibration::new("measured.csv", "pi_us")
}

#[track_caller]
fn assert_recovered(fit: &Fit, actual: &Device) {
    let values = |device: &Device| {
        let (efficiency, memory) = (&device.efficiency, &device.memory);
        [
            ("dense_conv", efficiency.dense_conv.value),
            ("depthwise_conv", efficiency.depthwise_conv.value),
            ("linear", efficiency.linear.value),
            ("element_wise", efficiency.element_wise.value),
            ("external", memory.external_bytes_per_s.value),
            ("on_chip", memory.on_chip_bytes_per_s_per_core.value),
            ("overhead", device.layer_overhead_us.value),
        ]
    };
    for ((key, found), (_, actual)) in values(&fit.device).into_iter().zip(values(actual)) {
        assert!((found / actual - 1.0).abs() < 0.06, "{key}: {found}, expected {actual}\n{}", fit.report);
    }
}

#[test]
fn fit_recovers_known_constants_from_noisy_measurements() {
    let (file, actual) = (Device::builtin("cortex-a72").unwrap(), actual());
    let measurements = measured(&actual, 120, 0, 1);
    let fit = calibration().fit(&file, &measurements).unwrap();
    assert_recovered(&fit, &actual);
    let report = &fit.report;
    assert!(report.before.mean_error_percent > 30.0, "{report}");
    assert!(report.held_out.mean_error_percent < 4.0, "{report}");
    assert!(report.in_sample.mean_error_percent <= report.held_out.mean_error_percent, "{report}");
    assert!((0.03..0.08).contains(&report.latency_relative_90), "{report}");
    let fresh = Comparison::new(&Roofline::new(fit.device, 1, 1), &measured(&actual, 300, 0, 2)).unwrap();
    assert!((85.0..=96.0).contains(&fresh.within_interval_percent), "{fresh:?}");
}

#[test]
fn fit_is_robust_to_few_broken_measurements() {
    let actual = actual();
    let fit =
        calibration().fit(&Device::builtin("cortex-a72").unwrap(), &measured(&actual, 120, 6, 1)).unwrap();
    assert_recovered(&fit, &actual);
}

#[test]
fn written_device_predicts_as_reported() {
    let measurements = measured(&actual(), 40, 0, 3);
    let fit = calibration().fit(&Device::builtin("cortex-a72").unwrap(), &measurements).unwrap();
    let read = Device::parse("fitted.toml", &fit.device.to_toml()).unwrap();
    assert_eq!(read, fit.device);
    let model = Roofline::new(read, 1, 1);
    assert_eq!(model.name(), "cortex-a72/roofline/fitted-measured.csv-pi_us-40");
    let again = Comparison::new(&model, &measurements).unwrap().agreement;
    let reported = fit.report.in_sample;
    assert!((again.mean_error_percent - reported.mean_error_percent).abs() < 1e-9);
    assert_eq!(again.spearman, reported.spearman);
    let conv = &fit.device.efficiency.dense_conv.source;
    assert_eq!(
        conv,
        "fitted to 40 networks of measured.csv, column pi_us (batch 1, threads 1); before 0.375"
    );
    let error = &fit.device.error.latency_relative_90;
    assert!((error.value - fit.report.latency_relative_90).abs() < 1e-15);
    let expected = "nine of ten of 40 networks of measured.csv, column pi_us, each predicted by a fit to the \
        others in 5 folds";
    assert_eq!(error.source, expected);
}

#[test]
fn fit_does_not_depend_on_order_of_measurements() {
    let mut measurements = measured(&actual(), 30, 0, 4);
    let file = Device::builtin("cortex-a72").unwrap();
    let fit = calibration().fit(&file, &measurements).unwrap();
    assert_eq!(calibration().fit(&file, &measurements).unwrap(), fit);
    measurements.reverse();
    assert_eq!(calibration().fit(&file, &measurements).unwrap(), fit);
}

#[test]
fn fit_keeps_numbers_that_measurements_do_not_determine() {
    let file = Device::builtin("cortex-a72").unwrap();
    let convolutions = |measured: &Measured| {
        let architecture = &measured.architecture;
        let kernels = Schedule::new(architecture).kernels;
        kernels
            .iter()
            .all(|kernel| matches!(architecture.layer(kernel.head()).op, Op::Conv2d { groups: 1, .. }))
    };
    let measurements: Vec<Measured> =
        measured(&actual(), 400, 0, 5).into_iter().filter(convolutions).collect();
    let fit = calibration().fit(&file, &measurements).unwrap();
    assert_eq!(fit.device.efficiency.depthwise_conv, file.efficiency.depthwise_conv);
    assert_eq!(fit.device.efficiency.element_wise, file.efficiency.element_wise);
    assert_eq!(fit.device.energy, file.energy);
    assert!((fit.device.efficiency.dense_conv.value / 0.31 - 1.0).abs() < 0.05, "{}", fit.report);
}

#[test]
fn report_marks_number_at_limit_if_peak_is_too_low() {
    let mut actual = actual();
    for rate in actual.macs_per_s_per_core.values_mut() {
        rate.value *= 10.0;
    }
    let fit =
        calibration().fit(&Device::builtin("cortex-a72").unwrap(), &measured(&actual, 100, 0, 6)).unwrap();
    let conv = fit.report.fitted.iter().find(|number| number.key == "efficiency.dense_conv").unwrap();
    assert!(conv.at_limit && (conv.after - 1.0).abs() < 1e-12, "{}", fit.report);
    assert!(fit.report.to_string().contains("(at its limit)"));
}

#[test]
fn fit_refuses_too_few_and_impossible_measurements() {
    let file = Device::builtin("cortex-a72").unwrap();
    let mut measurements = measured(&file, 10, 0, 7);
    let error = calibration().fit(&file, &measurements[..9]).unwrap_err().to_string();
    assert_eq!(error, "9 measured networks are too few for a fit, expected at least 10; measure more");
    assert!(calibration().fit(&file, &measurements).is_ok());
    for latency_us in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        measurements[3].latency_us = latency_us;
        let error = calibration().fit(&file, &measurements).unwrap_err().to_string();
        let expected =
            format!("the latency measured of network 3 is {latency_us} us, expected a finite number above 0");
        assert_eq!(error, expected);
    }
}

#[test]
fn interval_is_the_conformal_quantile() {
    // Among 19 residuals, the interval is the one of rank ceil(20 * 0.9) = 18. The sign of an error does not
    // matter.
    let pairs: Vec<(f64, f64)> = (1..=19).map(|tenths| (1.0, (f64::from(tenths) * 0.1).exp())).collect();
    assert!((relative_90(&pairs) - significant(1.8_f64.exp_m1())).abs() < 1e-12);
    let turned: Vec<(f64, f64)> = pairs.into_iter().map(|(a, b)| (b, a)).collect();
    assert!((relative_90(&turned) - significant(1.8_f64.exp_m1())).abs() < 1e-12);
}
