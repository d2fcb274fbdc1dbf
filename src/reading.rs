//! Messages about reading data: progress, unusual properties of the data, and reasons why a study cannot
//! resume.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln::assembly::{Assembly, Registries};
use kiln::config::{READING_RULES, RESOLVED};
use kiln_evaluator::data::{DataSet, ReadingRules};
use kiln_export::TrainedModel;
use kiln_search::{RunFolder, RunPaths, StudyError};

use crate::exit::Failure;
use crate::output;

/// Minimum interval between two lines, if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress of reading one data set.
struct Shown {
    bar: Option<ProgressBar>,
    said: Instant,
}

static SHOWN: Mutex<Option<Shown>> = Mutex::new(None);

/// Returns the built-in registries. Their data readers report progress if there are many files.
pub(crate) fn registries() -> Registries {
    Registries { reading: show, ..Registries::builtin() }
}

pub(crate) fn show(done: u64, total: u64) {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if done >= total {
        if let Some(bar) = shown.take().and_then(|shown| shown.bar) {
            bar.finish_and_clear();
        }
        return;
    }
    let shown = shown.get_or_insert_with(|| Shown { bar: bar(), said: Instant::now() });
    if let Some(bar) = &shown.bar {
        bar.set_length(total);
        bar.set_position(done);
    } else if shown.said.elapsed() >= LINE_EVERY {
        shown.said = Instant::now();
        output::say(&format!("reading: {done} of {total} files"));
    }
}

fn bar() -> Option<ProgressBar> {
    let style =
        ProgressStyle::with_template("reading   {wide_bar} {percent:>3} %  {pos} of {len} files, {eta} left")
            .expect("the template is valid")
            .progress_chars("━╸ ");
    io::stderr().is_terminal().then(|| {
        ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10)).with_style(style)
    })
}

/// Prints the readers' notes about their files.
pub(crate) fn say_notes(data: Option<&DataSet>) {
    for note in data.map(DataSet::notes).unwrap_or_default() {
        output::say(&format!("note: data: {note}"));
    }
}

/// Opens a run folder. If the study's data were read by other rules than this build's rules, the error states
/// this.
pub(crate) fn open_run(paths: &RunPaths, config: &str) -> Result<RunFolder, Failure> {
    let error = match RunFolder::open(paths, config, &Assembly::FREE_KEYS) {
        Ok(folder) => return Ok(folder),
        Err(error) => error,
    };
    let now = ReadingRules::CURRENT.number();
    match (&error, began_with(paths)) {
        (StudyError::Changed { path, key, .. }, Some(began))
            if key.starts_with(&format!("{RESOLVED}.")) && began != now =>
        {
            Err(Failure::wrong(anyhow!(
                "{}: another build started this study and read its data by rules {began}; this build reads \
                 the \
                 same files by rules {now}, which gives other values, classes or splits; choose another \
                 name for \
                 the study, or continue with that build",
                path.display()
            )))
        }
        _ => Err(error.into()),
    }
}

/// Returns the reading rules with which a run folder's study began.
fn began_with(paths: &RunPaths) -> Option<u32> {
    let config: toml::Table = toml::from_str(&paths.read_config().ok()?).ok()?;
    let resolved = config.get(RESOLVED)?.as_table()?;
    let rules = resolved.get(READING_RULES).map_or(Some(1), toml::Value::as_integer)?;
    u32::try_from(rules).ok()
}

/// Returns the rules by which a network's data were read. If these rules differ from this build's rules,
/// prints the differences.
pub(crate) fn rules_of(model: &TrainedModel, path: &Path) -> Result<ReadingRules, Failure> {
    let number = model.card.preprocessing.reading_rules;
    let rules = ReadingRules::from_number(number).ok_or_else(|| {
        let path = path.display();
        Failure::wrong(anyhow!(
            "{path}: its data were read by rules {number}, which this build does not know; use a newer build"
        ))
    })?;
    if rules != ReadingRules::CURRENT {
        output::say(&format!(
            "note: {}: an earlier build made this network; its data are read by the rules of that build \
             ({number})",
            path.display()
        ));
    }
    Ok(rules)
}
