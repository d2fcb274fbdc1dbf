//! `kiln watch`: shows a study that another process runs, or that has ended. The command only reads.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kiln::assembly::Registries;
use kiln_engines::JobsFolder;
use kiln_search::{Event, JournalEntry, RunPaths};

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::inspection::Inspector;
use crate::interrupt;
use crate::model_export::ModelExport;
use crate::output::{self, Output};
use crate::progress::Screen;
use crate::report::PredictedFor;
use crate::run::{Run, say_doubts};
use crate::tui::{self, Follow, Role, Setup, Step};
use crate::units::Numbers;

/// Interval between two reads of the journal if there is no terminal UI.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) fn run(run: &Path, plain: bool, common: &Common) -> Result<Exit, Failure> {
    let (paths, config) = Run::open(run, &common.runs)?;
    let follow = Follow::open(&paths)?.with_objectives(&config.search.objectives);
    let closed = interrupt::hang_up();
    if plain || common.json || !tui::is_possible() {
        let objective = config.search.objectives.first().map_or("", String::as_str);
        return lines(follow, &paths, (objective, Numbers::of(&config)), common.json, &closed);
    }
    let registries = Registries::builtin();
    let space = registries.space(&config, None)?;
    let (costs, constraints) = registries.costs(&config)?;
    let export = ModelExport::new(&config, &paths, registries.exporters);
    let jobs = config.engine.as_ref().map(|_| JobsFolder::of_run(paths.root()));
    let setup = Setup {
        study: config.study.name.clone(),
        paths,
        objectives: config.search.objectives.clone(),
        constraints,
        models: PredictedFor::all(&costs),
        workers: 0,
        networks: config.finish.as_ref().map_or(0, |finish| finish.networks),
        metrics: Numbers::of(&config),
        role: Role::Watches,
        jobs,
    };
    for message in tui::watch(&setup, follow, &Inspector { space, costs }, &export, &closed)? {
        output::say(&message);
    }
    Ok(Exit::Done)
}

/// Prints new journal entries as progress lines or as JSON events. Stops when the study ends or the output is
/// closed.
fn lines(
    mut follow: Follow,
    paths: &RunPaths,
    (objective, numbers): (&str, Numbers),
    json: bool,
    closed: &AtomicBool,
) -> Result<Exit, Failure> {
    let mut progress = Screen::new(objective, numbers);
    // `at` is the number of journal entries read so far. `printed` is the number of entries printed so far.
    let (mut at, mut printed) = (0_u64, 0_u64);
    let (mut ended, mut said) = (false, false);
    let output = if json { Output::Results } else { Output::Messages };
    loop {
        if closed.load(Ordering::Relaxed) || output::is_left() || output::is_closed(output) {
            return Ok(Exit::Done);
        }
        match follow.step()? {
            Step::Entry(entry) => {
                ended = matches!(entry.event, Event::Ended) || (ended && !starts(&entry));
                at += 1;
                if at > printed {
                    printed = at;
                    if json { output::print_json(&entry)? } else { progress.on_entry(&entry) }
                }
            }
            Step::Nothing => {
                if !std::mem::replace(&mut said, true) {
                    say_doubts(paths, &follow.doubts());
                }
                if ended {
                    return Ok(Exit::Done);
                }
                thread::sleep(LOOK_EVERY);
            }
            Step::Again => at = 0,
        }
    }
}

/// Whether this entry starts another run of a study that had ended.
fn starts(entry: &JournalEntry) -> bool {
    matches!(entry.event, Event::Started { .. })
}
