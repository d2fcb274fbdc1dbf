//! Shows the progress of the search: the hypervolume of the front, and the best network so far.

use kiln_export::page::{Axis, Ink, Line, Plot, Point, Series, Shape};

use super::StudyPage;
use super::names::{Axes, displayed, value, with_unit};
use crate::volume::{self, Volume};

/// Maximum number of points in a curve.
const POINTS: usize = 1000;

impl StudyPage {
    pub(super) fn volume_plot(&self) -> Plot {
        let volume = Volume::of(volume::limits(&self.objectives, &self.constraints), &self.trials);
        let curve = volume.curve();
        let note = |at: usize, share: f64| format!("after {at} trials: {share:.2} %");
        let every = curve.len().div_ceil(POINTS).max(1);
        let drawn =
            curve.iter().enumerate().filter(|(index, _)| index % every == 0 || index + 1 == curve.len());
        let mut points: Vec<Point> = drawn
            .map(|(_, (at, share))| Point { x: *at as f64, y: *share, note: note(*at, *share) })
            .collect();
        if let Some(last) = points.last().cloned() {
            points.push(Point { x: self.trials.len() as f64, ..last });
        }
        let reference = volume.scale().map(|scale| {
            let parts = self.objectives.iter().zip(&scale.reference);
            let parts: Vec<String> = parts.map(|(name, value)| with_unit(name, *value)).collect();
            format!(" The reference point is {}.", parts.join(", "))
        });
        let end = curve.last().map(|(_, last)| *last);
        let almost = curve.iter().find(|(_, share)| end.is_some_and(|end| *share >= 0.99 * end));
        let reached = almost.zip(end).map_or_else(String::new, |((at, _), end)| {
            format!(" It is {end:.2} % in the end; 99 % of that was reached after {at} trials.")
        });
        Plot {
            title: "Hypervolume".to_owned(),
            description: format!(
                "Share of the box between the reference point and the best value of each objective that the \
                 front \
                 dominates.{}{reached}{}",
                reference.unwrap_or_default(),
                volume.growth().remark().map(|remark| format!(" It is {remark}.")).unwrap_or_default()
            ),
            x: trials_axis(),
            y: Axis { label: "hypervolume %".to_owned(), may_be_logarithmic: false },
            series: vec![Series {
                name: String::new(),
                ink: Ink::Green,
                shape: None,
                line: Line::Steps,
                points,
            }],
            limits: Vec::new(),
        }
    }

    pub(super) fn best_plot(&self, axes: &Axes) -> Plot {
        let highest = self.highest();
        let (mut each, mut best) = (Vec::new(), Vec::new());
        let mut lowest = f64::INFINITY;
        for (index, trial) in self.trials.iter().enumerate() {
            let Some(measured) = value(trial, &axes.y) else { continue };
            let note = format!("trial {}: {}", trial.id, with_unit(&axes.y, measured));
            let counts = Some(trial.proposal.fidelity) == highest && trial.violation <= 0.0;
            let point = Point { x: (index + 1) as f64, y: displayed(&axes.y, measured), note };
            if measured < lowest && counts {
                lowest = measured;
                best.push(point.clone());
            }
            each.push(point);
        }
        if let Some(last) = best.last().cloned() {
            best.push(Point { x: self.trials.len() as f64, ..last });
        }
        let series =
            |name: &str, ink, shape, line, points| Series { name: name.to_owned(), ink, shape, line, points };
        Plot {
            title: "All trials by time".to_owned(),
            description: format!(
                "Every trial in the order of asking, and the best feasible one so far{}.",
                self.judged("")
            ),
            x: trials_axis(),
            y: axes.y_axis(),
            series: vec![
                series("trial", Ink::Faint, Some(Shape::Circle), Line::None, each),
                series("best so far", Ink::Blue, None, Line::Steps, best),
            ],
            limits: Vec::new(),
        }
    }
}

fn trials_axis() -> Axis {
    Axis { label: "trials".to_owned(), may_be_logarithmic: false }
}
