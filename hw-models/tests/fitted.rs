//! The fitted model and its evaluation, on latencies that a formula gives and on published ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

use kiln_hw_models::{
    Conditions, CostModel, Device, Evaluation, EvaluationRow, EvaluationTable, Fitted, FittedNetworks,
    FittedReport, HwError, KeyFile, LatencyUnit, MeasurementFile, OwnPredictor, Roofline, ShippedPredictors,
    Transfer, genotype,
};
use kiln_space::spaces::NasBench201;
use kiln_space::{Architecture, ArchitectureBuilder, SearchSpace, Shape};

/// A device that is unlike the one that features are counted for: kernels cost 40 us each, MACs little.
fn latency_us(network: &Architecture) -> f64 {
    let live = network.live();
    let running: Vec<_> = network.ids().filter(|id| live[id.0]).collect();
    let macs: u64 = running.iter().map(|id| network.layer_counts(*id).macs).sum();
    40.0 * running.iter().filter(|id| network.layer(**id).op.has_weights()).count() as f64
        + macs as f64 / 50_000.0
}

/// Every `step`-th cell, a line each, with its latency as `line` says it.
fn cells(step: usize, line: impl Fn(usize, f64) -> String) -> String {
    let mut text = "genotype,us,other\n".to_owned();
    for (place, code) in (7..15_625_usize).step_by(step).enumerate() {
        let genes: Vec<String> = (0..6).map(|edge| (code / 5_usize.pow(edge) % 5).to_string()).collect();
        let genes = genes.join("-");
        let network = NasBench201::default().decode(&genotype(&genes).unwrap()).unwrap();
        writeln!(text, "{genes},{}", line(place, latency_us(&network))).unwrap();
    }
    text
}

fn file(folder: &Path, text: &str) -> MeasurementFile {
    let path = folder.join("cells.csv");
    std::fs::write(&path, text).unwrap();
    let (key, latency_column) = ("genotype".to_owned(), "us".to_owned());
    MeasurementFile { path, key, key_file: None, latency_column, unit: LatencyUnit::Us }
}

fn reference() -> Roofline {
    Roofline::new(Device::builtin("cortex-a72").unwrap(), 1, 1)
}

fn read(folder: &Path, text: &str, known: &[&str]) -> Result<EvaluationTable, HwError> {
    let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    EvaluationTable::read(&file(folder, text), &known, &NasBench201::default(), &reference())
}

fn fit(folder: &Path, text: &str) -> Result<(Device, FittedReport), HwError> {
    let device = Device::builtin("cortex-a72").unwrap();
    let conditions = Conditions { batch: 1, threads: 1 };
    FittedReport::fit(&read(folder, text, &[])?, &device, "cells.csv", conditions)
}

#[test]
fn fitted_model_predicts_networks_that_were_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (device, report) = fit(folder.path(), &cells(401, |_, latency| format!("{latency},-1"))).unwrap();
    assert_eq!(report.networks, 39);
    // Its cell passes nothing on, so it takes a tenth of the time of any other.
    assert_eq!(report.outliers.iter().map(|found| found.line).collect::<Vec<_>>(), [2]);
    let again = Device::parse("cells.toml", &device.to_toml()).unwrap();
    let (model, restored) = (Fitted::new(device).unwrap(), Fitted::new(again).unwrap());
    assert_eq!(model.name(), "cortex-a72/fitted/cells.csv-us-39");
    let space = NasBench201::default();
    for cell in ["3-1-2-3-4-0", "1-1-1-2-0-3", "3-3-2-0-4-1", "2-0-3-1-1-2"] {
        let network = space.decode(&genotype(cell).unwrap()).unwrap();
        let (found, expected) = (model.network(&network).unwrap(), latency_us(&network));
        let latency = found.latency_us;
        assert!((latency.value / expected - 1.0).abs() < 0.1, "{cell}: {latency:?}, expected {expected}");
        assert!(latency.low <= latency.value && latency.value <= latency.high, "{cell}: {latency:?}");
        let other = restored.network(&network).unwrap().latency_us;
        assert!((other.value / latency.value - 1.0).abs() < 1e-6, "{cell}: the file predicts {other:?}");
        assert_eq!(model.unlike(&network).unwrap(), Vec::<String>::new(), "{cell}");
    }
}

