//! Runs the study of an example in a fresh folder and prints its front.

use std::path::Path;

use anyhow::Result;
use kiln::assembly::{Assembly, Folders, Registries};
use kiln::config::{Document, RunConfig};
use kiln_search::RunFolder;

/// Builds the study that `config` describes, runs it and prints its front.
pub(crate) fn study(registries: &Registries, config: &str) -> Result<()> {
    let runs = tempfile::tempdir()?;
    let config = RunConfig::from_document(Document::parse(Path::new("example.toml"), config)?, None)?;
    let objectives = config.search.objectives.clone();
    let assembly = registries.build(config, Folders { data: None, runs: runs.path() })?;
    let (paths, text) = (assembly.paths.clone(), assembly.config.document.to_toml());
    let study = assembly.into_study();
    study.check()?;
    let summary = study.run(&RunFolder::open(&paths, &text, &Assembly::FREE_KEYS)?)?;

    println!("{} trials; the front:", summary.trials);
    for entry in &summary.front {
        let values = objectives.iter().zip(&entry.objectives.0);
        let values: Vec<String> = values.map(|(name, value)| format!("{name} {value:.2}")).collect();
        println!("  trial {}: {}", entry.trial, values.join(", "));
    }
    for finished in &summary.finished {
        let files: Vec<&str> = finished.files.iter().map(|file| file.name.as_str()).collect();
        println!("trial {} is finished: {}", finished.trial, files.join(", "));
    }
    Ok(())
}
