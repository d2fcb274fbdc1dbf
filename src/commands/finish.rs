//! `kiln finish`: trains, tests and exports networks of a study whose search has ended.

use kiln::config::FinishTable;
use kiln_search::{FailureGroup, Status, Wanted};
use kiln_space::Settings;

use crate::cli::{Common, FinishArguments};
use crate::exit::{Exit, Failure};
use crate::interrupt::StopFlag;
use crate::measured::{MeasuredDevices, genotypes};
use crate::progress::Screen;
use crate::report::Report;
use crate::run::Run;
use crate::units::Numbers;
use crate::{job_pool, logging, output, reading, tracked};

pub(crate) fn run(arguments: &FinishArguments, common: &Common) -> Result<Exit, Failure> {
    let FinishArguments { run, trials, networks, epochs, measure, track, engine } = arguments;
    let (paths, mut config) = Run::open(run, &common.runs)?;
    let stated = config.finish.take();
    let settings =
        stated.as_ref().map_or_else(|| Settings::empty("finish"), |stated| stated.settings.clone());
    let networks = networks.map(usize::from).or(stated.as_ref().map(|stated| stated.networks)).unwrap_or(1);
    // The config of a run folder may come from anyone, so its commands run only if the user asks for that.
    let stated_measure = stated.and_then(|stated| stated.measure);
    let skips_measuring = stated_measure.is_some() && !*measure;
    let measure = measure.then(|| stated_measure.unwrap_or_default());
    config.finish = Some(FinishTable { networks, measure, settings: with_epochs(&settings, *epochs) });
    let wanted = if trials.is_empty() { Wanted::Best(networks) } else { Wanted::Trials(trials.clone()) };

    let mut assembly = reading::registries().build_at(config, common.data.as_deref(), paths.clone())?;
    let text = assembly.config.document.to_toml();
    let objectives = assembly.config.search.objectives.clone();
    let numbers = Numbers::of(&assembly.config);
    let devices = MeasuredDevices::of(&assembly);
    // The config of a run folder may come from anyone, so its addresses are used only if the user asks for
    // that.
    let mut trackers = std::mem::take(&mut assembly.trackers);
    let skips_tracking = !trackers.is_empty() && !*track;
    trackers.retain(|_| *track);
    let config = assembly.config.clone();
    let engine = job_pool::permitted(assembly.engine.take(), *engine);
    let mut study = assembly.into_study();
    study.settings.workers = common.workers();
    study.stop = StopFlag::listen()?.flag();
    study.check()?;
    let folder = reading::open_run(&paths, &text)?;
    logging::to_file(&paths.log())?;
    tracing::info!("kiln {} finishes networks of {}", env!("CARGO_PKG_VERSION"), paths.root().display());
    let pool = job_pool::open(engine, &config, (&paths, true), common)?;
    job_pool::attach(&mut study, pool.as_ref(), &config);
    study.observers.push(Box::new(Screen::new(objectives.first().map_or("", String::as_str), numbers)));
    let tracker_warnings = tracked::track(&mut study, trackers, &paths, &config);
    let ended = study.finish(&folder, &wanted).inspect_err(|error| tracing::error!("stopped: {error}"));
    tracker_warnings.say();
    let summary = ended?;
    if summary.status == Status::Interrupted {
        output::say("interrupted; run the same command again to continue");
        return Ok(Exit::Interrupted);
    }
    job_pool::end(pool.as_ref())?;
    if summary.finished.is_empty() {
        output::say("every network of the front is finished already; name the numbers of other trials");
    }
    if skips_measuring {
        output::say("networks are not measured; `--measure` measures them as the run folder's config says");
    }
    if skips_tracking {
        output::say("trackers are not told; `--track` tells those that the run folder's config names");
    }
    let run = Run::read(paths.root(), &common.runs)?;
    let refits = devices.refit(&paths, &summary.measured, &genotypes(&run.trials))?;
    let report =
        Report::new(&paths, &objectives, summary.trials, &summary.front, &summary.finished, summary.spent)
            .with_numbers(numbers, run.health.clone())
            .explained(run.search_end.as_ref(), FailureGroup::of(&run.trials))
            .with_costs(&run.trials)
            .with_measured(&summary.measured, &devices.limits, refits);
    if common.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.to_string())?;
    }
    Ok(Exit::Done)
}

/// Returns the settings of `[finish]`. If the user named a number of epochs, this number replaces the one in
/// the settings.
fn with_epochs(settings: &Settings, epochs: Option<u32>) -> Settings {
    let mut table = settings.table().clone();
    if let Some(epochs) = epochs {
        table.insert("epochs".to_owned(), epochs.into());
        let warmup = table.get("warmup_epochs").and_then(serde_json::Value::as_u64);
        if let Some(warmup) = warmup {
            table.insert("warmup_epochs".to_owned(), warmup.min(u64::from(epochs.saturating_sub(1))).into());
        }
    }
    Settings::new(settings.path(), table)
}
