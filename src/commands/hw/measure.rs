//! `kiln hw measure`: measures networks of a config's space and fits a device file to them.

mod fitting;
mod journal;
mod kernels;
mod networks;
mod start;
mod table;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use kiln::runtimes::OnnxRuntime;
use kiln_evaluator::KilnRuntime;
use kiln_hw_models::measuring::{
    CommandLine, CommandRuntime, Ending, MeasuringPlan, OutputRule, Runtime, Session, Surroundings,
    SystemClock, TimeUnit, Visit, VisitOutcome, choose_probes, summarize,
};
use kiln_space::Architecture;
use serde::Serialize;
use serde_json::json;

use self::journal::{Conditions, Journal, Place};
use crate::cli::{Common, MeasureArguments, PrintedUnit, RuntimeName};
use crate::exit::{Exit, Failure};
use crate::interrupt::StopFlag;
use crate::output;

/// Networks without which nothing can be fitted and tested: ten for the fit, and a fifth of all for the test.
const NETWORKS_MIN: usize = 13;
/// Minimum interval between lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Number of failed networks that are listed.
const LISTED: usize = 5;

pub(super) fn run(arguments: &MeasureArguments, common: &Common) -> Result<Exit, Failure> {
    let space = super::space(Some(&arguments.config), common)?;
    let start = start::device(arguments)?;
    let stop = StopFlag::listen()?.flag();
    let runtime = runtime(arguments, &stop)?;
    let place = Place::beside(&arguments.out);
    let conditions = conditions(arguments, runtime.as_ref(), common.seed.unwrap_or(0));
    let earlier = Journal::read(&place, &conditions, arguments.force)?;
    let count = earlier.as_ref().map_or(0, |journal| journal.networks.len()).max(arguments.networks.into());
    let probes = choose_probes(space.as_ref(), count, conditions.seed);
    if probes.len() < NETWORKS_MIN {
        return Err(Failure::wrong(anyhow!(
            "the space has {} networks, expected at least {NETWORKS_MIN}: ten for the fit, and a fifth of all to \
             test it",
            probes.len()
        )));
    }
    let conditions_seed = conditions.seed;
    let mut journal = Journal::of(earlier, conditions, &probes, &place)?;
    let kernels = kernels::chosen(arguments, &start, space.as_ref(), conditions_seed)?;
    let [for_networks, for_kernels] = kernels::shares(arguments, probes.len(), kernels.len());
    let ending = measure(arguments, for_networks, runtime.as_ref(), &probes, &mut journal, (&place, &stop))?;
    let (latencies, ..) = summarize(probes.len(), &journal.visits);
    if let Some(exit) = ended(&ending, &journal)? {
        return Ok(exit);
    }
    let measured = latencies.iter().flatten().count();
    if measured < NETWORKS_MIN {
        return Err(Failure::wrong(anyhow!(
            "{measured} networks were measured, expected at least {NETWORKS_MIN}; {}",
            lack(&ending, &journal)
        )));
    }
    table::write(&place.table(), &journal, &probes)?;
    let mut start = start;
    let mut of_kernels = None;
    if !kernels.is_empty() {
        let (conditions, place) = (journal.conditions.clone(), place.kernels());
        let earlier = Journal::read(&place, &conditions, arguments.force)?;
        let mut journal = Journal::of(earlier, conditions, &kernels, &place)?;
        let ending =
            measure(arguments, for_kernels, runtime.as_ref(), &kernels, &mut journal, (&place, &stop))?;
        if let Some(exit) = ended(&ending, &journal)? {
            return Ok(exit);
        }
        networks::remove(&place, runtime.format(), kernels.len());
        let measured = kernels::table(&place, &journal)?;
        let table = Place::beside(&arguments.out).table();
        let (device, report) =
            kernels::fit(arguments, &start, space.as_ref(), &journal, (&measured, &table))?;
        (start, of_kernels) = (device, Some(report));
    }
    let fitted = fitting::fit(arguments, &start, space.as_ref(), &journal, &place.table())?;
    networks::remove(&place, runtime.format(), probes.len());
    let failures = failures(&journal);
    if common.json {
        let mut value = json!({
            "file": output::path_text(&arguments.out), "measurements": output::path_text(&place.table()),
            "measured": fitted.report, "fit": fitted.fit, "failures": failures,
        });
        if let Some(report) = of_kernels {
            value["kernels"] = json!(report);
        }
        output::print_json(&value)?;
    } else {
        for line in failed_lines(&failures) {
            output::say(&line);
        }
        let kernels = of_kernels.map_or_else(String::new, |report| format!("{}\n\n", report.text()));
        output::print(&format!("{kernels}{}", fitted.text(&arguments.out, &place.table())))?;
    }
    Ok(Exit::Done)
}

