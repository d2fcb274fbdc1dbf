//! Strategies on the published NAS-Bench-201 table, under the protocols of NATS-Bench and of a fixed number of queries.
//!
//! ```sh
//! cargo run --release -p kiln-search --example nasbench201 -- nasbench201.csv.gz [SEEDS] [STRATEGY[:JSON]...]
//! ```
//!
//! Time protocol: 20,000 simulated seconds on CIFAR-10 and 40,000 on CIFAR-100; the signal is the validation accuracy after
//! 12 epochs, and an evaluation costs 12 epochs (24 on CIFAR-100) of training with validation, 1.029 times the training
//! alone. Query protocol: 100 evaluations of the mean validation accuracy after 200 epochs.
//! Source: Dong, Liu, Musial, Gabrys, NATS-Bench, TPAMI 2021, section 5.
//!
//! For each strategy and protocol it prints, over the seeds, the mean and deviation of the test accuracy of the best cell
//! by the signal, the mean regret (points of the signal), and the share of runs that found the signal's optimum.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kiln_search::{
    Ask, CostSet, Costs, Domain, Measurement, Objectives, Outcome, Strategy, StrategyRegistry,
    TableEvaluator, Trial, seed,
};
use kiln_space::spaces::NasBench201;
use kiln_space::{Settings, SpaceRegistry};
use rayon::prelude::*;
use serde_json::{Value, json};

const VALIDATION_OVERHEAD: f64 = 1.029;

/// What is searched on, what is reported, and what it costs.
struct Protocol {
    name: &'static str,
    signal: &'static str,
    test: &'static str,
    /// Simulated seconds of an evaluation for each second of an epoch; `None` where each counts one.
    epochs: Option<f64>,
    budget: f64,
}

const PROTOCOLS: [Protocol; 4] = [
    Protocol {
        name: "CIFAR-10, 20,000 s",
        signal: "e12_cifar10_valid_valid_acc",
        test: "e200_cifar10_test_acc_mean",
        epochs: Some(12.0 * VALIDATION_OVERHEAD),
        budget: 20_000.0,
    },
    Protocol {
        name: "CIFAR-100, 40,000 s",
        signal: "e12_cifar100_valid_acc",
        test: "e200_cifar100_test_acc_mean",
        epochs: Some(24.0 * VALIDATION_OVERHEAD),
        budget: 40_000.0,
    },
    Protocol {
        name: "CIFAR-10, 100 queries",
        signal: "e200_cifar10_valid_valid_acc_mean",
        test: "e200_cifar10_test_acc_mean",
        epochs: None,
        budget: 100.0,
    },
    Protocol {
        name: "CIFAR-100, 100 queries",
        signal: "e200_cifar100_valid_acc_mean",
        test: "e200_cifar100_test_acc_mean",
        epochs: None,
        budget: 100.0,
    },
];

/// What one run found.
struct Found {
    test_accuracy_percent: f64,
    regret: f64,
    asks: u32,
    strategy_time: Duration,
}

/// The tables of a protocol.
struct Tables {
    results: TableEvaluator,
    epoch_seconds: TableEvaluator,
    optimum: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(file) = arguments.next().map(PathBuf::from) else {
        bail!("say where the table is: nasbench201 FILE [SEEDS] [STRATEGY[:JSON]...]")
    };
    let file = std::path::absolute(file)?;
    let seeds: u64 = arguments.next().map_or(Ok(500), |text| text.parse()).context("SEEDS is a number")?;
    ensure!(seeds > 0, "at least one seed is needed");
    let mut strategies: Vec<String> = arguments.collect();
    let registry = StrategyRegistry::builtin();
    if strategies.is_empty() {
        strategies = registry.strategies().map(|(name, _)| name.to_owned()).collect();
    }
    let mut lines = vec![
        format!(
            "{seeds} seeds: test accuracy in % ± deviation / regret in points / share that found the optimum"
        ),
        format!("{:<24}  {:<24} {:^28} ms per ask", "protocol", "strategy", "test / regret / hit"),
    ];
    for protocol in &PROTOCOLS {
        let tables = Tables::open(&file, protocol)?;
        for strategy in &strategies {
            let build = || build(&registry, strategy);
            let found: Result<Vec<Found>> =
                (0..seeds).into_par_iter().map(|seed| run(build()?, protocol, &tables, seed)).collect();
            lines.push(format!("{:<24}  {strategy:<24} {}", protocol.name, summary(&found?)));
            eprintln!("{}", lines[lines.len() - 1]);
        }
    }
    writeln!(std::io::stdout().lock(), "{}", lines.join("\n"))?;
    Ok(())
}

