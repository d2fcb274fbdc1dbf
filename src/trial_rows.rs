//! The trials of a run as rows, with the same columns for each trial. A notebook reads the CSV or the JSON in
//! one line.

use std::collections::BTreeSet;

use kiln_search::{FailureKind, Fidelity, JournaledTrial, Measurement, Outcome, TrialId};
use kiln_space::{Choice, Decision, variation};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::csv_table;
use crate::text_table::{Align, TextTable};
use crate::units::{self, Numbers};

/// Columns that every run has.
const FIXED: [&str; 12] = [
    "trial",
    "outcome",
    "reason",
    "fidelity",
    "epochs",
    "seconds",
    "operator",
    "parents",
    "cluster",
    "violation",
    "front",
    "genotype",
];

/// A value in a row.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Empty,
    Text(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
}

impl Cell {
    fn text(self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text,
            Self::Whole(whole) => whole.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Whole(whole) => serializer.serialize_i64(*whole),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}

/// The trials of a run, and the columns of their rows.
pub(crate) struct TrialRows<'a> {
    trials: &'a [JournaledTrial],
    metrics: Vec<&'a str>,
    costs: Vec<&'a str>,
    decisions: Vec<Decision>,
    front: BTreeSet<TrialId>,
    full_epochs: u32,
    headings: Vec<String>,
}

impl<'a> TrialRows<'a> {
    /// `front` are the trials on the Pareto front. `full_epochs` is the number of epochs of a full training,
    /// or 0.
    pub(crate) fn new(
        trials: &'a [JournaledTrial],
        decisions: Vec<Decision>,
        front: BTreeSet<TrialId>,
        full_epochs: u32,
    ) -> Self {
        let (mut metrics, mut costs) = (BTreeSet::new(), BTreeSet::new());
        for JournaledTrial { trial, .. } in trials {
            let measured = trial.outcome.measurement().into_iter().flat_map(|found| found.metrics().keys());
            metrics.extend(measured.map(String::as_str));
            costs.extend(trial.costs.0.keys().map(String::as_str));
        }
        let (metrics, costs): (Vec<_>, Vec<_>) = (metrics.into_iter().collect(), costs.into_iter().collect());
        let fixed = FIXED.iter().map(|name| (*name).to_owned());
        // The prefixes keep names apart: a decision may have the name of a cost.
        let metric = metrics.iter().map(|name| format!("metric.{name}"));
        let cost = costs.iter().map(|name| format!("cost.{name}"));
        let option = decisions.iter().map(|decision| format!("option.{}", decision.name));
        let headings = fixed.chain(metric).chain(cost).chain(option).collect();
        Self { trials, metrics, costs, decisions, front, full_epochs, headings }
    }

    /// Returns the lines of a CSV file, the headings first.
    pub(crate) fn csv(&self) -> impl Iterator<Item = String> {
        let headings = csv_table::line(self.headings.iter().map(String::as_str));
        let rows = self.trials.iter().map(|trial| {
            let cells: Vec<String> = self.cells(trial).into_iter().map(Cell::text).collect();
            csv_table::line(cells.iter().map(String::as_str))
        });
        std::iter::once(headings).chain(rows)
    }

    /// Returns one JSON object for each trial. All objects have the same keys.
    pub(crate) fn json(&self) -> impl Iterator<Item = impl Serialize> {
        self.trials.iter().map(|trial| JsonRow { headings: &self.headings, cells: self.cells(trial) })
    }

