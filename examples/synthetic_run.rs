//! Writes the run folder of a synthetic study with any number of trials. Use it to measure the duration and
//! the memory of commands. Genotypes and costs are real, errors are invented.
//!
//! ```console
//! $ cargo run --release --example synthetic_run -- runs/large 200000
//! $ /usr/bin/time -v kiln front runs/large
//! ```
//!
//! With `unchecked` after the number, the journal's lines have no checks, as in journals of earlier builds.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use kiln::assembly::Registries;
use kiln::config::{Document, RunConfig};
use kiln_search::{
    CheckChain, Domain, Event, Fidelity, JOURNAL_VERSION, JournalEntry, Objectives, Origin, Outcome,
    Proposal, RunPaths, Seconds, Trial, seed, study_front,
};
use kiln_space::variation;
use rand::RngExt;

const CONFIG: &str = r#"
    study = { name = "synthetic", seed = 1 }
    hardware = [{ device = "cortex-a72" }]
    evaluator = { kind = "table", file = "none.csv" }
    search = { strategy = "random", trials = 1000000, objectives = ["error_percent", "latency_us"] }

    [space]
    kind = "mlp"
    layers = [2, 3, 4]
    width = [8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96]
    input = [1, 8, 8]
    outputs = 10
"#;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("the first argument is a folder")?;
    let trials: u64 = arguments.next().context("the second argument is a number of trials")?.parse()?;
    let checked = arguments.next().is_none_or(|word| word != "unchecked");
    let paths = RunPaths::new(&folder);
    fs::create_dir_all(paths.root())?;
    let config = RunConfig::from_document(Document::parse(Path::new("synthetic.toml"), CONFIG)?, None)?;
    fs::write(paths.config(), config.document.to_toml())?;
    let mut journal = Writer::create(&paths, checked)?;
    journal.put(Event::Started { study: "synthetic".to_owned(), resumed: 0, trials: Some(trials) })?;
    journal.put(Event::Prepared { fingerprint: "synthetic".to_owned(), full_epochs: 0 })?;

    let registries = Registries::builtin();
    let space = registries.space(&config, None)?;
    let (costs, constraints) = registries.costs(&config)?;
    let objectives = config.search.objectives;
    let domain = Domain::new(space.as_ref(), &costs, &constraints, &objectives);
    let mut rng = seed::ask_generator(1, 0);
    let mut all = Vec::new();
    for id in 0..trials {
        let genotype = variation::sample(space.as_ref(), &mut rng);
        let costs = domain.costs(&genotype)?;
        let error = 2.0 + 4000.0 / costs.0["latency_us"] + 10.0 * rng.random::<f64>();
        let metrics = [("error_percent".to_owned(), error), ("loss_nats".to_owned(), error / 40.0)];
        let outcome = Outcome::from_metrics(metrics.into());
        let objectives = Objectives(vec![error, costs.0["latency_us"]]);
        let origin = Origin { operator: "random".to_owned(), parents: Vec::new(), cluster: None };
        let proposal = Proposal { genotype, fidelity: Fidelity::Full, origin };
        let trial = Trial { id, proposal, outcome, costs, objectives, violation: 0.0 };
        all.push(trial.clone());
        journal.put(Event::Trial { trial, known: false, seconds: Seconds::saturating(0.02), worker: 0 })?;
        if id % 4 == 0 {
            let (stage, note) = ("search".to_owned(), String::new());
            journal.put(Event::Progress { stage, done: id, total: trials, note })?;
        }
    }
    let front = study_front(&all).into_iter().map(|entry| entry.trial).collect();
    journal.put(Event::Searched { trials, front })?;
    journal.put(Event::Ended)?;
    journal.file.flush()?;
    Ok(())
}

/// Writes a journal without syncing it to disk.
struct Writer {
    file: BufWriter<File>,
    /// `None` for lines without checks.
    chain: Option<CheckChain>,
    lines: u64,
}

impl Writer {
    fn create(paths: &RunPaths, checked: bool) -> Result<Self> {
        let file = BufWriter::new(File::create(paths.journal())?);
        Ok(Self { file, chain: checked.then(CheckChain::default), lines: 0 })
    }

    fn put(&mut self, event: Event) -> Result<()> {
        let elapsed_s = Seconds::saturating(self.lines as f64 / 50.0);
        let unix_s = Seconds::saturating(1.7e9).saturating_add(elapsed_s);
        self.lines += 1;
        let mut entry = JournalEntry { version: JOURNAL_VERSION, unix_s, elapsed_s, event };
        let line = if let Some(chain) = &mut self.chain {
            chain.line(&entry)
        } else {
            entry.version = 1;
            serde_json::to_string(&entry)? + "\n"
        };
        Ok(self.file.write_all(line.as_bytes())?)
    }
}
