//! The models of kernels, on a device whose latencies a formula gives.

use kiln_space::{NumberFormat, Precision, Sparsity};

use super::*;
use crate::testing::{check_additive, check_cost_model, check_refuses, mobile_net, precision};
use crate::{AddsUp, KernelTable, Measured};

const DENSE: Sparsity = Sparsity::Dense;

/// Latency of a kernel alone: 20 us of every network, 3 us of every kernel, and its work.
fn alone_us(shape: &KernelShape) -> f64 {
    let rate = if shape.kind == KernelKind::DepthwiseConv { 300.0 } else { 2000.0 };
    23.0 + shape.operations() / rate + shape.bytes().iter().sum::<f64>() / 4000.0
}

fn network_us(network: &Architecture) -> f64 {
    let kernels = Schedule::new(network).kernels;
    let each = kernels.iter().map(|kernel| alone_us(&KernelShape::new(network, kernel, 1)) - 20.0);
    20.0 + each.sum::<f64>()
}

fn network(width: usize) -> Architecture {
    mobile_net(width, Precision::default(), DENSE).unwrap()
}

/// The distinct kernels of networks of these widths.
fn measured(widths: impl Iterator<Item = usize>) -> Vec<MeasuredKernel> {
    let mut shapes = std::collections::BTreeSet::new();
    for network in widths.map(network) {
        let kernels = Schedule::new(&network).kernels;
        shapes.extend(kernels.iter().map(|kernel| KernelShape::new(&network, kernel, 1)));
    }
    let kernel = |(place, shape): (usize, KernelShape)| MeasuredKernel {
        shape,
        latency_us: alone_us(&shape),
        line: place as u64 + 2,
    };
    shapes.into_iter().enumerate().map(kernel).collect()
}

fn fitted(kernels: &[MeasuredKernel]) -> Result<(Device, KernelsReport), HwError> {
    KernelsReport::fit(kernels, &Device::builtin("cortex-a72").unwrap(), "board.csv", 1, 0)
}

/// A device that was fitted to kernels of even widths and to eight networks.
fn device() -> Device {
    let (device, _) = fitted(&measured((2..=24).step_by(2))).unwrap();
    let networks: Vec<Measured> = (2..=16)
        .step_by(2)
        .map(|width| {
            let architecture = network(width);
            Measured { latency_us: network_us(&architecture), architecture, standard_error: 0.0 }
        })
        .collect();
    fit_overhead(&device, &networks).unwrap()
}

#[test]
fn kernels_predict_networks_whose_kernels_were_not_measured() {
    let (_, report) = fitted(&measured((2..=24).step_by(2))).unwrap();
    let [format] = &report.formats[..] else { panic!("{report:?}") };
    assert!(format.held_out.within_a_tenth_percent > 80.0, "{report:?}");
    let device = device();
    let again = Device::parse("board.toml", &device.to_toml()).unwrap();
    let (model, restored) = (Kernels::new(device, None).unwrap(), Kernels::new(again, None).unwrap());
    assert!(model.name().starts_with("cortex-a72/kernels/board.csv-"), "{}", model.name());
    let mut inside = 0;
    for width in [5, 9, 13] {
        let network = network(width);
        let (found, expected) = (model.network(&network).unwrap().latency_us, network_us(&network));
        assert!((found.value / expected - 1.0).abs() < 0.05, "{width}: {found:?}, expected {expected}");
        inside += usize::from(found.low <= expected && expected <= found.high);
        let other = restored.network(&network).unwrap().latency_us.value;
        assert!((other / found.value - 1.0).abs() < 1e-9, "{width}: the file predicts {other}");
        assert_eq!(model.unlike(&network).unwrap(), Vec::<String>::new(), "{width}");
    }
    assert!(inside >= 2, "{inside} of 3 inside the interval of nine of ten");
}

#[test]
fn laws_of_cost_models_hold() {
    let device = device();
    let kernels = Kernels::new(device.clone(), None).unwrap();
    let table = KernelTable::new(device, None).unwrap();
    let (small, large) = (network(4), network(8));
    for model in [&kernels as &dyn CostModel, &table] {
        check_cost_model(model, &[small.clone(), large.clone()]);
        check_additive(model, &large);
        let latency = |network| model.network(network).unwrap().latency_us.value;
        assert!(latency(&small) < latency(&large));
        // Zeros gain nothing.
        let zeros = mobile_net(8, Precision::default(), Sparsity::Unstructured { permille: 900 }).unwrap();
        assert!((latency(&zeros) / latency(&large) - 1.0).abs() < 1e-12);
    }
    // The device has int8, but no kernel was measured in it.
    let int8 = mobile_net(4, precision(NumberFormat::Int8), DENSE).unwrap();
    check_refuses(&kernels, &int8);
    check_refuses(&table, &int8);
    let error = kernels.network(&int8).unwrap_err().to_string();
    assert!(error.contains("in int8; the device has f32"), "{error}");
}

