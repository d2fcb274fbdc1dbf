//! `kiln jobs`: shows what the jobs of a study do.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use kiln_engines::{JobRow, JobsFolder};
use kiln_search::Seconds;
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::run::Run;
use crate::text_table::{Align, TextTable};
use crate::{output, units};

pub(crate) fn run(run: &Path, all: bool, common: &Common) -> Result<Exit, Failure> {
    let (paths, config) = Run::open(run, &common.runs)?;
    let rows = JobRow::all(&JobsFolder::of_run(paths.root())).map_err(anyhow::Error::from)?;
    if common.json {
        output::print_json(&json!({ "run": output::path_text(paths.root()), "jobs": rows }))?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        let advice = match config.engine {
            Some(_) => "no job was started yet",
            None => "the study has no table `[engine]`, so its evaluations are no jobs",
        };
        output::say(advice);
        return Ok(Exit::Done);
    }
    let (done, shown): (Vec<_>, Vec<_>) = rows.iter().partition(|row| !all && row.is_ended && !row.is_lost);
    if !shown.is_empty() {
        output::print(&table(&shown).to_string())?;
    }
    let works: u32 = rows.iter().map(|row| row.done).sum();
    let lost = rows.iter().filter(|row| row.is_lost).count();
    output::say(&format!(
        "{} jobs, {works} pieces of work done, {lost} jobs ended too early; {} that did all are not shown",
        rows.len(),
        done.len()
    ));
    Ok(Exit::Done)
}

fn table(rows: &[&JobRow]) -> TextTable {
    let columns = [
        ("job", Align::Right),
        ("process", Align::Left),
        ("since", Align::Right),
        ("done", Align::Right),
        ("works on", Align::Left),
        ("for", Align::Right),
        ("attempt", Align::Right),
        ("progress", Align::Right),
        ("state", Align::Left),
    ];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let ago = |unix_s: Option<f64>, until: Option<f64>| match unix_s {
        Some(unix_s) => units::duration(Seconds::saturating(until.unwrap_or(now) - unix_s).duration()),
        None => String::new(),
    };
    let mut table = TextTable::new(columns);
    for row in rows {
        let handle = row.handle.as_deref().unwrap_or_default();
        let progress = match &row.progress {
            Some((done, total, _)) if *total > 0 => format!("{:.0} %", *done as f64 / *total as f64 * 100.0),
            _ => String::new(),
        };
        let state = match &row.log {
            Some(log) if row.is_lost => format!("{}: {log}", row.state),
            _ => row.state.clone(),
        };
        table.row([
            row.job.clone(),
            handle.split(':').next().unwrap_or_default().to_owned(),
            ago(row.started_unix_s.or(row.submitted_unix_s), row.ended_unix_s),
            row.done.to_string(),
            row.work.clone().unwrap_or_default(),
            ago(row.since_unix_s, row.ended_unix_s),
            row.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
            progress,
            state,
        ]);
    }
    table
}
