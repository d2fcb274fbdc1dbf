//! `kiln list`: lists the studies in a folder of run folders.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use kiln::config::{ConfigError, Document, RunConfig};
use kiln_search::{RunFolder, RunPaths, StudyError, StudyRecord, Trial, study_front};
use serde::Serialize;
use thiserror::Error;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::text_table::{Align, TextTable};
use crate::{output, units};

/// State of a study in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// A process is running the study.
    Running,
    /// All stages of the study have ended.
    Ended,
    /// The study was interrupted and can be resumed.
    Interrupted,
    /// The study's files cannot be read.
    Damaged,
}

/// One study in the list.
#[derive(Clone, Debug, Serialize)]
struct Listed {
    run: PathBuf,
    name: String,
    state: State,
    /// Number of trials in the journal. The next field is the budget in trials, if the study has one.
    trials: u64,
    budget: Option<u64>,
    /// Number of failed trials.
    failed: u64,
    /// Name of the first objective. `best` is the lowest value of this objective on the front.
    objective: Option<String>,
    best: Option<f64>,
    finished: usize,
    /// Total working time of the study, in seconds.
    worked_s: f64,
    /// Time of the last journal entry, in seconds since the Unix epoch.
    last_unix_s: Option<f64>,
    /// Description of the damage, if the study's files are damaged.
    problem: Option<String>,
}

pub(crate) fn run(common: &Common) -> Result<Exit, Failure> {
    let studies = studies(&common.runs)?;
    if common.json {
        output::print_json(&studies)?;
    } else if studies.is_empty() {
        output::say(&format!("{}: no studies; `--runs` names another folder", common.runs.display()));
    } else {
        output::print(&as_text(&studies))?;
    }
    Ok(Exit::Done)
}

/// Reads the studies in a folder, in the order of their names. Skips folders that are not run folders.
fn studies(runs: &Path) -> Result<Vec<Listed>, Failure> {
    let unreadable = |error: std::io::Error| {
        let text = format!("{}: cannot be read as a folder of run folders", runs.display());
        Failure::wrong(anyhow!(error).context(text))
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(runs).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.join("config.toml").is_file() || path.join("journal.jsonl").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders.into_iter().map(|folder| listed(&RunPaths::new(folder))).collect())
}

fn listed(paths: &RunPaths) -> Listed {
    let name = paths.root().file_name().map(|name| name.to_string_lossy().into_owned());
    let mut study = Listed {
        run: paths.root().to_owned(),
        name: name.unwrap_or_default(),
        state: State::Interrupted,
        trials: 0,
        budget: None,
        failed: 0,
        objective: None,
        best: None,
        finished: 0,
        worked_s: 0.0,
        last_unix_s: None,
        problem: None,
    };
    if let Err(problem) = fill(&mut study, paths) {
        study.state = State::Damaged;
        study.problem = Some(problem.to_string());
    }
    if RunFolder::is_held(paths) {
        study.state = State::Running;
    }
    study
}

/// A run folder that cannot be summarized.
#[derive(Debug, Error)]
enum DamagedRun {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}", .0.said())]
    Journal(StudyError),
}

impl From<StudyError> for DamagedRun {
    fn from(error: StudyError) -> Self {
        Self::Journal(error)
    }
}

/// Fills in the fields that come from the config and the journal.
fn fill(study: &mut Listed, paths: &RunPaths) -> Result<(), DamagedRun> {
    let text = paths.read_config()?;
    let document = Document::parse(&paths.config(), &text)?;
    let config = RunConfig::from_document(document, None)?;
    study.budget = config.search.trials;
    study.objective = config.search.objectives.first().cloned();
    let record = match StudyRecord::read(paths) {
        Ok(record) => record,
        // The study has not yet written the journal's first line.
        Err(StudyError::NotARun { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let trials: Vec<Trial> = record.trials.into_values().map(|journaled| journaled.trial).collect();
    study.trials = trials.len() as u64;
    study.failed = trials.iter().filter(|trial| trial.outcome.measurement().is_none()).count() as u64;
    let front = study_front(&trials);
    let values = front.iter().filter_map(|entry| entry.objectives.0.first().copied());
    study.best = values.min_by(f64::total_cmp);
    study.finished = record.finished.len();
    study.worked_s = record.elapsed_s.get();
    study.last_unix_s = Some(record.unix_s.get());
    study.state = if record.ended { State::Ended } else { State::Interrupted };
    Ok(())
}

fn as_text(studies: &[Listed]) -> String {
    let columns = [
        ("study", Align::Left),
        ("state", Align::Left),
        ("trials", Align::Right),
        ("failed", Align::Right),
        ("best", Align::Left),
        ("finished", Align::Right),
        ("last entry (UTC)", Align::Left),
    ];
    let mut table = TextTable::new(columns);
    for study in studies {
        let state = match study.state {
            State::Running => "running",
            State::Ended => "ended",
            State::Interrupted => "interrupted",
            State::Damaged => "damaged",
        };
        let trials = match study.budget {
            Some(budget) => format!("{} of {budget}", study.trials),
            None => study.trials.to_string(),
        };
        let best = study.objective.as_ref().zip(study.best).map_or_else(String::new, |(name, best)| {
            let (heading, value) = units::shown(name, best);
            format!("{heading} {value}")
        });
        table.row([
            study.name.clone(),
            state.to_owned(),
            trials,
            study.failed.to_string(),
            best,
            study.finished.to_string(),
            study.last_unix_s.map(units::moment).unwrap_or_default(),
        ]);
    }
    let problems = studies.iter().filter_map(|study| Some((&study.name, study.problem.as_ref()?)));
    let problems: Vec<String> = problems.map(|(name, problem)| format!("\n{name}: {problem}")).collect();
    format!("{table}{}", problems.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_skips_foreign_folders_and_reports_damage() {
        let runs = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = runs.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("notes.txt", "mine");
        put("photos/cat.png", "");
        put("nested/config.toml/file", "");
        put("broken/config.toml", "[study\n");
        put("headless/journal.jsonl", "");
        let config = "study = { name = 'a' }\ndata = { kind = 'digits' }\nspace = { kind = 'mlp' }\n\
                      evaluator = { kind = 'scratch' }\nsearch = { strategy = 'random', trials = 9 }\n";
        put("begun/config.toml", config);
        put("torn/config.toml", config);
        put("torn/journal.jsonl", "{\"version\":1}\nx\n");
        let studies = studies(runs.path()).unwrap();
        let found: Vec<_> = studies.iter().map(|study| (study.name.as_str(), study.state)).collect();
        let expected = [
            ("begun", State::Interrupted),
            ("broken", State::Damaged),
            ("headless", State::Damaged),
            ("torn", State::Damaged),
        ];
        assert_eq!(found, expected);
        let text = as_text(&studies);
        assert!(
            text.contains("0 of 9") && text.contains("torn: ") && text.contains("journal.jsonl:1"),
            "{text}"
        );
    }
}
