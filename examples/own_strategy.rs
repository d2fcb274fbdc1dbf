//! A custom search strategy: hill climbing with random restarts. A config names it like any other strategy,
//! and this program runs it without the binary.
//!
//! ```console
//! $ cargo run --release --example own_strategy
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::path::Path;

use anyhow::Result;
use kiln::assembly::{Assembly, Folders, Registries};
use kiln::config::{Document, RunConfig};
use kiln_search::{Ask, Domain, Fidelity, Origin, Proposal, RunFolder, Strategy, Trial};
use kiln_space::{Genotype, Settings, SettingsError};
use rand::Rng;
use serde::Deserialize;

const CONFIG: &str = r#"
    study = { name = "hill-climbing", seed = 1 }
    data = { kind = "digits" }
    space = { kind = "mlp", layers = [1, 2], width = [16, 32, 64] }
    hardware = [{ device = "cortex-m7", latency_max_us = 2000 }]
    evaluator = { kind = "supernet", epochs = 5, batch = 64 }

    [search]
    strategy = { kind = "hill_climbing", patience = 4 }
    trials = 20
    in_flight = 2
    objectives = ["error_percent"]
"#;

/// Mutates the best trial since the last restart. Restarts after `patience` trials without improvement.
struct HillClimbing {
    patience: usize,
    best: Option<(f64, Genotype)>,
    since: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HillClimbingSettings {
    patience: usize,
}

fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let HillClimbingSettings { patience } = settings.read()?;
    Ok(Box::new(HillClimbing { patience, best: None, since: 0 }))
}

impl Strategy for HillClimbing {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let parent = self.best.as_ref().filter(|_| self.since < self.patience);
        let (genotype, operator) = if let Some((_, parent)) = parent {
            (domain.mutate(parent, rng), "mutation")
        } else {
            self.since = 0;
            self.best = None;
            (domain.sample(rng), "random")
        };
        let origin = Origin { operator: operator.to_owned(), ..Origin::default() };
        genotype.map_or(Ask::Done, |genotype| {
            Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin })
        })
    }

    fn tell(&mut self, trial: &Trial) {
        let Some(&value) = trial.objectives.0.first() else { return };
        if self.best.as_ref().is_none_or(|(best, _)| value < *best) {
            self.best = Some((value, trial.proposal.genotype.clone()));
            self.since = 0;
        } else {
            self.since += 1;
        }
    }
}

fn main() -> Result<()> {
    let mut registries = Registries::builtin();
    registries.strategies.register("hill_climbing", "mutations of the best, with restarts", build);

    let runs = std::env::temp_dir().join("kiln-examples");
    let config = RunConfig::from_document(Document::parse(Path::new("own_strategy"), CONFIG)?, None)?;
    let assembly = registries.build(config, Folders { data: None, runs: &runs })?;
    let (paths, text) = (assembly.paths.clone(), assembly.config.document.to_toml());
    let study = assembly.into_study();
    study.check()?;
    let summary = study.run(&RunFolder::open(&paths, &text, &Assembly::FREE_KEYS)?)?;

    println!("{} trials; the front:", summary.trials);
    for entry in &summary.front {
        println!("  trial {}: error {:.2} %", entry.trial, entry.objectives.0[0]);
    }
    Ok(())
}
