//! How long the fitted model takes. Run it alone, in release:
//!
//! ```console
//! $ cargo run --release -p kiln-hw-models --example fitted_speed
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that prints what it measures")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use kiln_hw_models::{
    Conditions, CostModel, Device, EvaluationTable, Fitted, FittedReport, LatencyUnit, MeasurementFile,
    OwnPredictor, Roofline, Transfer, genotype,
};
use kiln_space::spaces::NasBench201;
use kiln_space::{Architecture, SearchSpace};

fn cell(code: usize) -> String {
    (0..6).map(|edge| (code / 5_usize.pow(edge) % 5).to_string()).collect::<Vec<_>>().join("-")
}

/// Median microseconds of a call over many networks and rounds.
fn median_us(networks: &[Architecture], call: impl Fn(&Architecture)) -> f64 {
    let mut rounds: Vec<f64> = (0..30)
        .map(|_| {
            let start = Instant::now();
            networks.iter().for_each(&call);
            start.elapsed().as_secs_f64() * 1e6 / networks.len() as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn main() {
    let space = NasBench201::default();
    let roofline = Roofline::new(Device::builtin("cortex-a72").unwrap(), 1, 1);
    let decode = |code: usize| space.decode(&genotype(&cell(code)).unwrap()).unwrap();
    let mut text = "genotype,us\n".to_owned();
    for place in 0..100 {
        let code = (place * 151 + 13) % 15_625;
        let latency = roofline.network(&decode(code)).unwrap().latency_us.value;
        // The measured device has other overheads, and some noise.
        let noise = 1.0 + 0.02 * ((place * 7919) % 13) as f64 / 13.0;
        writeln!(text, "{},{}", cell(code), (latency.powf(0.9) + 300.0) * noise).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.csv");
    kiln_files::write(&path, text.as_bytes()).unwrap();
    let (key, latency_column) = ("genotype".to_owned(), "us".to_owned());
    let file = MeasurementFile { path, key, key_file: None, latency_column, unit: LatencyUnit::Us };
    let networks: Vec<Architecture> = (0..200).map(|place| decode((place * 79 + 5) % 15_625)).collect();
    let before = median_us(&networks, |network| {
        black_box(roofline.network(black_box(network)).unwrap());
    });
    println!("fusion and roofline: {before:.1} us a network");
    for (name, transfer) in
        [("without known devices", Transfer::none()), ("with 20", Transfer::all().unwrap())]
    {
        let table = EvaluationTable::read(&file, &[], &space, &roofline).unwrap();
        let table = table.with_transfer(&transfer, OwnPredictor::Kept);
        let conditions = Conditions { batch: 1, threads: 1 };
        let device = roofline.device_file();
        let (device, report) = FittedReport::fit(&table, device, "cells.csv", conditions).unwrap();
        let model = Fitted::new(device).unwrap();
        let whole = median_us(&networks, |network| {
            black_box(model.network(black_box(network)).unwrap());
        });
        println!("fitted {name}: {:.1} us more; {:?}", whole - before, report.kinds);
    }
}
