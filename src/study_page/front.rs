//! Shows the Pareto front as a plot and a table.

use std::collections::BTreeSet;

use kiln_export::page::{Cell, Ink, Line, Part, Plot, Point, Section, Series, Shape, Table};
use kiln_search::{FrontEntry, Spent, SupernetHealth, Trial, TrialId};

use super::StudyPage;
use super::names::Axes;
use crate::units::{self, Numbers};

/// A table with more rows than this is collapsed.
const OPEN: usize = 15;

impl StudyPage {
    pub(super) fn front_section(&self, axes: &Axes) -> Section {
        let unhealthy = self.record.health.iter().filter(|health| !health.healthy);
        let warning = |health: &SupernetHealth| Part::Text(format!("Warning: {}.", health.message()));
        let mut parts: Vec<Part> = unhealthy.map(warning).collect();
        parts.extend(self.effort());
        parts.push(Part::Plots(vec![self.front_plot(axes), self.volume_plot()]));
        if self.front.is_empty() {
            let trials = self.trials.len();
            let text = format!("No network was measured in {trials} trials; see below what failed, and why.");
            parts.push(Part::Text(text));
        } else {
            let table = Part::Table(self.front_table());
            parts.push(if self.front.len() > OPEN {
                let summary = format!("All {} networks of the front", self.front.len());
                Part::Folded { summary, part: Box::new(table) }
            } else {
                table
            });
        }
        Section { title: "Results".to_owned(), parts }
    }

    /// Describes the effort of the evaluations, if any network was evaluated with less than full effort.
    fn effort(&self) -> Vec<Part> {
        let spent = Spent::of(&self.trials, self.record.full_epochs);
        if !spent.has_rungs() {
            return Vec::new();
        }
        let low = self.front.first().and_then(|entry| self.qualifier(entry.fidelity)).map(|qualifier| {
            Part::Text(format!(
                "No network was judged with full effort: values of the front were measured {qualifier}."
            ))
        });
        low.into_iter().chain([Part::Text(format!("Effort: {spent}."))]).collect()
    }

    fn front_plot(&self, axes: &Axes) -> Plot {
        let front: BTreeSet<TrialId> = self.front.iter().map(|entry| entry.trial).collect();
        let is_finished = |trial: &&Trial| self.record.finished.contains_key(&trial.id);
        let points = |keep: &dyn Fn(&&Trial) -> bool| -> Vec<Point> {
            self.trials.iter().filter(keep).filter_map(|trial| axes.point(trial)).collect()
        };
        let mut members = points(&|trial| front.contains(&trial.id));
        members.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
        // With more than two objectives, the plot shows only two of them, so no line may connect the
        // networks.
        let line = if self.objectives.len() == 2 { Line::Steps } else { Line::None };
        let series = |name: &str, ink, shape, line, points| {
            let name = name.to_owned();
            Series { name, ink, shape: Some(shape), line, points }
        };
        let others = points(&|trial| !front.contains(&trial.id) && trial.violation <= 0.0);
        let count = members.len();
        let mut all = vec![
            series("other trials", Ink::Faint, Shape::Circle, Line::None, others),
            series("Pareto front", Ink::Blue, Shape::Circle, line, members),
        ];
        let finished = points(&|trial| is_finished(trial));
        if !finished.is_empty() {
            all.push(series("finished", Ink::Orange, Shape::Star, Line::None, finished));
        }
        Plot {
            title: "Pareto front".to_owned(),
            description: format!(
                "{count} networks of {} trials are on the front: no other network is at least as good in \
                 every \
                 objective and better in one. {}{}.",
                self.trials.len(),
                match self.numbers {
                    Numbers::Measured => "Values were measured in the search",
                    Numbers::Estimated =>
                        "Accuracies and losses are estimates by shared weights, not test results",
                },
                self.judged("")
            ),
            x: axes.x_axis(),
            y: axes.y_axis(),
            series: all,
            limits: axes.limits(),
        }
    }

    fn front_table(&self) -> Table {
        let names = self.front.first().map(|first| columns(&self.objectives, first)).unwrap_or_default();
        let value = |entry: &FrontEntry, name: &String| {
            entry.metrics.get(name).or_else(|| entry.costs.0.get(name)).copied()
        };
        let mut entries: Vec<&FrontEntry> = self.front.iter().collect();
        let first =
            |entry: &FrontEntry| names.first().and_then(|name| value(entry, name)).unwrap_or(f64::INFINITY);
        entries.sort_by(|a, b| first(a).total_cmp(&first(b)).then(a.trial.cmp(&b.trial)));
        let row = |entry: &FrontEntry| {
            let values = names.iter().map(|name| {
                let text =
                    value(entry, name).map_or_else(|| "-".to_owned(), |value| units::shown(name, value).1);
                Cell::Number(text)
            });
            std::iter::once(Cell::Number(entry.trial.to_string())).chain(values).collect()
        };
        Table {
            caption: self.judged("Networks of the front, best first"),
            headings: std::iter::once("trial".to_owned())
                .chain(names.iter().map(|name| self.numbers.heading(name)))
                .collect(),
            rows: entries.into_iter().map(row).collect(),
        }
    }
}

/// Returns the columns of a network: the objectives first, then other metrics and costs.
fn columns(objectives: &[String], entry: &FrontEntry) -> Vec<String> {
    let mut names = objectives.to_vec();
    for name in entry.metrics.keys().chain(entry.costs.0.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}
