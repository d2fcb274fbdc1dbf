//! What went wrong, and where the time went.

use std::collections::BTreeMap;
use std::time::Duration;

use kiln_export::page::{Cell, Part, Section, Table};
use kiln_search::{Event, FailureGroup, FailureKind, Outcome};

use super::StudyPage;
use crate::failures::{self, advice, said};
use crate::units;

/// Failures and warnings that are listed.
const LISTED: usize = 200;
const STAGES: [&str; 3] = ["prepare: data and supernet", "search", "finish: train on and export"];

impl StudyPage {
    pub(super) fn health_section(&self) -> Section {
        let mut parts = self.failures();
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
        let last = self.entries.iter().rev().find_map(|entry| match entry.event {
            Event::Rejections { candidates, rejected } => Some((candidates, rejected)),
            _ => None,
        });
        last.filter(|(candidates, _)| *candidates > 0).map(|(candidates, rejected)| {
            let share = 100.0 * rejected as f64 / candidates as f64;
            format!(
                "Of {candidates} candidates {rejected} ({share:.1} %) were beyond a limit and were not tried."
            )
        })
    }

    fn warnings(&self) -> Option<Part> {
        let warnings = self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Warning { message } => Some(message.clone()),
            _ => None,
        });
        let warnings: Vec<String> = warnings.take(LISTED).collect();
        let summary = format!("{} warnings", warnings.len());
        (!warnings.is_empty())
            .then(|| Part::Folded { summary, part: Box::new(Part::Code(warnings.join("\n"))) })
    }

    /// Time that processes worked in each stage.
    fn stage_times(&self) -> Table {
        let mut seconds = [0.0_f64; STAGES.len()];
        let (mut stage, mut since) = (0, 0.0_f64);
        for entry in &self.entries {
            let now = entry.elapsed_s.max(since);
            seconds[stage] += now - since;
            since = now;
            stage = match entry.event {
                Event::Started { .. } => 0,
                Event::Prepared { .. } => 1,
                Event::Searched { .. } => 2,
                _ => stage,
            };
        }
        let whole: f64 = seconds.iter().sum();
        let row = |(stage, seconds): (&str, f64)| {
            let share = if whole > 0.0 { seconds / whole } else { 0.0 };
            vec![Cell::Text(stage.to_owned()), Cell::Number(duration(seconds)), Cell::Bar(share)]
        };
        Table {
            caption: "Time of the stages, over all runs of the study".to_owned(),
            headings: vec!["stage".to_owned(), "time".to_owned(), String::new()],
            rows: STAGES.into_iter().zip(seconds).map(row).collect(),
        }
    }

    fn worker_times(&self) -> Option<Table> {
        let mut workers: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for journaled in self.record.trials.values() {
            workers.entry(journaled.worker).or_default().push(journaled.seconds.max(0.0));
        }
        let row = |(worker, mut seconds): (usize, Vec<f64>)| {
            seconds.sort_by(f64::total_cmp);
            let (median, longest) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
            vec![
                Cell::Number(worker.to_string()),
                Cell::Number(seconds.len().to_string()),
                Cell::Number(duration(seconds.iter().sum())),
                Cell::Number(format!("{} s", units::significant(median))),
                Cell::Number(format!("{} s", units::significant(longest))),
            ]
        };
        (!workers.is_empty()).then(|| Table {
            caption: "Evaluations by worker".to_owned(),
            headings: ["worker", "trials", "time", "median of a trial", "longest"]
                .map(str::to_owned)
                .to_vec(),
            rows: workers.into_iter().map(row).collect(),
        })
    }
}

/// Failures by reason.
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

fn duration(seconds: f64) -> String {
    units::duration(Duration::from_secs_f64(seconds.max(0.0)))
}