/// The runtime that was asked for.
fn runtime(arguments: &MeasureArguments, stop: &Arc<AtomicBool>) -> Result<Box<dyn Runtime>, Failure> {
    let MeasureArguments { batch, threads, command, copy, time_out, .. } = arguments;
    let sizes = [*batch, *threads].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    if arguments.runtime != RuntimeName::Command && !command.is_empty() {
        return Err(Failure::wrong(anyhow!("`--command` needs `--runtime command`")));
    }
    Ok(match arguments.runtime {
        RuntimeName::Kiln => Box::new(KilnRuntime::new(sizes[0], sizes[1]).map_err(Failure::wrong)?),
        RuntimeName::Onnxruntime => {
            let stated = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
            let library = arguments.library.as_ref().or(stated.as_ref()).map(PathBuf::as_path);
            Box::new(OnnxRuntime::open(library, sizes[0], sizes[1]).map_err(Failure::wrong)?)
        }
        RuntimeName::Command => {
            let rule = arguments.unit.map_or(OutputRule::Json, |unit| {
                OutputRule::LastNumber(match unit {
                    PrintedUnit::Us => TimeUnit::Us,
                    PrintedUnit::Ms => TimeUnit::Ms,
                    PrintedUnit::S => TimeUnit::S,
                })
            });
            let command = CommandLine::new(command.clone()).map_err(Failure::wrong)?;
            let copy = (!copy.is_empty()).then(|| CommandLine::new(copy.clone())).transpose();
            let copy = copy.map_err(Failure::wrong)?;
            let time_out = Duration::from_secs(*time_out);
            let runtime =
                CommandRuntime::new(command, copy, rule, [*batch, *threads], time_out, Arc::clone(stop));
            Box::new(runtime.map_err(Failure::wrong)?)
        }
    })
}

/// What the latencies depend on besides the networks.
fn conditions(arguments: &MeasureArguments, runtime: &dyn Runtime, seed: u64) -> Conditions {
    let commands = json!([arguments.command, arguments.copy, arguments.unit.map(|unit| format!("{unit:?}"))]);
    // A hash: a command may hold names of machines and users, which are nobody's business.
    let commands = (!arguments.command.is_empty())
        .then(|| kiln_files::ContentHash::of(commands.to_string().as_bytes()).to_string());
    Conditions {
        runtime: runtime.name().to_owned(),
        runtime_version: runtime.version().to_owned(),
        commands,
        batch: arguments.batch,
        threads: arguments.threads,
        seed,
    }
}

