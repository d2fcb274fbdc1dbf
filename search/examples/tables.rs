//! Prints the tables of `docs/benchmarks.md` as Markdown. A table joins the results of several `kiln bench`
//! runs and has one row for each strategy.
//!
//! ```sh
//! cargo run --release -p kiln-search --example tables -- DATA TABLE SEEDS STRATEGY[:JSON],... [PLOT.svg]
//! ```
//!
//! `DATA` is a folder with `nasbench201/nasbench201.csv.gz`, `nas_bench_macro/nas_bench_macro_cifar10.csv.gz`
//! and `hw_nas_bench/nasbench201_cifar10.csv.gz`. `TABLE` is `cells`, `denoised`, `equal`, `epochs`,
//! `proxies`, `macro`, or a measured device, written as `DEVICE` or `DEVICE:BUDGET`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kiln_search::StrategyRegistry;
use kiln_search::bench::{
    CompareSettings, Comparison, EqualCells, HardwareSettings, MacroSettings, NasBench201Settings, Paired,
    Problem, Protocol, ProxySettings, RunSettings, Sample, StrategyChoice, StrategyResult, compare, svg,
};

const ALPHA: f64 = 0.01;
const TEST_10: &str = "e200_cifar10_test_acc_mean";
const TEST_100: &str = "e200_cifar100_test_acc_mean";
/// Signal, reported column, number of epochs of an evaluation (`None` for queries), and budget.
const PROTOCOLS: [(&str, &str, Option<f64>, f64); 4] = [
    ("e12_cifar10_valid_valid_acc", TEST_10, Some(12.0), 20_000.0),
    ("e12_cifar100_valid_acc", TEST_100, Some(24.0), 40_000.0),
    ("e200_cifar10_valid_valid_acc_mean", TEST_10, None, 100.0),
    ("e200_cifar100_valid_acc_mean", TEST_100, None, 100.0),
];
/// Duration of an epoch with validation, relative to an epoch without validation.
const VALIDATION: f64 = 1.029;
/// The baselines of the paired tests, if they are among the strategies.
const BASELINES: [&str; 3] = ["random", "regularized_evolution", "nsga2"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, table, seeds, strategies, plot @ ..] = arguments.as_slice() else {
        anyhow::bail!("expected DATA TABLE SEEDS STRATEGIES [PLOT.svg]");
    };
    let seeds = seeds.parse().context("SEEDS is a number")?;
    let strategies = StrategyChoice::parse_list(strategies)?;
    let data = Path::new(data);
    let comparisons: Vec<Comparison> = problems(data, table)?
        .iter()
        .map(|problem| {
            let known = |name: &&str| strategies.iter().any(|strategy| strategy.label == *name);
            let baselines = BASELINES.iter().filter(|name| known(name)).map(|name| (*name).to_owned());
            let runs = RunSettings {
                until_found: table == "macro",
                denoise: table == "denoised",
                ..RunSettings::default()
            };
            let settings = CompareSettings { seeds, baselines: baselines.collect(), alpha: ALPHA, runs };
            Ok(compare(problem, &StrategyRegistry::builtin(), &strategies, &settings)?)
        })
        .collect::<Result<_>>()?;
    let mut out = std::io::stdout().lock();
    for (index, strategy) in strategies.iter().enumerate() {
        write!(out, "| `{}` | {seeds} |", strategy.label)?;
        for comparison in &comparisons {
            let found = &comparison.strategies[index];
            let cell = match table.as_str() {
                "cells" | "proxies" => quality(found),
                "denoised" => denoised(found),
                "equal" => format!("{} / {}", quality(found), interval(Some(found.mean_regret))),
                "macro" => format!("{} | {}", interval(found.found_at), p_values(found, |of| of.found_at)),
                _ => format!(
                    "{} | {} | {} | {}",
                    interval(Some(found.regret)),
                    interval(Some(found.mean_regret)),
                    p_values(found, |of| of.regret),
                    p_values(found, |of| of.mean_regret)
                ),
            };
            write!(out, " {cell} |")?;
        }
        let milliseconds = comparisons.iter().map(|comparison| comparison.strategies[index].ask_tell_ms);
        let mean = milliseconds.sum::<f64>() / comparisons.len() as f64;
        writeln!(out, " {mean:.3} |")?;
    }
    if let (Some(file), Some(first)) = (plot.first(), comparisons.first()) {
        std::fs::write(file, svg(first)).with_context(|| format!("{file}: cannot write the plot"))?;
    }
    Ok(())
}