    /// Returns a table for people: numbers with units, and all options in one column.
    pub(crate) fn table(&self, numbers: Numbers) -> TextTable {
        let numeric = self.metrics.iter().chain(&self.costs);
        let headings = numeric.map(|name| (numbers.heading(name), Align::Right));
        let first = [("trial", Align::Right), ("outcome", Align::Left), ("fidelity", Align::Left)];
        let last = [
            ("seconds", Align::Right),
            ("origin", Align::Left),
            ("genotype", Align::Left),
            ("options", Align::Left),
        ];
        let owned = |(name, align): (&str, Align)| (name.to_owned(), align);
        let mut table = TextTable::new(first.map(owned).into_iter().chain(headings).chain(last.map(owned)));
        for journaled in self.trials {
            let JournaledTrial { trial, seconds, .. } = journaled;
            let shown = |name: &str, value: Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |value| units::shown(name, value).1)
            };
            let measured = trial.outcome.measurement();
            let metrics =
                self.metrics.iter().map(|name| shown(name, measured.and_then(|found| found.get(name))));
            let costs = self.costs.iter().map(|name| shown(name, trial.costs.0.get(name).copied()));
            let (origin, genotype) = (&trial.proposal.origin, &trial.proposal.genotype);
            let origin_said = std::iter::once(origin.operator.clone())
                .chain(origin.parents.iter().map(ToString::to_string))
                .collect::<Vec<_>>()
                .join(" ");
            let options = self.decisions.iter().zip(self.options(journaled));
            let options = options.filter(|(_, option)| *option != Cell::Empty);
            let options = options.map(|(decision, option)| format!("{}={}", decision.name, option.text()));
            let front = if self.front.contains(&trial.id) { ", on the front" } else { "" };
            table.row(
                [
                    trial.id.to_string(),
                    format!("{}{front}", kind(&trial.outcome)),
                    trial.proposal.fidelity.to_string(),
                ]
                .into_iter()
                .chain(metrics)
                .chain(costs)
                .chain([
                    format!("{:.2}", seconds.get()),
                    origin_said,
                    genotype.to_string(),
                    options.collect::<Vec<_>>().join(" "),
                ]),
            );
        }
        table
    }

    /// Returns the cells of a row, in the order of the headings.
    fn cells(&self, journaled: &JournaledTrial) -> Vec<Cell> {
        let JournaledTrial { trial, seconds, .. } = journaled;
        let (proposal, measured) = (&trial.proposal, trial.outcome.measurement());
        let epochs = match proposal.fidelity {
            Fidelity::Proxy => Cell::Whole(0),
            Fidelity::Epochs(epochs) => Cell::Whole(epochs.into()),
            Fidelity::Full if self.full_epochs > 0 => Cell::Whole(self.full_epochs.into()),
            Fidelity::Full => Cell::Empty,
        };
        let reason = match &trial.outcome {
            Outcome::Failed { reason, .. } => Cell::Text(reason.clone()),
            Outcome::Measured(_) => Cell::Empty,
        };
        let parents: Vec<String> = proposal.origin.parents.iter().map(ToString::to_string).collect();
        let whole = |number: u64| i64::try_from(number).map_or(Cell::Empty, Cell::Whole);
        let fixed: [Cell; FIXED.len()] = [
            whole(trial.id),
            Cell::Text(kind(&trial.outcome).to_owned()),
            reason,
            Cell::Text(proposal.fidelity.to_string()),
            epochs,
            Cell::Number(seconds.get()),
            Cell::Text(proposal.origin.operator.clone()),
            if parents.is_empty() { Cell::Empty } else { Cell::Text(parents.join(" ")) },
            proposal.origin.cluster.map_or(Cell::Empty, |cluster| whole(cluster as u64)),
            Cell::Number(trial.violation),
            Cell::Flag(self.front.contains(&trial.id)),
            Cell::Text(proposal.genotype.to_string()),
        ];
        let number = |value: Option<f64>| value.map_or(Cell::Empty, Cell::Number);
        let metric =
            |found: Option<&Measurement>, name: &str| number(found.and_then(|found| found.get(name)));
        let metrics = self.metrics.iter().map(|name| metric(measured, name));
        let costs = self.costs.iter().map(|name| number(trial.costs.0.get(name).copied()));
        fixed.into_iter().chain(metrics).chain(costs).chain(self.options(journaled)).collect()
    }

    /// Returns the option of each decision. The cell of a decision that is not active is empty.
    fn options(&self, journaled: &JournaledTrial) -> Vec<Cell> {
        let genes = journaled.trial.proposal.genotype.genes();
        if genes.len() != self.decisions.len() {
            return vec![Cell::Empty; self.decisions.len()];
        }
        let active = variation::active(&self.decisions, genes);
        let chosen = self.decisions.iter().zip(genes).zip(active);
        let option = |((decision, gene), active): ((&Decision, &u8), bool)| match decision
            .options
            .get(usize::from(*gene))
            .filter(|_| active)
        {
            None => Cell::Empty,
            Some(Choice::Flag(flag)) => Cell::Flag(*flag),
            Some(Choice::Int(whole)) => Cell::Whole(*whole),
            Some(Choice::Real(number)) => Cell::Number(*number),
            Some(Choice::Text(text)) => Cell::Text(text.clone()),
        };
        chosen.map(option).collect()
    }
}

/// Returns the word for an outcome.
const fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Measured(_) => "measured",
        Outcome::Failed { kind: FailureKind::Invalid, .. } => "invalid",
        Outcome::Failed { kind: FailureKind::Diverged, .. } => "diverged",
        Outcome::Failed { kind: FailureKind::Panicked, .. } => "panicked",
        Outcome::Failed { kind: FailureKind::Program, .. } => "program",
    }
}

