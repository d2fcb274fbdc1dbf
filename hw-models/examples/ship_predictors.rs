//! Fits the predictors that come with Kiln (`shipped/nasbench201.toml`) to published latencies and writes the
//! file.
//!
//! ```console
//! $ KILN_DATA=DATA cargo run --release -p kiln-hw-models --example ship_predictors -- DATE FILE
//! ```

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::path::{Path, PathBuf};

use kiln_hw_models::{
    Device, EvaluationTable, KeyFile, LatencyUnit, MeasurementFile, Roofline, ShippedPredictor,
    ShippedPredictors,
};
use kiln_space::spaces::NasBench201;

const ABOUT: &str = "\
Latencies of the cells of NAS-Bench-201 (CIFAR-10) as sums over features, fitted by \
hw-models/examples/ship_predictors.rs. HW-NAS-Bench: C. Li et al., ICLR 2021, \
https://github.com/GATECH-EIC/HW-NAS-Bench, MIT. HELP: H. Lee et al., NeurIPS 2021, \
https://github.com/HayeonLee/HELP, MIT.";
const HW_NAS_BENCH: &str = "hw_nas_bench/nasbench201_cifar10.csv.gz";
const HELP: &str = "help/nasbench201_latency_ms.csv.gz";

/// Name, title, columns of HW-NAS-Bench and of HELP. The same measurements stand in both under four names.
const DEVICES: [(&str, &str, Option<&str>, Option<&str>); 20] = [
    ("1080ti_1", "NVIDIA GTX 1080 Ti, batch 1", None, Some("1080ti_1")),
    ("1080ti_256", "NVIDIA GTX 1080 Ti, batch 256", None, Some("1080ti_256")),
    ("1080ti_32", "NVIDIA GTX 1080 Ti, batch 32", None, Some("1080ti_32")),
    ("2080ti_1", "NVIDIA RTX 2080 Ti, batch 1", None, Some("2080ti_1")),
    ("2080ti_256", "NVIDIA RTX 2080 Ti, batch 256", None, Some("2080ti_256")),
    ("2080ti_32", "NVIDIA RTX 2080 Ti, batch 32", None, Some("2080ti_32")),
    ("edgegpu", "NVIDIA Jetson TX2", Some("edgegpu"), None),
    ("edgetpu", "Google Edge TPU", Some("edgetpu"), None),
    ("essential_ph_1", "Essential Phone 1", None, Some("essential_ph_1")),
    ("eyeriss", "Eyeriss, a model of an ASIC", Some("eyeriss"), Some("eyeriss")),
    ("fpga", "Xilinx ZC706, a model of an FPGA", Some("fpga"), Some("fpga")),
    ("pixel3", "Google Pixel 3", Some("pixel3"), Some("pixel3")),
    ("raspi4", "Raspberry Pi 4", Some("raspi4"), Some("raspi4")),
    ("samsung_a50", "Samsung Galaxy A50", None, Some("samsung_a50")),
    ("samsung_s7", "Samsung Galaxy S7", None, Some("samsung_s7")),
    ("silver_4114", "Intel Xeon Silver 4114", None, Some("silver_4114")),
    ("silver_4210r", "Intel Xeon Silver 4210R", None, Some("silver_4210r")),
    ("titanx_1", "NVIDIA Titan X, batch 1", None, Some("titanx_1")),
    ("titanx_256", "NVIDIA Titan X, batch 256", None, Some("titanx_256")),
    ("titanx_32", "NVIDIA Titan X, batch 32", None, Some("titanx_32")),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(date), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ship_predictors DATE FILE".into());
    };
    let data = std::env::var_os("KILN_DATA").map(PathBuf::from).ok_or("KILN_DATA names no folder")?;
    let roofline = Roofline::new(Device::builtin("cortex-a72")?, 1, 1);
    let mut tables = Vec::new();
    for (name, title, hw_nas_bench, help) in DEVICES {
        let mut sources = Vec::new();
        sources.extend(hw_nas_bench.map(|column| format!("HW-NAS-Bench, {column}_latency_ms")));
        sources.extend(help.map(|column| format!("HELP, {column}")));
        let (path, column) = match (hw_nas_bench, help) {
            (Some(column), _) => (HW_NAS_BENCH, format!("{column}_latency_ms")),
            (None, Some(column)) => (HELP, column.to_owned()),
            (None, None) => continue,
        };
        let key_file = KeyFile { path: data.join("nasbench201/nasbench201.csv.gz"), on: "index".to_owned() };
        let file = MeasurementFile {
            path: data.join(path),
            key: "arch".to_owned(),
            key_file: Some(key_file),
            latency_column: column,
            unit: LatencyUnit::Ms,
        };
        let table = EvaluationTable::read(&file, &[], &NasBench201::default(), &roofline)?;
        tables.push((ShippedPredictor::named(name, title, sources, "MIT", &date), table));
    }
    let fitted = ShippedPredictors::fit(ABOUT, &tables)?;
    for device in fitted.devices() {
        let ShippedPredictor { name, networks, within_10_percent, spearman, median_log_error, .. } = device;
        println!(
            "{name:16} {networks:6} networks, within 10 %: {within_10_percent:5.1}, Spearman {spearman:.3}, median \
             error {median_log_error:.4}"
        );
    }
    kiln_files::write(Path::new(&out), fitted.to_toml().as_bytes())?;
    Ok(())
}
