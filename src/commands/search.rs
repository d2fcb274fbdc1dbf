//! `kiln search`: runs or resumes a study.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use kiln::assembly::{Assembly, Folders};
use kiln::config::RunConfig;
use kiln::{memory, survey};
use kiln_engines::JobsFolder;
use kiln_search::{RunPaths, Status, Study};

use super::check::too_much;
use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::inspection::Inspector;
use crate::interrupt::StopFlag;
use crate::measured::MeasuredDevices;
use crate::model_export::ModelExport;
use crate::progress::Screen;
use crate::report::{PredictedFor, Report};
use crate::tui::{self, Role, Setup};
use crate::units::{self, Numbers};
use crate::{job_pool, logging, output, reading, tracked};

/// Options of `kiln search` that are not part of the config.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Wishes {
    /// Whether to repeat evaluations that panicked.
    pub(crate) retry_failed: bool,
    /// Whether to stop before the search if the health check finds that the shared weights may mislead the
    /// search.
    pub(crate) strict: bool,
    /// Whether to print progress as lines, even on a terminal.
    pub(crate) plain: bool,
    /// Whether an interrupt ends the study at once and leaves its jobs running.
    pub(crate) detach: bool,
}

pub(crate) fn run(config: &Path, wishes: Wishes, common: &Common) -> Result<Exit, Failure> {
    let Wishes { retry_failed, strict, plain, detach } = wishes;
    let file = config;
    let config = RunConfig::read(file, common.seed)?;
    if detach && config.engine.is_none() {
        let problem =
            "`--detach` leaves jobs running, and the config has no table `[engine]` that starts jobs";
        return Err(Failure::wrong(anyhow::anyhow!(problem)));
    }
    let folders = Folders { data: common.data.as_deref(), runs: &common.runs };
    let registries = reading::registries();
    let mut assembly = registries.build(config, folders)?;
    reading::say_notes(assembly.data.as_deref());
    let Assembly { space, costs, constraints, .. } = &assembly;
    survey::find_feasible(space.as_ref(), costs, constraints, assembly.config.study.seed)?;
    let (paths, text) = (assembly.paths.clone(), assembly.config.document.to_toml());
    let objectives = assembly.config.search.objectives.clone();
    let numbers = Numbers::of(&assembly.config);
    let name = assembly.config.study.name.clone();
    let measured_devices = MeasuredDevices::of(&assembly);
    // If the evaluator is `table`, no network can be finished.
    let finishes = assembly.config.finish.is_some() || assembly.context.is_none();
    let export = ModelExport::new(&assembly.config, &paths, registries.exporters);

    let engine = assembly.engine.take();
    let (trackers, config) = (std::mem::take(&mut assembly.trackers), assembly.config.clone());

    if let Some(bytes) = memory::predicted_bytes(&assembly, common.workers())
        && let Some(problem) = too_much(bytes)
    {
        output::say(&format!("warning: the study may take about {}, {problem}", units::bytes(bytes as f64)));
    }
    let mut study = assembly.into_study();
    study.settings.workers = common.workers();
    study.settings.retry_failed = retry_failed;
    study.settings.strict = strict;
    let stop = if detach { StopFlag::detaching()? } else { StopFlag::listen()? };
    study.stop = stop.flag();
    study.check()?;
    let folder = reading::open_run(&paths, &text)?;
    logging::to_file(&paths.log())?;
    tracing::info!("kiln {} searches {}", env!("CARGO_PKG_VERSION"), file.display());

    let pool = job_pool::open(engine, &config, (&paths, retry_failed), common)?;
    job_pool::attach(&mut study, pool.as_ref(), &config);
    let screen = if plain || common.json {
        None
    } else {
        let jobs = pool.as_ref().map(|_| JobsFolder::of_run(paths.root()));
        open_screen(&mut study, (numbers, jobs), (&paths, &stop), Arc::new(export))
    };
    if screen.is_none() {
        study.observers.push(Box::new(Screen::new(objectives.first().map_or("", String::as_str), numbers)));
    }
    let tracker_warnings = tracked::track(&mut study, trackers, &paths, &config);
    let devices = PredictedFor::all(&study.costs);
    let ended = study.run(&folder).inspect_err(|error| tracing::error!("stopped: {error}"));
    for message in screen.map(tui::Screen::finish).unwrap_or_default() {
        output::say(&message);
    }
    tracker_warnings.say();
    let summary = ended?;
    if summary.status == Status::Interrupted {
        let trials = summary.trials;
        output::say(&format!(
            "interrupted with {trials} trials finished; run the same command again to continue"
        ));
        return Ok(Exit::Interrupted);
    }
    // The journal has all results now.
    job_pool::end(pool.as_ref())?;
    let (trials, spent) = (summary.trials, summary.spent);
    let networks = summary.front.iter().map(|entry| (entry.trial, entry.genotype.clone())).collect();
    let refits = measured_devices.refit(&paths, &summary.measured, &networks)?;
    let mut report = Report::new(&paths, &objectives, trials, &summary.front, &summary.finished, spent)
        .with_numbers(numbers, summary.health)
        .explained(summary.end.as_ref(), summary.failed)
        .with_measured(&summary.measured, &measured_devices.limits, refits);
    report.seconds = Some(summary.seconds);
    report.devices = devices;
    if common.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.to_string())?;
    }
    if summary.front.is_empty() {
        output::say("no trial succeeded: change the config as advised above, and the name of the study");
        return Ok(Exit::Stopped);
    }
    if !finishes && report.finished.is_empty() {
        output::say(&format!("no network is finished yet: `kiln finish {name}` trains and exports some"));
    }
    Ok(Exit::Done)
}

/// Opens the terminal UI if the terminal is suitable.
fn open_screen(
    study: &mut Study,
    (numbers, jobs): (Numbers, Option<JobsFolder>),
    (paths, stop): (&RunPaths, &StopFlag),
    export: Arc<ModelExport>,
) -> Option<tui::Screen> {
    if !tui::is_possible() {
        return None;
    }
    let setup = Setup {
        study: study.settings.name.clone(),
        paths: paths.clone(),
        objectives: study.objectives.clone(),
        constraints: study.constraints.clone(),
        models: PredictedFor::all(&study.costs),
        workers: study.settings.workers,
        networks: study.settings.networks,
        metrics: numbers,
        role: Role::Runs,
        jobs,
    };
    let inspector = Inspector { space: Arc::clone(&study.space), costs: study.costs.clone() };
    match tui::Screen::start(setup, Arc::new(inspector), export, Arc::new(stop.clone())) {
        Ok((screen, feed)) => {
            study.observers.push(Box::new(feed));
            Some(screen)
        }
        Err(error) => {
            tracing::warn!("no screen: {error}");
            None
        }
    }
}

impl Common {
    /// Returns the number of threads that evaluate networks.
    pub(super) fn workers(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        self.workers.map_or_else(cores, usize::from)
    }
}