#[test]
fn table_predicts_measured_kernels_and_names_any_other() {
    let table = KernelTable::new(device(), None).unwrap();
    let (known, unknown) = (network(6), network(7));
    let found = table.network(&known).unwrap().latency_us;
    assert!((found.value / network_us(&known) - 1.0).abs() < 0.01, "{found:?}");
    let error = table.network(&unknown).unwrap_err().to_string();
    let kernel = "conv b1 3x32x32 56x16x16 k3x3 s2x2 p1x1 g1 f32 f32 relu6";
    assert!(error.contains("layer `stem`") && error.contains(kernel), "{error}");
}

#[test]
fn kernels_outside_of_the_measured_ones_are_named_and_widen_the_interval() {
    let model = Kernels::new(device(), None).unwrap();
    let width = |network: &Architecture| {
        let found = model.network(network).unwrap().latency_us;
        found.high / found.low
    };
    let (inside, outside) = (network(12), network(96));
    assert!(width(&outside) > 1.5 * (width(&inside) - 1.0) + 1.0);
    let unlike = model.unlike(&outside).unwrap();
    assert_eq!(unlike.len(), 6, "{unlike:?}");
    assert!(unlike[0].starts_with("`block0_expand` (conv b1 768x16x16"), "{unlike:?}");
    assert!(unlike[0].contains("output channels") && unlike[5].ends_with("other kernels"), "{unlike:?}");
}

#[test]
fn nonsense_is_refused() {
    let kernels = measured((2..=24).step_by(2));
    let refused = |kernels: &[MeasuredKernel]| fitted(kernels).unwrap_err().to_string();
    assert!(refused(&kernels[..4]).contains("4 measured kernels are too few"));
    let mut mixed = kernels.clone();
    for kernel in mixed.iter_mut().step_by(4) {
        kernel.latency_us /= 1000.0;
    }
    let error = refused(&mixed);
    assert!(error.contains("board.csv: the measurements contradict each other"), "{error}");
    // One wrong row is named.
    let mut wrong = kernels.clone();
    wrong[7].latency_us *= 1000.0;
    let (_, report) = fitted(&wrong).unwrap();
    assert!(report.listed.iter().any(|odd| odd.line == 9), "{report:?}");

    let mut device = device();
    device.adds_up = Some(AddsUp { value: false, source: "a paper".to_owned() });
    let error = Kernels::new(device.clone(), None).unwrap_err().to_string();
    assert!(error.contains("fails on `cortex-a72` (a paper)"), "{error}");
    assert!(KernelTable::new(device.clone(), None).is_err());
    device.kernels = None;
    device.adds_up = None;
    assert!(Kernels::new(device, None).unwrap_err().to_string().contains("kiln hw measure --kernels"));
}

#[test]
fn damaged_kernels_of_a_device_file_are_refused() {
    let text = device().to_toml();
    let cases = [
        ("version = 1", "version = 2", "`kernels.version` is 2"),
        ("threads = 1", "threads = 0", "`kernels.threads` is 0"),
        ("batches = [1]", "batches = []", "`kernels.batches` is []"),
        ("scale = ", "scale = -", "`kernels.overhead` is"),
        ("[\"conv b1", "[\"conf b1", "`kernels.measured.0` is `conf b1"),
        ("kind = \"conv\"", "kind = \"convex\"", "`kernels.predictors.0` is `convex`"),
        ("kind = \"linear\"", "kind = \"concat\"", "expected from 1 to 400 measured kernels, or trees"),
        ("operations_per_us = ", "operations_per_us = -", "`kernels.predictors.0` is not usable"),
    ];
    for (old, new, expected) in cases {
        assert!(text.contains(old), "`{old}` is not in the file:\n{}", &text[..3000]);
        let place = text.find("[kernels]").unwrap();
        let damaged = format!("{}{}", &text[..place], text[place..].replacen(old, new, 1));
        let error = Device::parse("board.toml", &damaged).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn settings_hold_the_conditions_of_the_measurements() {
    let build = |text: &str| {
        let table = serde_json::from_str(text).unwrap();
        Kernels::from_settings(device(), &Settings::new("hardware.0", table)).map(|model| model.conditions())
    };
    assert_eq!(build("{}").unwrap(), Some(Conditions { batch: 1, threads: 1 }));
    for (text, expected) in [
        (r#"{ "batch": 2 }"#, "`hardware.0.batch`: found 2, expected 1, as the kernels"),
        (r#"{ "threads": 4 }"#, "`hardware.0.threads`: found 4, expected 1, as the kernels"),
    ] {
        let error = build(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