fn build(registry: &StrategyRegistry, text: &str) -> Result<Box<dyn Strategy>> {
    let (name, table) = text.split_once(':').unwrap_or((text, "{}"));
    let Value::Object(table) = serde_json::from_str(table)? else { bail!("settings are a JSON object") };
    Ok(registry.build(name, &Settings::new("search", table))?)
}

impl Tables {
    fn open(file: &Path, protocol: &Protocol) -> Result<Self> {
        let open = |table: Value| {
            let table = table.as_object().cloned().context("settings are a table")?;
            anyhow::Ok(TableEvaluator::open(&Settings::new("evaluator", table), None)?)
        };
        let results = open(json!({
            "file": file, "key": "arch", "key_format": "nasbench201", "signal": protocol.signal,
            "report": { "test_error_percent": protocol.test },
        }))?;
        let epoch_seconds = open(json!({
            "file": file, "key": "arch", "key_format": "nasbench201", "signal": "train_s_per_epoch_cifar10_valid",
            "direction": "minimize", "metric": "seconds",
        }))?;
        let errors = results.entries().filter_map(|(_, found)| found.get("error_percent"));
        let optimum = errors.fold(f64::INFINITY, f64::min);
        Ok(Self { results, epoch_seconds, optimum })
    }
}

fn run(mut strategy: Box<dyn Strategy>, protocol: &Protocol, tables: &Tables, seed: u64) -> Result<Found> {
    // Every cell of the table was trained on its own, so equal cells are not merged.
    let mut table = serde_json::Map::new();
    table.insert("merge_equal".to_owned(), Value::Bool(false));
    let space = SpaceRegistry::builtin().build("nasbench201", &Settings::new("space", table), None)?;
    let (costs, objectives) = (CostSet::default(), ["error_percent".to_owned()]);
    let domain = Domain::new(space.as_ref(), &costs, &[], &objectives);
    let mut left = protocol.budget;
    let mut best: Option<Measurement> = None;
    let mut found = Found { test_accuracy_percent: 0.0, regret: 0.0, asks: 0, strategy_time: Duration::ZERO };
    for id in 0.. {
        let started = Instant::now();
        let ask = strategy.ask(&domain, &mut seed::ask_generator(seed, id));
        found.strategy_time += started.elapsed();
        found.asks += 1;
        let proposal = match ask {
            Ask::Propose(proposal) => proposal,
            Ask::Done => break,
            Ask::Wait => bail!("waits with nothing running"),
        };
        let entry = || NasBench201::arch_string(&proposal.genotype);
        let seconds = tables.epoch_seconds.get(&proposal.genotype).and_then(|found| found.get("seconds"));
        let cost = match (protocol.epochs, seconds) {
            (None, _) => 1.0,
            (Some(epochs), Some(seconds)) => epochs * seconds,
            (Some(_), None) => bail!("no time for {}", entry()?),
        };
        if cost > left {
            break;
        }
        left -= cost;
        let Some(measurement) = tables.results.get(&proposal.genotype) else {
            bail!("no result for {}", entry()?)
        };
        let error = |measurement: &Measurement| measurement.get("error_percent").unwrap_or(f64::INFINITY);
        if best.as_ref().is_none_or(|best| error(measurement) < error(best)) {
            best = Some(measurement.clone());
        }
        strategy.tell(&Trial {
            id,
            objectives: Objectives(vec![error(measurement)]),
            outcome: Outcome::Measured(measurement.clone()),
            proposal,
            costs: Costs::default(),
            violation: 0.0,
        });
    }
    let best = best.context("nothing was evaluated")?;
    let metric = |name| best.get(name).with_context(|| format!("no `{name}` for the best cell"));
    found.test_accuracy_percent = 100.0 - metric("test_error_percent")?;
    found.regret = metric("error_percent")? - tables.optimum;
    Ok(found)
}

fn summary(found: &[Found]) -> String {
    let n = found.len() as f64;
    let mean = |value: fn(&Found) -> f64| found.iter().map(value).sum::<f64>() / n;
    let test = mean(|found| found.test_accuracy_percent);
    let variance = found.iter().map(|found| (found.test_accuracy_percent - test).powi(2)).sum::<f64>() / n;
    let time: Duration = found.iter().map(|found| found.strategy_time).sum();
    let asks: u32 = found.iter().map(|found| found.asks).sum();
    format!(
        "{test:.3} ± {:.3} / {:.3} / {:.3}   {:.2}",
        variance.sqrt(),
        mean(|found| found.regret),
        mean(|found| f64::from(u8::from(found.regret < 1e-9))),
        time.as_secs_f64() * 1e3 / f64::from(asks),
    )
}