/// Measures what the journal does not have yet.
fn measure(
    arguments: &MeasureArguments,
    total: Duration,
    runtime: &dyn Runtime,
    probes: &[(impl Display, Architecture)],
    journal: &mut Journal,
    (place, stop): (&Place, &AtomicBool),
) -> Result<Ending, Failure> {
    let models = networks::paths(place, runtime.format(), probes.len());
    let clock = SystemClock::start();
    let session = Session {
        runtime,
        clock: &clock,
        plan: if runtime.is_local() {
            MeasuringPlan::on_this_machine(total, probes.len(), journal.conditions.seed)
        } else {
            MeasuringPlan::sharing(total, probes.len(), journal.conditions.seed)
        },
        models: &models,
        is_stopped: &|| stop.load(Ordering::SeqCst),
    };
    let mut visits = journal.visits.clone();
    if session.is_complete(&visits) {
        return Ok(Ending::Complete);
    }
    if arguments.out.exists() && !arguments.force {
        let out = output::path_shown(&arguments.out);
        return Err(Failure::wrong(anyhow!(
            "{out}: already exists; name another, or overwrite it with `--force`"
        )));
    }
    networks::write(place, runtime.format(), probes, journal.conditions.seed)?;
    let threads = arguments.threads;
    let look =
        || if runtime.is_local() { Surroundings::read(Path::new("/")) } else { Surroundings::default() };
    let before = look();
    for warning in before.warnings(threads, false) {
        output::say(&format!("warning: {warning}"));
    }
    journal.hear(&before);
    let (mut said, mut warned) = (Instant::now(), before.warnings(threads, false).len());
    session.run(&mut visits, |visits| {
        journal.visits = visits.to_vec();
        let now = look();
        journal.hear(&now);
        journal.write(place)?;
        if said.elapsed() >= LINE_EVERY {
            said = Instant::now();
            output::say(&progress(visits, probes.len()));
            let warnings = now.warnings(threads, true);
            if warnings.len() > warned {
                warned = warnings.len();
                for warning in &warnings {
                    output::say(&format!("warning: {warning}"));
                }
            }
        }
        Ok(())
    })
}

fn progress(visits: &[Visit], networks: usize) -> String {
    let (_, summary, _) = summarize(networks, visits);
    let failed = if summary.failed > 0 { format!(", {} failed", summary.failed) } else { String::new() };
    format!("{} of {networks} networks measured{failed}, {} measurements", summary.measured, visits.len())
}

/// The exit of a session that ended early. `None` if its measurements can be fitted.
fn ended(ending: &Ending, journal: &Journal) -> Result<Option<Exit>, Failure> {
    let kept = journal.visits.len();
    match ending {
        Ending::Stopped => {
            output::say(&format!("interrupted with {kept} measurements; run the same command again to continue"));
            Ok(Some(Exit::Interrupted))
        }
        Ending::DeviceGone { failures, reason } if kept == 0 => Err(anyhow!(
            "none of the first {failures} networks ran, the last one because: {reason}"
        )
        .into()),
        Ending::DeviceGone { failures, reason } => Err(anyhow!(
            "the device does not answer any more: {failures} runs failed in a row, the last one because: {reason}; \
             {kept} measurements are kept, and the same command goes on with them"
        )
        .into()),
        Ending::Unusable(error) => Err(Failure::wrong(error.clone())),
        _ => Ok(None),
    }
}

/// Why too few networks were measured, and what to do.
fn lack(ending: &Ending, journal: &Journal) -> String {
    let failures = failures(journal);
    let failed = match failures.last() {
        Some(last) => format!("{} failed, the last one because: {}; ", failures.len(), last.reason),
        None => String::new(),
    };
    let advice = match ending {
        Ending::TimeUp => "the time was up: give more `--minutes` and run the same command again",
        _ => "give more `--networks` and run the same command again",
    };
    format!("{failed}{advice}")
}

/// A network that failed.
#[derive(Debug, Serialize)]
struct FailedNetwork {
    network: String,
    reason: String,
}

fn failures(journal: &Journal) -> Vec<FailedNetwork> {
    let failed = |visit: &Visit| {
        let VisitOutcome::Failed { reason } = &visit.outcome else { return None };
        let network = journal.networks.get(visit.network)?.clone();
        Some(FailedNetwork { network, reason: reason.clone() })
    };
    journal.visits.iter().filter_map(failed).collect()
}

fn failed_lines(failures: &[FailedNetwork]) -> Vec<String> {
    if failures.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{} networks failed and are left out:", failures.len())];
    let line = |failed: &FailedNetwork| format!("  {}: {}", failed.network, failed.reason);
    lines.extend(failures.iter().take(LISTED).map(line));
    if failures.len() > LISTED {
        lines.push(format!("  and {} others", failures.len() - LISTED));
    }
    lines
}
