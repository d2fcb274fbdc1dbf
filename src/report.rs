//! What came of a study: for programs as one JSON object, for people as tables.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use kiln_search::{Finished, FrontEntry, RunPaths, StageSeconds, TrialId};
use serde::Serialize;

use crate::text_table::{Align, TextTable};
use crate::units;

/// The result of a study, or of what there is of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The run folder.
    pub(crate) run: PathBuf,
    /// Finished trials.
    pub(crate) trials: u64,
    /// The Pareto front, by ascending trial. No times: equal runs have equal fronts.
    pub(crate) front: Vec<Network>,
    /// Networks that were trained on and written.
    pub(crate) finished: Vec<FinishedNetwork>,
    /// Seconds of this process in each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<StageSeconds>,
}

/// An architecture of the front.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Network {
    pub(crate) trial: TrialId,
    pub(crate) genotype: String,
    pub(crate) objectives: BTreeMap<String, f64>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) costs: BTreeMap<String, f64>,
}

/// A finished network.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FinishedNetwork {
    pub(crate) trial: TrialId,
    /// Measured on the test split: `test_accuracy_percent` and the like.
    #[serde(flatten)]
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Predicted.
    pub(crate) costs: BTreeMap<String, f64>,
    /// Written files.
    pub(crate) files: Vec<PathBuf>,
}

impl Report {
    pub(crate) fn new(
        paths: &RunPaths,
        objectives: &[String],
        trials: u64,
        front: &[FrontEntry],
        finished: &[Finished],
    ) -> Self {
        let network = |entry: &FrontEntry| Network {
            trial: entry.trial,
            genotype: entry.genotype.to_string(),
            objectives: objectives.iter().cloned().zip(entry.objectives.0.iter().copied()).collect(),
            metrics: entry.metrics.clone(),
            costs: entry.costs.0.clone(),
        };
        let costs_of = |trial: TrialId| {
            front
                .iter()
                .find(|entry| entry.trial == trial)
                .map(|entry| entry.costs.0.clone())
                .unwrap_or_default()
        };
        let finished = finished.iter().map(|network| FinishedNetwork {
            trial: network.trial,
            metrics: network.metrics.clone(),
            costs: costs_of(network.trial),
            files: network.files.iter().map(|file| paths.model(network.trial).join(file)).collect(),
        });
        Self {
            run: paths.root().to_owned(),
            trials,
            front: front.iter().map(network).collect(),
            finished: finished.collect(),
            seconds: None,
        }
    }

    /// The front as comma-separated values: trial, genotype, objectives, then all metrics and costs.
    pub(crate) fn csv(&self) -> String {
        let Some(first) = self.front.first() else {
            return "trial,genotype\n".to_owned();
        };
        let names = first.metrics.keys().chain(first.costs.keys());
        let mut lines = vec![format!("trial,genotype,{}", names.cloned().collect::<Vec<_>>().join(","))];
        for network in &self.front {
            let values = network.metrics.values().chain(network.costs.values());
            let values: Vec<String> = values.map(f64::to_string).collect();
            lines.push(format!("{},{},{}", network.trial, network.genotype, values.join(",")));
        }
        lines.join("\n") + "\n"
    }

    fn front_table(&self) -> TextTable {
        let names: Vec<String> = self.front.first().map(columns).unwrap_or_default();
        // Short, so that a table of all costs fits a terminal of 80 columns.
        let heading = |name: &String| units::shown(name, 0.0).0.replace("parameters", "params");
        let headings = names.iter().map(|name| (heading(name), Align::Right));
        let mut table = TextTable::new(std::iter::once(("trial".to_owned(), Align::Right)).chain(headings));
        let mut networks: Vec<&Network> = self.front.iter().collect();
        let value = |network: &Network, name: &str| {
            network.metrics.get(name).or_else(|| network.costs.get(name)).copied()
        };
        if let Some(first) = names.first() {
            networks.sort_by(|a, b| {
                let of = |network| value(network, first).unwrap_or(f64::INFINITY);
                of(a).total_cmp(&of(b)).then(a.trial.cmp(&b.trial))
            });
        }
        for network in networks {
            let cells = names.iter().map(|name| {
                value(network, name).map_or_else(|| "-".to_owned(), |value| units::shown(name, value).1)
            });
            table.row(std::iter::once(network.trial.to_string()).chain(cells));
        }
        table
    }
}

