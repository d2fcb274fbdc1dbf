//! Compares predictions with published measurements of NAS-Bench-201 cells: HW-NAS-Bench (C. Li et al., ICLR
//! 2021) and HELP (H. Lee et al., `NeurIPS` 2021). The environment variable `KILN_DATA` must name the folder
//! with the data.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of a test that reports what it found")]

use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use kiln_hw_models::{
    CostModel, Device, Interval, KeyFile, LatencyUnit, MeasurementFile, Roofline, spearman,
};
use kiln_space::spaces::NasBench201;
use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, Op, PoolKind, Shape, SpaceError,
};

/// The test compares every `STRIDE`-th cell.
const STRIDE: usize = 5;

/// Reads columns of a gzipped CSV file by name. An empty field or `-1` becomes `None`.
fn columns(path: &Path, names: &[&str]) -> Vec<Vec<Option<f64>>> {
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path).unwrap()));
    let header = reader.headers().unwrap().clone();
    let index: Vec<usize> = names.iter().map(|n| header.iter().position(|h| h == *n).unwrap()).collect();
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records().step_by(STRIDE) {
        let record = record.unwrap();
        for (column, i) in columns.iter_mut().zip(&index) {
            column.push(record[*i].parse::<f64>().ok().filter(|value| *value >= 0.0));
        }
    }
    columns
}

fn cells(path: &Path) -> Vec<(Architecture, f64)> {
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path).unwrap()));
    let header = reader.headers().unwrap().clone();
    let at = |name| header.iter().position(|h| h == name).unwrap();
    let (arch, flops) = (at("arch"), at("flops_cifar10"));
    let cells = reader.records().step_by(STRIDE).map(|record| {
        let record = record.unwrap();
        (network(&record[arch]).unwrap(), record[flops].parse().unwrap())
    });
    cells.collect()
}

/// Builds the network of a cell in the published notation `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.
fn network(cell: &str) -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::new(3, 32, 32));
    let x = b.conv("stem", b.input(), 16, 3, 1, 1)?;
    let mut x = b.batch_norm("stem_bn", x)?;
    for (stage, channels) in [16, 32, 64].into_iter().enumerate() {
        if stage > 0 {
            x = reduction(&mut b, &format!("reduction{stage}"), x, channels)?;
        }
        for n in 0..5 {
            x = add_cell(&mut b, &format!("cell{stage}_{n}"), x, cell)?;
        }
    }
    let x = b.batch_norm("last_bn", x)?;
    let x = b.activation("last_relu", x, ActivationKind::Relu)?;
    let x = b.global_pool("pool", x)?;
    b.linear("classifier", x, 10)?;
    b.finish()
}

fn relu_conv(
    b: &mut ArchitectureBuilder,
    name: &str,
    x: LayerId,
    [out, kernel, stride]: [usize; 3],
) -> Result<LayerId, SpaceError> {
    let x = b.activation(format!("{name}_relu"), x, ActivationKind::Relu)?;
    let x = b.conv(name, x, out, kernel, stride, 1)?;
    b.batch_norm(format!("{name}_bn"), x)
}

fn average(kernel: usize, stride: usize, padding: usize) -> Op {
    Op::Pool { kind: PoolKind::Average, kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] }
}

fn reduction(b: &mut ArchitectureBuilder, name: &str, x: LayerId, out: usize) -> Result<LayerId, SpaceError> {
    let y = relu_conv(b, &format!("{name}_a"), x, [out, 3, 2])?;
    let y = relu_conv(b, &format!("{name}_b"), y, [out, 3, 1])?;
    let s = b.add(format!("{name}_pool"), average(2, 2, 0), &[x], None)?;
    let s = b.conv(format!("{name}_shortcut"), s, out, 1, 1, 1)?;
    b.add(format!("{name}_add"), Op::Add, &[s, y], None)
}

fn add_cell(b: &mut ArchitectureBuilder, name: &str, x: LayerId, cell: &str) -> Result<LayerId, SpaceError> {
    let channels = b.shape(x).channels;
    let mut nodes = vec![x];
    for (i, node) in cell.split('+').enumerate() {
        let mut edges = Vec::new();
        for edge in node.trim_matches('|').split('|') {
            let (op, from) = edge.split_once('~').unwrap();
            let (from, name) = (nodes[from.parse::<usize>().unwrap()], format!("{name}_{i}_{from}"));
            edges.push(match op {
                "none" => b.add(name, Op::Zero { channels, stride: 1 }, &[from], None)?,
                "skip_connect" => from,
                "nor_conv_1x1" => relu_conv(b, &name, from, [channels, 1, 1])?,
                "nor_conv_3x3" => relu_conv(b, &name, from, [channels, 3, 1])?,
                "avg_pool_3x3" => b.add(name, average(3, 1, 1), &[from], None)?,
                _ => panic!("unknown operation {op}"),
            });
        }
        nodes.push(if edges.len() == 1 {
            edges[0]
        } else {
            b.add(format!("{name}_{i}"), Op::Add, &edges, None)?
        });
    }
    Ok(nodes[3])
}

/// Agreement of predictions with a measured column.
struct Agreement {
    spearman: f64,
    spearman_of_macs: f64,
    /// Spearman correlation of measurements with the MACs of layers that run.
    spearman_of_live_macs: f64,
    /// Fraction of measurements inside their predicted interval.
    covered: f64,
    /// 5 %, 50 % and 95 % quantiles of the ratio measured / predicted.
    ratios: [f64; 3],
}