/// A row whose keys are in the order of the columns.
struct JsonRow<'a> {
    headings: &'a [String],
    cells: Vec<Cell>,
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.cells.len()))?;
        for (heading, cell) in self.headings.iter().zip(&self.cells) {
            map.serialize_entry(heading, cell)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use kiln_search::{Costs, Objectives, Origin, Proposal, Seconds, Trial};
    use kiln_space::Genotype;

    use super::*;

    fn trial(id: TrialId, genes: Vec<u8>, outcome: Outcome, fidelity: Fidelity) -> JournaledTrial {
        let origin = Origin { operator: "mutation".to_owned(), parents: vec![0, 2], cluster: None };
        let proposal = Proposal { genotype: Genotype::new(genes), fidelity, origin };
        let costs = Costs([("macs".to_owned(), 1000.0)].into());
        let trial = Trial { id, proposal, outcome, costs, objectives: Objectives::default(), violation: 0.0 };
        JournaledTrial { trial, seconds: Seconds::saturating(1.5), worker: 0, checked: true }
    }

    fn trials() -> Vec<JournaledTrial> {
        let failed = Outcome::Failed { kind: FailureKind::Diverged, reason: "=1+1, \"x\"\ny".to_owned() };
        let measured = Outcome::from_metrics([("error_percent".to_owned(), 12.5)].into());
        vec![
            trial(3, vec![1, 0], measured, Fidelity::Full),
            trial(4, vec![0, 1], failed, Fidelity::Epochs(2)),
        ]
    }

    fn decisions() -> Vec<Decision> {
        let decision =
            |name: &str, options: Vec<Choice>| Decision { name: name.to_owned(), options, active_if: None };
        vec![
            decision("width", vec![Choice::Int(8), Choice::Int(16)]),
            decision("macs", vec![Choice::Flag(true), Choice::Text("a b".to_owned())]),
        ]
    }

    #[test]
    fn csv_has_a_column_for_each_metric_cost_and_decision() {
        let trials = trials();
        let rows = TrialRows::new(&trials, decisions(), [3].into(), 9);
        let lines: Vec<String> = rows.csv().collect();
        let expected = [
            "trial,outcome,reason,fidelity,epochs,seconds,operator,parents,cluster,violation,front,genotype,\
             metric.error_percent,cost.macs,option.width,option.macs",
            "3,measured,,full,9,1.5,mutation,\"0 2\",,0,true,1-0,12.5,1000,16,true",
            "4,diverged,\"'=1+1, \"\"x\"\"\\ny\",\"2 epochs\",2,1.5,mutation,\"0 2\",,0,false,0-1,,1000,8,\"a b\"",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn json_rows_have_the_same_keys_and_typed_values() {
        let trials = trials();
        let rows = TrialRows::new(&trials, decisions(), [3].into(), 0);
        let rows: Vec<String> = rows.json().map(|row| serde_json::to_string(&row).unwrap()).collect();
        assert_eq!(
            rows[0],
            "{\"trial\":3,\"outcome\":\"measured\",\"reason\":null,\"fidelity\":\"full\",\"epochs\":null,\
             \"seconds\":1.5,\"operator\":\"mutation\",\"parents\":\"0 2\",\"cluster\":null,\"violation\":0.0,\
             \"front\":true,\"genotype\":\"1-0\",\"metric.error_percent\":12.5,\"cost.macs\":1000.0,\
             \"option.width\":16,\"option.macs\":true}"
        );
        let keys = |row: &String| {
            let value: serde_json::Value = serde_json::from_str(row).unwrap();
            value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(keys(&rows[0]), keys(&rows[1]));
    }

    #[test]
    fn table_has_options_by_name_in_one_column() {
        let trials = trials();
        let table = TrialRows::new(&trials, decisions(), [3].into(), 9).table(Numbers::Measured).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("trial  outcome"), "{table}");
        assert!(
            lines[1].contains("measured, on the front") && lines[1].ends_with("1-0       width=16 macs=true")
        );
        assert!(lines[2].contains("diverged") && lines[2].ends_with("width=8 macs=a b"), "{table}");
    }

    #[test]
    fn genotypes_of_another_space_have_no_options() {
        let trials = trials();
        let rows = TrialRows::new(&trials, decisions()[..1].to_vec(), BTreeSet::new(), 9);
        assert!(rows.csv().nth(1).unwrap().ends_with(",12.5,1000,"));
    }
}
