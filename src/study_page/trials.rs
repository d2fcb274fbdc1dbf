//! Shows all trials with their metrics, costs and origins.

use std::collections::BTreeMap;

use kiln_export::page::{Cell, Ink, Line, Part, Plot, Point, Section, Series, Shape, Table};
use kiln_search::{Origin, Trial};

use super::StudyPage;
use super::names::Axes;
use crate::units;

impl StudyPage {
    pub(super) fn trials_section(&self, axes: &Axes) -> Section {
        let groups = groups(&self.trials);
        let clustered = self.trials.iter().any(|trial| trial.proposal.origin.cluster.is_some());
        let plots = vec![groups_plot(axes, &groups, clustered), self.best_plot(axes)];
        let mut parts = vec![Part::Plots(plots)];
        if !groups.is_empty() {
            parts.push(Part::Table(self.groups_table(&groups, clustered)));
        }
        Section { title: "All trials".to_owned(), parts }
    }

    fn groups_table(&self, groups: &[(String, Vec<&Trial>)], clustered: bool) -> Table {
        let most = groups.iter().map(|(_, trials)| trials.len()).max().unwrap_or(1).max(1);
        let objective = self.objectives.first().cloned().unwrap_or_default();
        let row = |(name, trials): &(String, Vec<&Trial>)| {
            let front =
                trials.iter().filter(|trial| self.front.iter().any(|entry| entry.trial == trial.id)).count();
            let counted = trials.iter().filter(|trial| Some(trial.proposal.fidelity) == self.highest());
            let values = counted.filter_map(|trial| trial.objectives.0.first().copied());
            let best = values.min_by(f64::total_cmp);
            vec![
                Cell::Text(name.clone()),
                Cell::Number(trials.len().to_string()),
                Cell::Bar(trials.len() as f64 / most as f64),
                Cell::Number(front.to_string()),
                Cell::Number(best.map_or_else(|| "-".to_owned(), |best| units::shown(&objective, best).1)),
            ]
        };
        let what = if clustered { "cluster" } else { "origin" };
        Table {
            caption: format!("Trials by {what}"),
            headings: [what, "trials", "", "on the front"]
                .into_iter()
                .map(str::to_owned)
                .chain([self.judged(&format!("best {}", self.numbers.heading(&objective)))])
                .collect(),
            rows: groups.iter().map(row).collect(),
        }
    }
}

fn groups_plot(axes: &Axes, groups: &[(String, Vec<&Trial>)], clustered: bool) -> Plot {
    let mut largest: Vec<&(String, Vec<&Trial>)> = groups.iter().collect();
    largest.sort_by_key(|(_, trials)| std::cmp::Reverse(trials.len()));
    let points = |trials: &[&Trial]| {
        let feasible = trials.iter().filter(|trial| trial.violation <= 0.0);
        feasible.filter_map(|trial| axes.point(trial)).collect()
    };
    let signs = Ink::SERIES.into_iter().zip(Shape::SERIES);
    let mut series: Vec<Series> = largest
        .iter()
        .zip(signs)
        .map(|((name, trials), (ink, shape))| points_alone(name, ink, shape, points(trials)))
        .collect();
    let rest: Vec<&Trial> =
        largest.iter().skip(Ink::SERIES.len()).flat_map(|(_, trials)| trials.iter().copied()).collect();
    if !rest.is_empty() {
        let name = format!("{} smaller ones", largest.len() - Ink::SERIES.len());
        series.insert(0, points_alone(&name, Ink::Faint, Shape::Circle, points(&rest)));
    }
    let beyond: Vec<&Trial> = largest.iter().flat_map(|(_, trials)| trials.iter().copied()).collect();
    let beyond = beyond.into_iter().filter(|trial| trial.violation > 0.0);
    let beyond: Vec<Point> = beyond.filter_map(|trial| axes.point(trial)).collect();
    if !beyond.is_empty() {
        series.insert(0, points_alone("beyond a limit", Ink::Faint, Shape::Cross, beyond));
    }
    let (title, what) = if clustered {
        ("All trials by cluster", "cluster of architectures that it was drawn from")
    } else {
        ("All trials by origin", "operator that created it")
    };
    Plot {
        title: title.to_owned(),
        description: format!("Every trial that did not fail, by the {what}."),
        x: axes.x_axis(),
        y: axes.y_axis(),
        series,
        limits: axes.limits(),
    }
}

fn points_alone(name: &str, ink: Ink, shape: Shape, points: Vec<Point>) -> Series {
    Series { name: name.to_owned(), ink, shape: Some(shape), line: Line::None, points }
}

/// Groups the trials by origin: first clusters in ascending order, then operators by name.
fn groups(trials: &[Trial]) -> Vec<(String, Vec<&Trial>)> {
    let mut groups: BTreeMap<(bool, Option<usize>, String), Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        let Origin { cluster, operator, .. } = &trial.proposal.origin;
        let name = match cluster {
            Some(cluster) => format!("cluster {cluster}"),
            None if operator.is_empty() => "not said".to_owned(),
            None => operator.clone(),
        };
        groups.entry((cluster.is_none(), *cluster, name)).or_default().push(trial);
    }
    groups.into_iter().map(|((_, _, name), trials)| (name, trials)).collect()
}