#[test]
fn network_unlike_all_measured_ones_is_named_and_gets_a_wider_interval() {
    let folder = tempfile::tempdir().unwrap();
    // Only cells without 3x3 convolutions are measured.
    let text = cells(173, |_, latency| format!("{latency},-1"));
    let lines = text.lines().filter(|line| !line.split(',').next().unwrap().contains('3'));
    let text = lines.collect::<Vec<_>>().join("\n");
    let model = Fitted::new(fit(folder.path(), &text).unwrap().0).unwrap();
    let mut widths = [0.0; 2];
    for (width, cell) in widths.iter_mut().zip(["1-2-2-1-2-4", "3-3-3-3-3-3"]) {
        let network = NasBench201::default().decode(&genotype(cell).unwrap()).unwrap();
        let latency = model.network(&network).unwrap().latency_us;
        *width = latency.high / latency.low;
        assert_eq!(model.unlike(&network).unwrap().is_empty(), cell.starts_with('1'), "{cell}");
    }
    assert!(widths[1] > 2.0 * widths[0], "{widths:?}");
}

#[test]
fn bad_measurements_are_named_with_line_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str| fit(folder.path(), text).unwrap_err().to_string();
    let at = |bad: usize, text: &'static str| {
        move |place: usize, latency: f64| if place == bad { text.to_owned() } else { format!("{latency},-1") }
    };
    let found = refused(&cells(401, at(3, "-7,-1")));
    assert!(found.contains("cells.csv:5: `us` is `-7`, expected a number above 0"), "{found}");
    let found = refused(&cells(401, at(4, "fast,-1")));
    assert!(found.contains("cells.csv:6: `us` is `fast`"), "{found}");
    let found = refused(&cells(401, |place, latency| {
        if place % 10 == 6 { format!("{},-1", latency / 1000.0) } else { format!("{latency},-1") }
    }));
    assert!(found.contains("cells.csv:8: `us` is") && found.contains("mix units"), "{found}");
    let once = cells(401, |_, latency| format!("{latency},-1"));
    let (genes, rest) = once.lines().nth(2).unwrap().split_once(',').unwrap();
    let latency: f64 = rest.split(',').next().unwrap().parse().unwrap();
    let found = refused(&format!("{once}{genes},{},-1\n", latency * 3.5));
    assert!(
        found.contains("cells.csv:41: `us` is") && found.contains("of line 3, the same network"),
        "{found}"
    );
    // The median counts of repeats that agree.
    let repeated = format!("{once}{genes},{},-1\n{genes},{},-1\n", latency * 1.1, latency * 1.2);
    let table = read(folder.path(), &repeated, &[]).unwrap();
    assert_eq!((table.len(), table.repeats()), (39, 2));
    // Latencies that have nothing to do with the networks, as another column would be.
    let found = refused(&cells(401, |place, _| {
        format!("{},-1", 500.0 + ((place * place * 17 + place * 11) % 41) as f64 * 900.0)
    }));
    assert!(found.contains("contradict each other"), "{found}");
    let (_, report) = fit(
        folder.path(),
        &cells(401, |place, latency| format!("{},-1", if place == 20 { latency * 8.0 } else { latency })),
    )
    .unwrap();
    let lines: Vec<u64> = report.outliers.iter().map(|found| found.line).collect();
    assert_eq!(lines, [2, 22], "{report:?}");
    assert!(refused("genotype,us,other\n0-1-2-3-4-1,100,-1\n").contains("1 measured networks are too few"));
}

#[test]
fn cell_that_computes_next_to_nothing_may_be_a_thousand_times_faster() {
    let folder = tempfile::tempdir().unwrap();
    // As on the Raspberry Pi 4: 12 us for a cell that passes nothing on, tens of milliseconds for others.
    let text = cells(401, |_, latency| {
        let latency = if latency < 100.0 { 12.0 } else { latency * 20.0 };
        format!("{latency},-1")
    });
    assert!(text.lines().any(|line| line.contains(",12,")), "{text}");
    assert_eq!(read(folder.path(), &text, &[]).unwrap().len(), 39);
}

#[test]
fn empty_latency_and_minus_one_mean_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let text = cells(401, |place, latency| match place {
        3 => ",-1".to_owned(),
        4 => "-1,-1".to_owned(),
        _ => format!("{latency},-1"),
    });
    let table = read(folder.path(), &text, &[]).unwrap();
    assert_eq!((table.len(), table.not_measured()), (37, 2));
    let error = read(folder.path(), &text.replacen("us", "ms", 1), &[]).unwrap_err().to_string();
    assert!(error.contains("no column `us`; the columns are `genotype`, `ms`, `other`"), "{error}");
}

