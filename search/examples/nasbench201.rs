//! The four protocols in which strategies are compared on NAS-Bench-201, one after the other: what four calls of
//! `kiln bench nasbench201` give.
//!
//! ```sh
//! cargo run --release -p kiln-search --example nasbench201 -- nasbench201.csv.gz [SEEDS] [STRATEGY[:JSON],...]
//! ```
//!
//! It prints, over the seeds, mean and deviation of the test accuracy of the best cell by the signal, the mean regret in points
//! of the signal, and the share of runs that found the signal's optimum.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use kiln_search::StrategyRegistry;
use kiln_search::bench::{
    CompareSettings, NasBench201Settings, Protocol, RunSettings, StrategyChoice, compare,
};

/// Signal, reported column, epochs that an evaluation costs (`None` for queries), budget. With validation an epoch takes 1.029
/// times as long as without.
const PROTOCOLS: [(&str, &str, Option<f64>, f64); 4] = [
    ("e12_cifar10_valid_valid_acc", "e200_cifar10_test_acc_mean", Some(12.0), 20_000.0),
    ("e12_cifar100_valid_acc", "e200_cifar100_test_acc_mean", Some(24.0), 40_000.0),
    ("e200_cifar10_valid_valid_acc_mean", "e200_cifar10_test_acc_mean", None, 100.0),
    ("e200_cifar100_valid_acc_mean", "e200_cifar100_test_acc_mean", None, 100.0),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().map(PathBuf::from).context("say where the table is")?;
    let seeds: u64 = arguments.next().map_or(Ok(500), |text| text.parse()).context("SEEDS is a number")?;
    let registry = StrategyRegistry::builtin();
    let strategies = arguments.next().unwrap_or_else(|| "random,regularized_evolution,clustered".to_owned());
    let strategies = StrategyChoice::parse_list(&strategies)?;
    let mut out = std::io::stdout().lock();
    for (signal, report, epochs, budget) in PROTOCOLS {
        let time = |epochs: f64| Protocol::Time {
            cost: "train_s_per_epoch_cifar10_valid".to_owned(),
            factor: epochs * 1.029,
        };
        let settings = NasBench201Settings {
            file: file.clone(),
            signal: signal.to_owned(),
            report: report.to_owned(),
            protocol: epochs.map_or(Protocol::Queries, time),
            budget,
            fidelities: Vec::new(),
            full_epochs: 200,
        };
        let settings = (
            settings.problem()?,
            CompareSettings {
                seeds,
                baselines: Vec::new(),
                alpha: 0.01,
                runs: RunSettings { denoise: true, ..RunSettings::default() },
            },
        );
        let comparison = compare(&settings.0, &registry, &strategies, &settings.1)?;
        writeln!(out, "{}", comparison.problem)?;
        for found in comparison.strategies {
            let test = found.report.context("a reported column")?;
            writeln!(
                out,
                "  {:<24} {:.3} ± {:.3} / {:.3} / {:.3}   {:.0} evaluations, {:.3} ms a trial  denoised {:?} {:?}",
                found.strategy,
                test.mean,
                test.deviation,
                found.regret.mean,
                found.hit_rate,
                found.evaluations.mean,
                found.ask_tell_ms,
                found.denoised.as_ref().map(|d| (d.report.mean, d.report.deviation)),
                found.denoised.as_ref().map(|d| d.against_signal),
            )?;
        }
    }
    Ok(())
}
