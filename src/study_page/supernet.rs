//! Shows the training losses, and how well the search's estimates agree with the test results.

use kiln_export::page::{Axis, Cell, Ink, Line, Part, Plot, Point, Section, Series, Shape, Table};
use kiln_search::HealthCheck;

use super::StudyPage;
use super::history::{Loss, TRAINING_STAGES};
use super::names::{subject, subject_of, value, with_unit};
use crate::units::Numbers;

/// Maximum number of points in a curve.
const POINTS: usize = 400;

impl StudyPage {
    /// Returns `None` if nothing was trained, for example if the evaluator is `table`.
    pub(super) fn supernet_section(&self) -> Option<Section> {
        let titles = ["Loss of the supernet", "Loss of the finished networks"];
        let stages = TRAINING_STAGES.into_iter().zip(titles);
        let plots: Vec<Plot> = stages.filter_map(|(stage, title)| self.loss_plot(stage, title)).collect();
        let estimates = self.estimates();
        if plots.is_empty() && estimates.is_none() {
            return None;
        }
        let mut parts = self.health_check();
        parts.push(Part::Plots(plots));
        parts.extend(estimates.map(Part::Table));
        Some(Section { title: "Health of the supernet and of the training".to_owned(), parts })
    }

    /// Shows the result of the shared weights' health check. If there is no result, a note states this.
    fn health_check(&self) -> Vec<Part> {
        let Some(health) = &self.record.health else {
            let text = "The shared weights were not checked before the search.";
            let is_missing = self.numbers == Numbers::Estimated && self.record.fingerprint.is_some();
            return is_missing.then(|| Part::Text(text.to_owned())).into_iter().collect();
        };
        let row = |check: &HealthCheck| {
            let verdict = if check.passed { "passed" } else { "failed" };
            vec![Cell::Text(verdict.to_owned()), Cell::Text(check.answer.clone())]
        };
        let table = Table {
            caption: "Check of the shared weights before the search".to_owned(),
            headings: ["", "answer"].map(str::to_owned).to_vec(),
            rows: health.checks.iter().map(row).collect(),
        };
        let advice = (!health.healthy).then(|| Part::Text(format!("What to do: {}.", health.advice)));
        std::iter::once(Part::Table(table)).chain(advice).collect()
    }

    /// Plots the losses that a stage reported.
    fn loss_plot(&self, stage: &str, title: &str) -> Option<Plot> {
        let mut runs: Vec<Vec<Point>> = Vec::new();
        for Loss { done, total, value: loss } in self.history.losses.get(stage).into_iter().flatten() {
            let share = 100.0 * *done as f64 / (*total).max(1) as f64;
            let note = format!("step {done} of {total}: loss {loss}");
            let point = Point { x: share, y: *loss, note };
            // Each network and each restart of a training gets its own curve.
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|last| last.x <= point.x) => run.push(point),
                _ => runs.push(vec![point]),
            }
        }
        let count = runs.len();
        let signs = Ink::SERIES.into_iter().cycle();
        let series: Vec<Series> = runs
            .into_iter()
            .zip(signs)
            .enumerate()
            .map(|(index, (run, ink))| {
                let every = run.len().div_ceil(POINTS).max(1);
                let name = if count > 1 { format!("training {}", index + 1) } else { String::new() };
                let points: Vec<Point> = run.into_iter().step_by(every).collect();
                let shape = (points.len() < 30).then_some(Shape::Circle);
                Series { name, ink, shape, line: Line::Straight, points }
            })
            .collect();
        let last = series.last()?.points.last()?.y;
        Some(Plot {
            title: title.to_owned(),
            description: format!(
                "Reported training loss, {last} at the end. It should fall and settle. Jumps mean that the \
                 learning rate is too large."
            ),
            x: Axis { label: "training done %".to_owned(), may_be_logarithmic: false },
            y: Axis { label: "loss".to_owned(), may_be_logarithmic: true },
            series,
            limits: Vec::new(),
        })
    }

    /// Tabulates the estimates of the finished networks beside their test results.
    fn estimates(&self) -> Option<Table> {
        let rows: Vec<Vec<Cell>> = self
            .record
            .finished
            .values()
            .filter_map(|(finished, _)| {
                let trial = self.trials.iter().find(|trial| trial.id == finished.trial)?;
                let objective = self.objectives.first()?;
                let estimate = with_unit(objective, value(trial, objective)?);
                let metrics = finished.metrics.iter();
                let measured =
                    metrics.map(|(name, value)| format!("{} {}", subject(name), with_unit(name, *value)));
                let measured: Vec<String> = measured.collect();
                Some(vec![
                    Cell::Number(finished.trial.to_string()),
                    Cell::Text(format!("{} {estimate}", subject_of(objective, self.numbers))),
                    Cell::Text(measured.join(", ")),
                ])
            })
            .collect();
        let headings = ["trial", "in the search, on the validation split", "trained on"].map(str::to_owned);
        (!rows.is_empty()).then(|| Table {
            caption: "Estimates and test results".to_owned(),
            headings: headings.to_vec(),
            rows,
        })
    }
}