#[test]
fn kinds_of_regression_stand_in_report_and_file_with_errors_and_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (device, report) = fit(folder.path(), &cells(157, |_, latency| format!("{latency},-1"))).unwrap();
    let names: Vec<&str> = report.kinds.iter().map(|weighed| weighed.kind.name()).collect();
    assert_eq!(names, ["ridge", "gaussian_process", "boosted_trees"]);
    let whole: f64 = report.kinds.iter().map(|weighed| weighed.weight).sum();
    assert!((whole - 1.0).abs() < 1e-9, "{report:?}");
    assert!(report.kinds.iter().all(|weighed| weighed.error_percent > 0.0), "{report:?}");
    assert!(report.held_out.within_a_tenth_percent > 90.0, "{report:?}");
    let fitted = device.fitted.clone().unwrap();
    assert_eq!((fitted.kinds(), fitted.held_out()), (report.kinds.as_slice(), &report.held_out));
    let device = Device { fitted: Some(fitted.dated("2026-11-29".to_owned())), ..device };
    let again = Device::parse("cells.toml", &device.to_toml()).unwrap();
    assert_eq!(again.fitted.as_ref().and_then(FittedNetworks::date), Some("2026-11-29"));
    assert_eq!(again.fitted.unwrap().kinds(), report.kinds);
}

#[test]
fn shipped_predictors_are_known_devices_unless_the_network_is_unlike() {
    let folder = tempfile::tempdir().unwrap();
    let text = cells(997, |_, latency| format!("{latency},-1"));
    let table = read(folder.path(), &text, &[]).unwrap();
    let table = table.with_transfer(&Transfer::all().unwrap(), OwnPredictor::Kept);
    assert_eq!(table.transfer().names().len(), 20);
    let conditions = Conditions { batch: 1, threads: 1 };
    let reference = Device::builtin("cortex-a72").unwrap();
    let (device, report) = FittedReport::fit(&table, &reference, "cells.csv", conditions).unwrap();
    assert_eq!(report.transfer, table.transfer().names());
    let text = device.to_toml();
    let again = Device::parse("cells.toml", &text).unwrap();
    assert!(again.fitted.as_ref().unwrap().transfer().contains(&"raspi4".to_owned()));
    let (model, restored) = (Fitted::new(device).unwrap(), Fitted::new(again).unwrap());
    // A cell, and the same cell for images of another size, which no predictor knows.
    let network = NasBench201::default().decode(&genotype("3-1-2-3-4-0").unwrap()).unwrap();
    let found = model.network(&network).unwrap().latency_us;
    assert!((found.value / latency_us(&network) - 1.0).abs() < 0.25, "{found:?}");
    assert!((restored.network(&network).unwrap().latency_us.value / found.value - 1.0).abs() < 1e-6);
    assert_eq!(model.unlike(&network).unwrap(), Vec::<String>::new());
    let mut b = ArchitectureBuilder::new(Shape::new(3, 224, 224));
    let x = b.conv("conv", b.input(), 64, 7, 2, 1).unwrap();
    let x = b.global_pool("pool", x).unwrap();
    b.linear("head", x, 1000).unwrap();
    let other = b.finish().unwrap();
    assert!(!model.unlike(&other).unwrap().is_empty());
    assert!(model.network(&other).unwrap().latency_us.value > 0.0);
    for (old, new) in [("\"raspi4\"", "\"abacus\""), ("weight = ", "weight = 2")] {
        assert!(text.contains(old), "{old}");
        let error = Device::parse("mine.toml", &text.replacen(old, new, 1)).unwrap_err().to_string();
        assert!(error.starts_with("mine.toml"), "{error}");
    }
    let error = Transfer::named(&["abacus"]).unwrap_err().to_string();
    assert!(error.starts_with("no predictor `abacus` comes with Kiln; known: 1080ti_1, "), "{error}");
}

#[test]
fn shipped_predictors_name_source_license_and_error() {
    let shipped = ShippedPredictors::builtin().unwrap();
    for device in shipped.devices() {
        assert_eq!(device.license, "MIT", "{}", device.name);
        assert!(!device.sources.is_empty() && device.networks > 10_000, "{device:?}");
        assert!(device.spearman > 0.9 && device.within_10_percent > 50.0, "{device:?}");
    }
    let again = ShippedPredictors::parse("shipped.toml", &shipped.to_toml()).unwrap();
    assert_eq!(&again, shipped);
    assert!(shipped.to_toml().len() < 300_000);
    let damaged = shipped.to_toml().replacen("constant_us = ", "constant_us = nan # ", 1);
    assert!(ShippedPredictors::parse("shipped.toml", &damaged).is_err());
}

#[test]
fn own_predictor_is_left_out_of_an_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let text = cells(997, |_, latency| format!("{latency},-1")).replacen("us", "raspi4_latency_us", 1);
    let latency_column = "raspi4_latency_us".to_owned();
    let file = MeasurementFile { latency_column, ..file(folder.path(), &text) };
    let table = EvaluationTable::read(&file, &[], &NasBench201::default(), &reference()).unwrap();
    let names = |own| table.clone().with_transfer(&Transfer::all().unwrap(), own).transfer().names();
    assert_eq!((names(OwnPredictor::Kept).len(), names(OwnPredictor::LeftOut).len()), (20, 19));
    assert!(!names(OwnPredictor::LeftOut).contains(&"raspi4"));
}