/// Prediction and measurement of one cell.
struct Row {
    predicted: Interval,
    macs: f64,
    live_macs: f64,
    measured: f64,
}

fn agreement(rows: &[Row]) -> Agreement {
    let column = |f: fn(&Row) -> f64| rows.iter().map(f).collect::<Vec<_>>();
    let measured = column(|row| row.measured);
    let mut ratios = column(|row| row.measured / row.predicted.value);
    ratios.sort_by(f64::total_cmp);
    let covered = rows.iter().filter(|row| (row.predicted.low..=row.predicted.high).contains(&row.measured));
    let spearman = |a: &[f64], b: &[f64]| spearman(a, b).expect("networks differ");
    Agreement {
        spearman: spearman(&column(|row| row.predicted.value), &measured),
        spearman_of_macs: spearman(&column(|row| row.macs), &measured),
        spearman_of_live_macs: spearman(&column(|row| row.live_macs), &measured),
        covered: covered.count() as f64 / rows.len() as f64,
        ratios: [5, 50, 95].map(|percent| ratios[ratios.len() * percent / 100]),
    }
}

/// Returns the measured latencies, in microseconds, of the cells to which the Cortex-A72 file was fitted
/// (`tests/calibration.rs`). No other cell has one of these latencies, so they identify the cells.
fn fitted_cells(data: &Path) -> Vec<f64> {
    let file = MeasurementFile {
        path: data.join("hw_nas_bench/nasbench201_cifar10.csv.gz"),
        key: "arch".to_owned(),
        key_file: Some(KeyFile { path: data.join("nasbench201/nasbench201.csv.gz"), on: "index".to_owned() }),
        latency_column: "raspi4_latency_ms".to_owned(),
        unit: LatencyUnit::Ms,
    };
    let (fitted, _) = file.read(&NasBench201::default()).unwrap().draw(100, 1);
    fitted.into_iter().map(|cell| cell.latency_us).collect()
}

/// Returns the MACs of the layers that run and the MACs of all layers.
fn macs(network: &Architecture) -> (f64, f64) {
    let live = network.live();
    let all = network.ids().map(|id| (live[id.0], network.layer_counts(id).macs as f64));
    all.fold((0.0, 0.0), |(running, sum), (live, macs)| {
        (if live { running + macs } else { running }, sum + macs)
    })
}

#[test]
#[ignore = "needs KILN_DATA: measured latencies of NAS-Bench-201"]
fn roofline_ranks_measured_networks_at_least_as_well_as_macs() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        println!("skipped: KILN_DATA names no folder with the measurements");
        return;
    };
    let cells = cells(&data.join("nasbench201/nasbench201.csv.gz"));
    for (network, published) in &cells {
        assert!((published - macs(network).1).abs() < 0.5, "{} MACs, published {published}", macs(network).1);
    }
    let table = |file: &str, names: &[&str]| columns(&data.join(file), names);
    let names = ["raspi4_latency_ms", "edgegpu_latency_ms", "edgegpu_energy_mj"];
    let hw = table("hw_nas_bench/nasbench201_cifar10.csv.gz", &names);
    let help = table("help/nasbench201_latency_ms.csv.gz", &["silver_4210r"]);
    // The Cortex-A72 file was fitted to some of the cells; leave them out.
    let fitted_to = fitted_cells(&data);
    // HELP ran dead layers too, so only networks without dead layers are comparable there.
    let columns = [
        ("cortex-a72", "latency", &hw[0], false),
        ("jetson-tx2", "latency", &hw[1], false),
        ("jetson-tx2", "energy", &hw[2], false),
        ("xeon-4210r", "latency", &help[0], true),
    ];
    let mut failed = Vec::new();
    for (device, cost, measured, without_dead) in columns {
        let model = Roofline::new(Device::builtin(device).unwrap(), 1, 1);
        let rows = cells.iter().zip(measured).filter_map(|((network, _), measured)| {
            let (live_macs, macs) = macs(network);
            let measured_us = (*measured)? * 1e3;
            let fitted =
                device == "cortex-a72" && fitted_to.iter().any(|us| us.total_cmp(&measured_us).is_eq());
            if fitted || without_dead && live_macs < macs {
                return None;
            }
            let estimate = model.network(network).unwrap();
            let predicted = if cost == "latency" { estimate.latency_us } else { estimate.energy_uj };
            Some(Row { predicted, macs, live_macs, measured: measured_us })
        });
        let rows: Vec<Row> = rows.collect();
        let found = agreement(&rows);
        println!(
            "{device} {cost}, {} networks: Spearman {:.3}, of MACs {:.3}, of live MACs {:.3}; {:.1} % in the \
             interval; measured / predicted {:.2?}",
            rows.len(),
            found.spearman,
            found.spearman_of_macs,
            found.spearman_of_live_macs,
            found.covered * 100.0,
            found.ratios,
        );
        let macs = found.spearman_of_macs.max(found.spearman_of_live_macs);
        if found.spearman < macs - 0.01 || found.covered < 0.85 {
            failed.push((device, cost));
        }
    }
    assert!(failed.is_empty(), "ranked worse than by MACs, or outside the interval: {failed:?}");
}
