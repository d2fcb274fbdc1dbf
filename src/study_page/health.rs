//! Shows a study's failures and warnings, and the duration of each stage.

use std::collections::BTreeMap;

use kiln_export::page::{Cell, Part, Section, Table};
use kiln_search::{FailureGroup, FailureKind, Outcome, Seconds};

use super::StudyPage;
use crate::failures::{self, advice, said};
use crate::units;

/// Maximum number of failures in the list.
const LISTED: usize = 200;
const STAGES: [&str; super::history::STAGES] =
    ["prepare: data and supernet", "search", "finish: train on and export"];

impl StudyPage {
    pub(super) fn health_section(&self) -> Section {
        let mut parts = self.failures();
        parts.extend(
            self.record
                .doubts
                .sentences()
                .into_iter()
                .map(|doubt| Part::Text(format!("The journal: {doubt}."))),
        );
        parts.extend(self.rejections().map(Part::Text));
        parts.extend(self.warnings());
        parts.push(Part::Table(self.stage_times()));
        parts.extend(self.worker_times().map(Part::Table));
        Section { title: "Failures and times".to_owned(), parts }
    }

    fn failures(&self) -> Vec<Part> {
        let failed: Vec<(String, FailureKind, &str)> = self
            .trials
            .iter()
            .filter_map(|trial| match &trial.outcome {
                Outcome::Failed { kind, reason } => Some((trial.id.to_string(), *kind, reason.as_str())),
                Outcome::Measured(_) => None,
            })
            .collect();
        if failed.is_empty() {
            return vec![Part::Text("No trial failed.".to_owned())];
        }
        let groups = FailureGroup::of(&self.trials);
        let mut kinds: BTreeMap<FailureKind, u64> = BTreeMap::new();
        for group in &groups {
            *kinds.entry(group.kind).or_default() += group.count;
        }
        let counted: Vec<String> =
            kinds.iter().map(|(kind, count)| format!("{count} {}", said(*kind))).collect();
        let (failed_count, all) = (failed.len(), self.trials.len());
        let advice: Vec<String> =
            kinds.keys().map(|kind| format!("What {}: {}.", said(*kind), advice(*kind))).collect();
        let text =
            format!("{failed_count} of {all} trials failed: {}. {}", counted.join(", "), advice.join(" "));
        let row = |(trial, kind, reason): &(String, FailureKind, &str)| {
            vec![
                Cell::Number(trial.clone()),
                Cell::Text(said(*kind).to_owned()),
                Cell::Text((*reason).to_owned()),
            ]
        };
        let table = Table {
            caption: format!("The first {} failed trials", failed.len().min(LISTED)),
            headings: ["trial", "how", "why"].map(str::to_owned).to_vec(),
            rows: failed.iter().take(LISTED).map(row).collect(),
        };
        let summary = "Which, and why".to_owned();
        let folded = Part::Folded { summary, part: Box::new(Part::Table(table)) };
        vec![Part::Text(text), Part::Table(reasons(&groups)), folded]
    }

    fn rejections(&self) -> Option<String> {
        self.history.rejections.filter(|(candidates, _)| *candidates > 0).map(|(candidates, rejected)| {
            let share = 100.0 * rejected as f64 / candidates as f64;
            format!(
                "{rejected} of {candidates} candidates ({share:.1} %) exceeded a limit and were not tried."
            )
        })
    }

    fn warnings(&self) -> Option<Part> {
        let warnings = &self.history.warnings;
        let summary = format!("{} warnings", warnings.len());
        (!warnings.is_empty())
            .then(|| Part::Folded { summary, part: Box::new(Part::Code(warnings.join("\n"))) })
    }

    /// Tabulates the working time of each stage.
    fn stage_times(&self) -> Table {
        let seconds = self.history.stages;
        let whole: Seconds = seconds.iter().copied().sum();
        let row = |(stage, seconds): (&str, Seconds)| {
            let share = if whole > Seconds::ZERO { seconds.get() / whole.get() } else { 0.0 };
            vec![Cell::Text(stage.to_owned()), Cell::Number(duration(seconds)), Cell::Bar(share)]
        };
        Table {
            caption: "Time of the stages, over all runs of the study".to_owned(),
            headings: vec!["stage".to_owned(), "time".to_owned(), String::new()],
            rows: STAGES.into_iter().zip(seconds).map(row).collect(),
        }
    }

    fn worker_times(&self) -> Option<Table> {
        let row = |(worker, seconds): (&usize, &Vec<Seconds>)| {
            let mut seconds = seconds.clone();
            seconds.sort_unstable();
            let (median, longest) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
            vec![
                Cell::Number(worker.to_string()),
                Cell::Number(seconds.len().to_string()),
                Cell::Number(duration(seconds.iter().copied().sum())),
                Cell::Number(format!("{} s", units::significant(median.get()))),
                Cell::Number(format!("{} s", units::significant(longest.get()))),
            ]
        };
        (!self.workers.is_empty()).then(|| Table {
            caption: "Evaluations by worker".to_owned(),
            headings: ["worker", "trials", "time", "median of a trial", "longest"]
                .map(str::to_owned)
                .to_vec(),
            rows: self.workers.iter().map(row).collect(),
        })
    }
}

/// Tabulates the failures, grouped by reason.
fn reasons(groups: &[FailureGroup]) -> Table {
    let row = |group: &FailureGroup| {
        vec![
            Cell::Number(group.count.to_string()),
            Cell::Text(said(group.kind).to_owned()),
            Cell::Text(group.reason.clone()),
            Cell::Text(failures::examples(group, "").trim_start().to_owned()),
        ]
    };
    Table {
        caption: "Failures by reason; numbers that differ are left out".to_owned(),
        headings: ["failures", "how", "why", "trials"].map(str::to_owned).to_vec(),
        rows: groups.iter().take(LISTED).map(row).collect(),
    }
}

fn duration(seconds: Seconds) -> String {
    units::duration(seconds.duration())
}
