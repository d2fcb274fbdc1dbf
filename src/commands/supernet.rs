//! `kiln supernet`: measures whether a trained supernet ranks networks in the same order as training each
//! network on its own.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;

use kiln::assembly::Folders;
use kiln::audit::{Audit, AuditError, AuditFailure, AuditPlan, AuditedNetwork, Predictor};
use kiln_search::{EvalError, Outcome, Progress, RunFolder};
use serde_json::json;

use crate::cli::{Common, SupernetCommand};
use crate::exit::{Exit, Failure};
use crate::interrupt::StopFlag;
use crate::run::Run;
use crate::text_table::{Align, TextTable};
use crate::{failures, job_pool, output, reading, units};

pub(crate) fn run(command: &SupernetCommand, common: &Common) -> Result<Exit, Failure> {
    let SupernetCommand::Audit { run, networks, epochs, repeats, short, engine } = command;
    let networks = NonZeroUsize::new(usize::from(*networks)).expect("at least two were asked for");
    let stop = StopFlag::listen()?;
    let flag = stop.flag();
    let (epochs, repeats, workers) = (*epochs, *repeats, common.workers());
    let plan = AuditPlan { networks, epochs, repeats, short, workers, stop: &flag, pool: None };
    audit(run, plan, *engine, common)
}

fn audit(run: &Path, plan: AuditPlan<'_>, uses_engine: bool, common: &Common) -> Result<Exit, Failure> {
    let (paths, config) = Run::open(run, &common.runs)?;
    let registries = reading::registries();
    let folders = Folders { data: common.data.as_deref(), runs: &common.runs };
    let mut assembly = registries.build(config, folders)?;
    // An audit writes to the run folder. It therefore takes the same lock as studies and other audits.
    let _folder = RunFolder::hold(&paths)?;
    let engine = job_pool::permitted(assembly.engine.take(), uses_engine);
    let pool = job_pool::open(engine, &assembly.config, (&paths, true), common)?;
    let workers = pool.as_ref().map_or(plan.workers, |pool| pool.jobs());
    let plan = AuditPlan { workers, pool: pool.as_deref(), ..plan };
    let audited = Audit::run(&registries, &assembly, &paths, plan, &Lines);
    if audited.is_ok() {
        job_pool::end(pool.as_ref())?;
    }
    match audited {
        Ok(audit) if common.json => {
            output::print_json(&json!({ "run": output::path_text(paths.root()), "audit": audit }))?;
        }
        Ok(audit) => output::print(&as_text(&audit))?,
        Err(AuditError::Eval(EvalError::Interrupted)) => {
            output::say("interrupted; run the same command again to continue");
            return Ok(Exit::Interrupted);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

/// Prints an audit's progress on standard error.
struct Lines;

impl Progress for Lines {
    fn report(&self, stage: &str, done: u64, total: u64, note: &str) {
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        output::say(&format!("{stage}: {done} of {total} trainings done{note}"));
    }

    /// The evaluator calls this function when it can save its state and stop. An audit saves each result
    /// immediately, so it never stops here.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Lists the failed networks with the reasons of their failures. Returns an empty text if no network failed.
fn failed(audit: &Audit) -> String {
    let mut kinds = BTreeSet::new();
    let failed = audit.networks.iter().filter_map(|network| {
        let AuditFailure { what, kind, reason } = network.failure()?;
        kinds.insert(kind);
        Some(format!("\n  {}: {what} {}: {reason}", network.genotype, failures::said(kind)))
    });
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() {
        return String::new();
    }
    let advice =
        kinds.into_iter().map(|kind| format!("\nWhat {}: {}", failures::said(kind), failures::advice(kind)));
    let (count, all) = (failed.len(), audit.networks.len());
    format!("\n{count} of {all} networks failed:{}{}", failed.concat(), advice.collect::<String>())
}

fn as_text(audit: &Audit) -> String {
    let columns = ["network", "trained", "estimated", "parameters", "macs", "naswot"];
    let mut networks = TextTable::new(
        columns.iter().enumerate().map(|(i, name)| (*name, if i == 0 { Align::Left } else { Align::Right })),
    );
    let shown = |outcome: &Outcome, name: &str| match outcome {
        Outcome::Measured(measured) => {
            measured.get(name).map_or_else(String::new, |value| units::shown(name, value).1)
        }
        Outcome::Failed { .. } => "failed".to_owned(),
    };
    let trained = |network: &AuditedNetwork| match network.trained(&audit.metric) {
        Some(mean) => units::shown(&audit.metric, mean).1,
        None => "failed".to_owned(),
    };
    for network in &audit.networks {
        networks.row([
            network.genotype.to_string(),
            trained(network),
            shown(&network.estimated, &audit.metric),
            units::count(network.parameters as f64),
            units::count(network.macs as f64),
            shown(&network.proxy, "negative_naswot"),
        ]);
    }
    let columns =
        [("predictor", Align::Left), ("Kendall tau", Align::Right), ("95 % interval", Align::Right)];
    let mut predictors = TextTable::new(columns);
    for Predictor { name, correlation } in &audit.predictors {
        let row = match correlation {
            Some(found) => {
                [name.clone(), format!("{:.3}", found.tau), format!("{:.3} to {:.3}", found.low, found.high)]
            }
            None => [name.clone(), "none".to_owned(), String::new()],
        };
        predictors.row(row);
    }
    let heading = units::shown(&audit.metric, 0.0).0;
    format!("networks, by {heading}:\n{networks}\n{predictors}{}", failed(audit))
}
