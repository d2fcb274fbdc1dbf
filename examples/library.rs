//! Kiln without its binary: builds a study from a config, observes it while it runs, then loads and uses its
//! best network.
//!
//! ```console
//! $ cargo run --release --example library
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::path::Path;

use anyhow::{Context, Result};
use kiln::assembly::{Assembly, Folders, Registries};
use kiln::config::{Document, RunConfig};
use kiln::survey::Survey;
use kiln_evaluator::data::Split;
use kiln_evaluator::predict;
use kiln_export::{Onnx, TrainedModel, write_files};
use kiln_search::{Event, Observer, RunFolder};

const CONFIG: &str = r#"
    study = { name = "library", seed = 1 }
    data = { kind = "digits" }
    space = { kind = "mlp", layers = [1, 2], width = [16, 32, 64] }
    hardware = [{ device = "cortex-m7", latency_max_us = 2000 }]
    evaluator = { kind = "supernet", epochs = 5, batch = 64 }
    search = { strategy = "random", trials = 10, objectives = ["error_percent", "latency_us"] }
    finish = { networks = 1, epochs = 10 }
"#;

/// Prints each trial when its outcome is known. The study calls observers in order, and an observer must not
/// block.
struct Printer;

impl Observer for Printer {
    fn on_event(&mut self, event: &Event) {
        if let Event::Trial { trial, .. } = event {
            println!("trial {}: {:?}", trial.id, trial.objectives.0);
        }
    }
}

fn main() -> Result<()> {
    let runs = tempfile::tempdir()?;
    let config = RunConfig::from_document(Document::parse(Path::new("library.toml"), CONFIG)?, None)?;
    let assembly = Registries::builtin().build(config, Folders { data: None, runs: runs.path() })?;

    // The config is checked here, before anything is trained.
    let survey = Survey::new(assembly.space.as_ref(), &assembly.costs, &assembly.constraints, 1);
    println!("{} genotypes in {} decisions", survey.genotypes, survey.decisions);

    // The run folder contains everything about the study. A second run in the same folder continues where the
    // first one stopped.
    let (paths, text) = (assembly.paths.clone(), assembly.config.document.to_toml());
    let data = assembly.data.clone().context("the config names data")?;
    let mut study = assembly.into_study();
    study.observers.push(Box::new(Printer));
    study.check()?;
    let summary = study.run(&RunFolder::open(&paths, &text, &Assembly::FREE_KEYS)?)?;

    // The finished network is plain data. You can run it, or write it in another format.
    let finished = summary.finished.first().context("one network is finished")?;
    let model = TrainedModel::load(&paths.model(finished.trial).join("model.kiln"))?;
    let first = data.split(Split::Test)[0];
    let outputs = predict(&model, data.example(first));
    let top =
        (0..outputs.len()).max_by(|a, b| outputs[*a].total_cmp(&outputs[*b])).context("there are classes")?;
    println!("the first test image is a {}, predicted: {}", data.label(first), model.card.classes[top]);
    let written = write_files(&Onnx, &model, &runs.path().join("best.onnx"), false)?;
    println!(
        "test accuracy {:.2} %, {} file written",
        finished.metrics["test_accuracy_percent"],
        written.len()
    );
    Ok(())
}
