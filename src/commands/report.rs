//! `kiln report`: a study on one HTML page.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kiln::assembly::Registries;
use kiln::audit::Audit;
use kiln_search::{JournalReader, StudyError};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::inspection::{Inspect, Inspector};
use crate::output;
use crate::run::Run;
use crate::study_page::StudyPage;

pub(crate) fn run(run: &Path, out: Option<PathBuf>, common: &Common) -> Result<Exit, Failure> {
    let (paths, config) = Run::open(run, &common.runs)?;
    if !paths.journal().exists() {
        return Err(StudyError::NotARun { path: paths.root().to_owned(), missing: "journal.jsonl" }.into());
    }
    let entries = JournalReader::open(&paths.journal())?.entries()?;
    let registries = Registries::builtin();
    let space = registries.space(&config, None)?;
    let (costs, constraints) = registries.costs(&config)?;
    let study = config.study.name.clone();
    let page = StudyPage::new(
        study.clone(),
        paths.root().to_owned(),
        paths.read_config()?,
        config.search.objectives,
        constraints,
        entries,
    )
    .with_audit(Audit::load(&paths)?);
    let inspector = Inspector { space, costs };
    let inspections: BTreeMap<_, _> = page
        .winners()
        .into_iter()
        .map(|trial| (trial.id, inspector.inspect(trial).map_err(|error| format!("{error:#}"))))
        .collect();
    let html = page.page(&inspections).html();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{study}.html")));
    let written = write_whole(&out, &html);
    written.with_context(|| format!("{}: cannot write the report", out.display()))?;
    if common.json {
        output::print_json(&json!({ "file": out, "bytes": html.len() }))?;
    } else {
        output::print(&format!("{} ({} bytes)", out.display(), html.len()))?;
    }
    Ok(Exit::Done)
}

/// Writes beside the place and renames, so that there is never half a page.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // Half a page is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&partial);
    }
    written
}
