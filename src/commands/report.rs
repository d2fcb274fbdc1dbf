//! `kiln report`: writes a study as one HTML page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln::assembly::Registries;
use kiln::audit::Audit;
use kiln_export::page::Page;
use kiln_files::Overwrite;
use kiln_search::TrialId;
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::finished_files;
use crate::inspection::{Inspect, Inspector};
use crate::output;
use crate::output_file;
use crate::report::PredictedFor;
use crate::run::{Run, read_record};
use crate::study_page::{History, StudyPage};
use crate::units::Numbers;

pub(crate) fn run(run: &Path, out: Option<PathBuf>, force: bool, common: &Common) -> Result<Exit, Failure> {
    let (paths, config) = Run::open(run, &common.runs)?;
    let mut history = History::default();
    let record = read_record(&paths, &config, |entry| history.see(entry))?;
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
        record,
        history,
    )
    .with_numbers(numbers)
    .with_devices(PredictedFor::all(&costs));
    let audit = Audit::load(&paths)?;
    if audit.as_ref().is_some_and(|audit| !audit.is_checked) {
        output::say("warning: audit.json: an older build wrote it without a hash, so it is not checked");
    }
    let finished = page.record().finished.values().map(|(finished, _)| finished);
    let problems = finished_files::problems(&paths, finished);
    finished_files::warn(&problems);
    let winners: Vec<TrialId> = page.winners().iter().map(|trial| trial.id).collect();
    let cards = finished_files::cards(&paths, winners.into_iter());
    let page = page.with_cards(cards);
    let page = page.with_audit(audit.map(|audit| audit.content)).with_problems(problems);
    let inspector = Inspector { space, costs };
    let inspections: BTreeMap<_, _> =
        page.winners().into_iter().map(|trial| (trial.id, inspector.inspect(trial))).collect();
    let html = page.page(&inspections).html();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{study}.html")));
    let is_own = |beginning: &[u8]| Page::is_own(beginning, &study);
    let overwrite = if force { Overwrite::Always } else { Overwrite::Own(&is_own) };
    output_file::write(&out, html.as_bytes(), overwrite)?;
    if common.json {
        output::print_json(&json!({ "file": output::path_text(&out), "bytes": html.len() }))?;
    } else {
        output::print(&format!("{} ({} bytes)", output::path_shown(&out), html.len()))?;
    }
    Ok(Exit::Done)
}
