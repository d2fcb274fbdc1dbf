//! `kiln check --try`: evaluates one network with the least effort, outside a study.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, anyhow};
use kiln::assembly::{Assembly, Folders};
use kiln::config::RunConfig;
use kiln_export::plain_text;
use kiln_search::{Domain, Fidelities, Fidelity, Outcome, Request, seed};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::{failures, output, reading, units};

pub(super) fn run(config: &Path, common: &Common) -> Result<Exit, Failure> {
    let config = RunConfig::read(config, common.seed)?;
    // The trial leaves no run folder behind.
    let folder = temporary_folder().context("cannot make a temporary folder")?;
    let folders = Folders { data: common.data.as_deref(), runs: folder.path() };
    let assembly = reading::registries().build(config, folders)?;
    let Assembly { space, costs, constraints, evaluator, config, .. } = &assembly;
    let answered = evaluator.fidelities();
    if answered.full_epochs == 0 {
        let kind = &config.evaluator.kind;
        let problem = format!("`--try` is for evaluators that train each network, which `{kind}` does not");
        return Err(Failure::wrong(anyhow!(problem)));
    }
    let seed = config.study.seed;
    let domain = Domain::new(space.as_ref(), costs, constraints, &config.search.objectives);
    let genotype = domain.sample(&mut seed::generator(seed, "try", &[]));
    let genotype = genotype.ok_or_else(|| Failure::wrong(anyhow!("no network meets the constraints")))?;
    let architecture = space.decode(&genotype).map_err(Failure::wrong)?;
    let fidelity = least(answered);
    let trial_seed = seed::trial_seed(seed, &genotype);
    let request = Request { genotype: &genotype, architecture: &architecture, fidelity, seed: trial_seed };
    let begin = Instant::now();
    let (outcome, lines) = evaluator.try_out(&request).map_err(anyhow::Error::from)?;
    let seconds = begin.elapsed().as_secs_f64();
    let is_measured = outcome.measurement().is_some();
    if common.json {
        let genotype = genotype.to_string();
        output::print_json(&json!({
            "genotype": genotype, "fidelity": fidelity, "outcome": outcome, "seconds": seconds,
            "notes": lines,
        }))?;
    } else {
        let mut text =
            vec![format!("network      {genotype}"), format!("effort       {}", effort(fidelity, answered))];
        text.extend(lines.iter().map(|line| format!("note         {}", plain_text(line))));
        match &outcome {
            Outcome::Measured(measured) => text.extend(measured.metrics().iter().map(|(name, value)| {
                let (heading, value) = units::shown(name, *value);
                format!("metric       {}: {value}", plain_text(&heading))
            })),
            Outcome::Failed { kind, reason } => {
                text.push(format!("{:<13}{}", "failed", plain_text(reason)));
                text.push(format!("advice       {}", failures::advice(*kind)));
            }
        }
        text.push(format!("time         {seconds:.1} s"));
        output::print(&text.join("\n"))?;
    }
    Ok(if is_measured { Exit::Done } else { Exit::Stopped })
}

/// The least effort of a training: one epoch if the evaluator can stop there.
fn least(answered: Fidelities) -> Fidelity {
    if answered.answers(Fidelity::Epochs(1)) { Fidelity::Epochs(1) } else { Fidelity::Full }
}

fn effort(fidelity: Fidelity, answered: Fidelities) -> String {
    match fidelity.qualifier(answered.full_epochs) {
        Some(qualifier) => format!("judged {qualifier}"),
        None => format!("the whole schedule ({} epochs)", answered.full_epochs),
    }
}

fn temporary_folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("kiln-try-").tempdir()
}