/// What a table of the front shows of each network: the objectives, then what else is known of it.
fn columns(network: &Network) -> Vec<String> {
    let mut names: Vec<String> =
        network.metrics.keys().filter(|name| name.contains("error")).cloned().collect();
    let objectives = network.objectives.keys().chain(network.costs.keys());
    for name in objectives {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.front.is_empty() {
            writeln!(f, "No network was measured in {} trials.", self.trials)?;
        } else {
            writeln!(f, "Pareto front: {} networks out of {} trials\n", self.front.len(), self.trials)?;
            write!(f, "{}", self.front_table())?;
        }
        for network in &self.finished {
            let metrics = network.metrics.iter().chain(&network.costs).map(|(name, value)| {
                let (heading, value) = units::shown(name, *value);
                format!("{heading} {value}")
            });
            let metrics: Vec<String> = metrics.collect();
            writeln!(f, "\nFinished trial {}: {}", network.trial, metrics.join(", "))?;
            for file in &network.files {
                writeln!(f, "  {}", file.display())?;
            }
        }
        if let Some(seconds) = self.seconds {
            let StageSeconds { prepare, search, finish } = seconds;
            writeln!(f, "\nSeconds: prepare {prepare:.1}, search {search:.1}, finish {finish:.1}")?;
        }
        write!(f, "Run folder: {}", self.run.display())
    }
}

#[cfg(test)]
mod tests {
    use kiln_search::{Costs, Objectives};
    use kiln_space::Genotype;

    use super::*;

    fn report() -> Report {
        let entry = |trial, error: f64, latency: f64| FrontEntry {
            trial,
            genotype: Genotype::new(vec![trial as u8, 1]),
            objectives: Objectives(vec![error, latency]),
            costs: Costs([("latency_us".to_owned(), latency), ("macs".to_owned(), 1_200_000.0)].into()),
            metrics: [("error_percent".to_owned(), error)].into(),
        };
        let finished = Finished {
            trial: 7,
            metrics: [("test_accuracy_percent".to_owned(), 98.6)].into(),
            files: vec!["model.onnx".to_owned()],
        };
        let objectives = ["error_percent".to_owned(), "latency_us".to_owned()];
        let front = [entry(3, 2.5, 10.0), entry(7, 1.5, 123.4)];
        Report::new(&RunPaths::new("runs/a"), &objectives, 20, &front, &[finished])
    }

    #[test]
    fn people_read_tables() {
        let expected = "\
Pareto front: 2 networks out of 20 trials

trial  accuracy %  latency µs     macs
    7       98.50       123.4  1.200 M
    3       97.50       10.00  1.200 M

Finished trial 7: test accuracy % 98.60, latency µs 123.4, macs 1.200 M
  runs/a/models/7/model.onnx
Run folder: runs/a";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn programs_read_one_object() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["front"][0]["objectives"]["error_percent"], 2.5);
        assert_eq!(json["finished"][0]["test_accuracy_percent"], 98.6);
        assert_eq!(json["finished"][0]["costs"]["latency_us"], 123.4);
        assert_eq!(json["finished"][0]["files"][0], "runs/a/models/7/model.onnx");
        assert!(json.get("seconds").is_none());
    }

    #[test]
    fn spreadsheets_read_comma_separated_values() {
        let expected =
            "trial,genotype,error_percent,latency_us,macs\n3,3-1,2.5,10,1200000\n7,7-1,1.5,123.4,1200000\n";
        assert_eq!(report().csv(), expected);
    }
}
