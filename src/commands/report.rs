//! `kiln report`: a study on one HTML page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln::assembly::Registries;
use kiln::audit::Audit;
use kiln_search::{JournalReader, StudyError};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::inspection::{Inspect, Inspector};
use crate::output;
use crate::output_file;
use crate::run::Run;
use crate::study_page::StudyPage;
use crate::units::Numbers;

pub(crate) fn run(run: &Path, out: Option<PathBuf>, common: &Common) -> Result<Exit, Failure> {
    let (paths, config) = Run::open(run, &common.runs)?;
    if !paths.journal().exists() {
        return Err(StudyError::NotARun { path: paths.root().to_owned(), missing: "journal.jsonl" }.into());
    }
    let entries = JournalReader::open(&paths.journal())?.entries()?;
    let registries = Registries::builtin();
    let space = registries.space(&config, None)?;
    let (costs, constraints) = registries.costs(&config)?;
    let (study, numbers) = (config.study.name.clone(), Numbers::of(&config));
    let page = StudyPage::new(
        study.clone(),
        paths.root().to_owned(),
        paths.read_config()?,
        config.search.objectives,
        constraints,
        entries,
    )
    .with_numbers(numbers)
    .with_audit(Audit::load(&paths)?);
    let inspector = Inspector { space, costs };
    let inspections: BTreeMap<_, _> = page
        .winners()
        .into_iter()
        .map(|trial| (trial.id, inspector.inspect(trial).map_err(|error| format!("{error:#}"))))
        .collect();
    let html = page.page(&inspections).html();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{study}.html")));
    output_file::write(&out, "the report", html.as_bytes())?;
    if common.json {
        output::print_json(&json!({ "file": out, "bytes": html.len() }))?;
    } else {
        output::print(&format!("{} ({} bytes)", out.display(), html.len()))?;
    }
    Ok(Exit::Done)
}