#[test]
#[ignore = "needs KILN_DATA: measured latencies of NAS-Bench-201"]
fn own_predictor_is_recognized_by_latencies_alone() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    // The column is read under another name, so that only its latencies tell whose it is.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("renamed.csv");
    let column = |file: &str, column: &str, device: &str| {
        let text = unpacked(&data.join(file));
        let renamed = text.replacen(column, "renamed", 1);
        std::fs::write(&path, renamed).unwrap();
        let file = MeasurementFile {
            path: path.clone(),
            key: "arch".to_owned(),
            key_file: Some(KeyFile {
                path: data.join("nasbench201/nasbench201.csv.gz"),
                on: "index".to_owned(),
            }),
            latency_column: "renamed".to_owned(),
            unit: LatencyUnit::Ms,
        };
        let table = EvaluationTable::read(&file, &[], &NasBench201::default(), &reference()).unwrap();
        let table = table.with_transfer(&Transfer::all().unwrap(), OwnPredictor::LeftOut);
        let names = table.transfer().names();
        println!("{device}: {} left", names.len());
        assert!(!names.contains(&device), "{device} is its own known device");
        assert!(names.len() >= 15, "{names:?}");
    };
    for device in ["edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga"] {
        column("hw_nas_bench/nasbench201_cifar10.csv.gz", &format!("{device}_latency_ms"), device);
    }
    for device in ["raspi4", "eyeriss", "silver_4114", "titanx_256"] {
        column("help/nasbench201_latency_ms.csv.gz", device, device);
    }
}

/// The text of a gzipped file.
fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn known_column_that_is_the_target_in_another_unit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = cells(997, |_, latency| format!("{latency},{}", latency * 3.5));
    let found = read(folder.path(), &text, &["other"]).unwrap_err().to_string();
    assert!(found.contains("the known column `other` is `us` times 3.500000"), "{found}");
    let text = cells(997, |place, latency| format!("{latency},{}", latency * (1.0 + place as f64)));
    assert_eq!(read(folder.path(), &text, &["other"]).unwrap().len(), 16);
}

#[test]
fn damaged_networks_of_a_device_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (device, _) = fit(folder.path(), &cells(997, |_, latency| format!("{latency},-1"))).unwrap();
    let text = device.to_toml();
    for (old, new) in [
        ("version = 3", "version = 2"),
        ("threads = 1\n", "threads = 0\n"),
        ("latencies_us = [", "latencies_us = [-1.0, "),
        ("quantile = ", "quantile = -"),
        ("linear = ", "linear = -"),
        ("networks = [[", "networks = [[nan, "),
        ("factors = [", "factors = [1.0, "),
    ] {
        assert!(text.contains(old), "`{old}` is not in the file");
        let error = Device::parse("mine.toml", &text.replacen(old, new, 1)).unwrap_err().to_string();
        assert!(error.starts_with("mine.toml"), "{new}: {error}");
    }
    let bare = Fitted::new(Device::builtin("h200").unwrap()).unwrap_err().to_string();
    assert!(bare.contains("`h200` has no measured networks"), "{bare}");
}

#[test]
#[ignore = "needs KILN_DATA: measured latencies of NAS-Bench-201"]
fn fitted_model_beats_its_baselines_on_measured_cells() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    let file = MeasurementFile {
        path: data.join("hw_nas_bench/nasbench201_cifar10.csv.gz"),
        key: "arch".to_owned(),
        key_file: Some(KeyFile { path: data.join("nasbench201/nasbench201.csv.gz"), on: "index".to_owned() }),
        latency_column: "edgegpu_latency_ms".to_owned(),
        unit: LatencyUnit::Ms,
    };
    let table = EvaluationTable::read(&file, &[], &NasBench201::default(), &reference()).unwrap();
    let evaluation = Evaluation {
        train: vec![100],
        draws: 4,
        seed: 0,
        chosen: true,
        pool: Some([0, 5000]),
        test: Some([5000, 9000]),
        trim: None,
    };
    let rows = evaluation.run(&table).unwrap();
    let of = |model: &str| -> EvaluationRow { rows.iter().find(|row| row.model == model).unwrap().clone() };
    let fitted = of("fitted");
    println!("{fitted:?}");
    for baseline in ["macs", "ridge_operations", "nearest"] {
        assert!(fitted.spearman.mean > of(baseline).spearman.mean, "{baseline}: {rows:?}");
        assert!(fitted.within_10_percent.mean > of(baseline).within_10_percent.mean, "{baseline}: {rows:?}");
    }
    let coverage = fitted.coverage_90.unwrap().mean;
    assert!((0.84..0.96).contains(&coverage), "{coverage}");
    assert_eq!(evaluation.run(&table).unwrap(), rows, "equal seeds, other rows");
}