fn problems(data: &Path, table: &str) -> Result<Vec<Problem>> {
    let cells = data.join("nasbench201/nasbench201.csv.gz");
    let of = |signal: &str, report: &str, epochs: Option<f64>, budget, fidelities| {
        let cost = || "train_s_per_epoch_cifar10_valid".to_owned();
        let time = |epochs: f64| Protocol::Time { cost: cost(), factor: epochs * VALIDATION };
        NasBench201Settings {
            file: cells.clone(),
            signal: signal.to_owned(),
            report: report.to_owned(),
            protocol: epochs.map_or(Protocol::Queries, time),
            budget,
            fidelities,
            full_epochs: 200,
            equal_cells: EqualCells::Apart,
        }
    };
    Ok(match table {
        "cells" | "denoised" => PROTOCOLS
            .iter()
            .map(|(signal, report, epochs, budget)| {
                of(signal, report, *epochs, *budget, Vec::new()).problem()
            })
            .collect::<Result<_, _>>()?,
        "proxies" => PROTOCOLS
            .iter()
            .map(|(signal, report, epochs, budget)| {
                let images = if signal.contains("cifar100") { "cifar100" } else { "cifar10" };
                let scores = ProxySettings {
                    scores: data.join("nasbench201/zero_cost_freerea.csv.gz"),
                    columns: ["naswot", "logsynflow"].map(|name| format!("{name}_{images}")).into(),
                    cells: cells.clone(),
                };
                scores.add_to(of(signal, report, *epochs, *budget, Vec::new()).problem()?)
            })
            .collect::<Result<_, _>>()?,
        "epochs" => {
            let early = vec![(12, "e12_cifar10_valid_valid_acc".to_owned())];
            let signal = "e200_cifar10_valid_valid_acc_mean";
            vec![of(signal, TEST_10, Some(200.0), 60_000.0, early).problem()?]
        }
        "equal" => [EqualCells::Alike, EqualCells::Merged]
            .into_iter()
            .map(|equal_cells| {
                let (signal, report, _, budget) = PROTOCOLS[3];
                let settings = of(signal, report, None, budget, Vec::new());
                NasBench201Settings { equal_cells, ..settings }.problem()
            })
            .collect::<Result<_, _>>()?,
        "macro" => {
            let file = data.join("nas_bench_macro/nas_bench_macro_cifar10.csv.gz");
            vec![MacroSettings { file, signal: "mean_acc".to_owned(), budget: 6_561.0 }.problem()?]
        }
        device => {
            let (device, budget) = device.split_once(':').unwrap_or((device, "500"));
            let settings = HardwareSettings {
                file: cells,
                costs: PathBuf::from(data).join("hw_nas_bench/nasbench201_cifar10.csv.gz"),
                device: device.to_owned(),
                signal: "e200_cifar10_valid_valid_acc_mean".to_owned(),
                budget: budget.parse().context("BUDGET is a number")?,
            };
            vec![settings.problem()?]
        }
    })
}

fn quality(found: &StrategyResult) -> String {
    let test =
        found.report.map_or("-".to_owned(), |test| format!("{:.3} ± {:.3}", test.mean, test.deviation));
    format!("{test} / {:.3} / {:.3}", found.regret.mean, found.hit_rate)
}

fn denoised(found: &StrategyResult) -> String {
    let (Some(signal), Some(denoised)) = (found.report, &found.denoised) else { return "-".to_owned() };
    let Paired { p_better, p_worse, .. } = denoised.against_signal;
    format!(
        "{:.3} → {:.3} ± {:.3} (p {p_better:.0e}, worse {p_worse:.0e})",
        signal.mean, denoised.report.mean, denoised.report.deviation
    )
}

fn interval(sample: Option<Sample>) -> String {
    let Some(Sample { mean, confidence_95, .. }) = sample else { return "-".to_owned() };
    let decimals = if mean >= 10.0 { 0 } else { 4 };
    format!("{mean:.decimals$} ± {confidence_95:.decimals$}")
}

fn p_values(found: &StrategyResult, of: fn(&kiln_search::bench::Against) -> Paired) -> String {
    let p = |name: &&str| {
        let test = found.against.iter().find(|against| against.baseline == *name).map(of)?;
        let worse = if test.p_worse < ALPHA { " (worse)" } else { "" };
        Some(format!("{:.0e}{worse}", test.p_better))
    };
    BASELINES.iter().map(|name| p(name).unwrap_or("-".to_owned())).collect::<Vec<_>>().join(", ")
}
