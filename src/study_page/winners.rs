//! Shows the winners with their genotypes and measurements, and the cost of each layer.

use std::collections::BTreeMap;

use kiln_export::page::{Cell, Part, Section, Table};
use kiln_search::{Trial, TrialId};

use super::StudyPage;
use super::names::{subject, subject_of, with_unit};
use crate::inspection::{Inspection, LayerView};
use crate::measured::MeasuredNetwork;
use crate::units;

impl StudyPage {
    pub(super) fn winners_section(
        &self,
        inspections: &BTreeMap<TrialId, anyhow::Result<Inspection>>,
    ) -> Option<Section> {
        let winners = self.winners();
        if winners.is_empty() {
            return None;
        }
        let mut parts = Vec::new();
        if self.record.finished.is_empty() {
            let text = "No network is finished yet. This is the best network of the front.";
            parts.push(Part::Text(text.to_owned()));
        }
        for trial in winners {
            parts.push(Part::Text(self.what_was_measured(trial)));
            match inspections.get(&trial.id) {
                Some(Ok(inspection)) => parts.extend(layers(trial, inspection)),
                Some(Err(problem)) => {
                    let problem = format!("{problem:#}");
                    parts.push(Part::Text(format!("Its layers cannot be shown: {problem}.")));
                }
                None => {}
            }
        }
        Some(Section { title: "Cost by layer of the winners".to_owned(), parts })
    }

    fn what_was_measured(&self, trial: &Trial) -> String {
        let mut parts = vec![format!("Trial {}, genotype {}.", trial.id, trial.proposal.genotype)];
        if let Some((finished, seconds)) = self.record.finished.get(&trial.id) {
            parts.push(format!("Finished in {seconds:.0} s: {}.", said(&finished.metrics)));
        }
        if let Some(measured) = trial.outcome.measurement() {
            let qualifier = self.qualifier(trial.proposal.fidelity);
            let judged = qualifier.map(|said| format!(", {said}")).unwrap_or_default();
            let (numbers, metrics) = (self.numbers, measured.metrics());
            let values = metrics
                .iter()
                .map(|(name, value)| format!("{} {}", subject_of(name, numbers), with_unit(name, *value)));
            parts.push(format!("In the search{judged}: {}.", values.collect::<Vec<_>>().join(", ")));
        }
        parts.push(format!("Predicted: {}.", said(&trial.costs.0)));
        let measured = self.record.measured.values().filter(|measured| measured.trial == trial.id);
        parts.extend(measured.map(|measured| format!("{}.", MeasuredNetwork::from(measured))));
        parts.join(" ")
    }
}

/// Formats named values as text.
fn said<'a>(values: impl IntoIterator<Item = (&'a String, &'a f64)>) -> String {
    let said =
        |(name, value): (&'a String, &'a f64)| format!("{} {}", subject(name), with_unit(name, *value));
    values.into_iter().map(said).collect::<Vec<_>>().join(", ")
}

/// Tabulates the chosen options and the layers that have a cost.
fn layers(trial: &Trial, inspection: &Inspection) -> Vec<Part> {
    let devices = &inspection.devices;
    // The bars show the latency on the first device. If there is no device, they show multiply-accumulates.
    let weight = |layer: &LayerView| layer.latency_us.first().copied().unwrap_or(layer.macs as f64);
    let total: f64 = inspection.layers.iter().map(weight).sum();
    let most = inspection.layers.iter().map(weight).fold(0.0, f64::max);
    let costs = |layer: &&LayerView| layer.macs > 0 || layer.latency_us.iter().any(|latency| *latency > 0.0);
    let share = |layer: &LayerView, of: f64| if of > 0.0 { weight(layer) / of } else { 0.0 };
    let row = |layer: &LayerView| {
        let fixed = [
            Cell::Text(layer.name.clone()),
            Cell::Text(layer.operation.clone()),
            Cell::Text(layer.output.clone()),
            Cell::Number(units::count(layer.parameters as f64)),
            Cell::Number(units::count(layer.macs as f64)),
        ];
        let latencies = layer.latency_us.iter().map(|latency| Cell::Number(units::significant(*latency)));
        let bar =
            [Cell::Number(format!("{:.1}", 100.0 * share(layer, total))), Cell::Bar(share(layer, most))];
        fixed.into_iter().chain(latencies).chain(bar).collect()
    };
    let fixed = ["layer", "operation", "output", "parameters", "MACs"].map(str::to_owned);
    let latencies = devices.iter().map(|device| format!("µs {device}"));
    let rows: Vec<Vec<Cell>> = inspection.layers.iter().filter(costs).map(row).collect();
    let rest = inspection.layers.len() - rows.len();
    let (weighed, rest) = match (devices.first(), rest) {
        (Some(device), 0) => (format!("predicted latency on {device}"), String::new()),
        (Some(device), rest) => (
            format!("predicted latency on {device}"),
            format!("; {rest} fused layers have no cost of their own"),
        ),
        (None, _) => ("multiply-accumulates".to_owned(), String::new()),
    };
    let table = Table {
        caption: format!("Layers of trial {} and their share of the {weighed}{rest}", trial.id),
        headings: fixed.into_iter().chain(latencies).chain(["%".to_owned(), String::new()]).collect(),
        rows,
    };
    let decisions = Table {
        caption: format!("Decisions of trial {}", trial.id),
        headings: vec!["decision".to_owned(), "option".to_owned()],
        rows: inspection
            .decisions
            .iter()
            .map(|(decision, option)| vec![Cell::Text(decision.clone()), Cell::Text(option.clone())])
            .collect(),
    };
    let summary = format!("The {} decisions that lead to it", decisions.rows.len());
    vec![Part::Table(table), Part::Folded { summary, part: Box::new(Part::Table(decisions)) }]
}
