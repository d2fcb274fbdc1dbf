//! The result of a study: a JSON object for programs, and tables for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_hw_models::{Conditions, CostModel};
use kiln_search::{
    CostSet, FailureGroup, Fidelity, Finished, FrontEntry, MeasuredLatency, RunPaths, SearchEnd, Spent,
    StageSeconds, SupernetHealth, Trial, TrialId,
};
use serde::Serialize;

use crate::csv_table::CsvTable;
use crate::headline;
use crate::measured::{Disagreement, MeasuredNetwork, disagreements};
use crate::output::path_shown;
use crate::text_table::{Align, TextTable};
use crate::units::{self, Numbers};
use crate::{failures, output};

/// The result of a study. If the study has not ended, the result so far.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The run folder.
    #[serde(serialize_with = "output::serialize_path")]
    pub(crate) run: PathBuf,
    /// Names of the objectives, in the config's order.
    #[serde(skip)]
    objectives: Vec<String>,
    /// Number of trials.
    pub(crate) trials: u64,
    /// The Pareto front, sorted by trial number. It contains no times, so equal runs have equal fronts.
    pub(crate) front: Vec<Network>,
    /// The effort spent on trials, and the number of networks at each fidelity.
    pub(crate) spent: Spent,
    /// Whether shared weights estimated the metrics of the front.
    pub(crate) estimated: bool,
    /// Verdict of the health check of the shared weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) supernet_health: Option<SupernetHealth>,
    /// Why the search ended before it used its budget of trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
    /// Failed trials, grouped by reason.
    pub(crate) failed: Vec<FailureGroup>,
    /// Networks that were finished.
    pub(crate) finished: Vec<FinishedNetwork>,
    /// Measured latencies of finished networks, beside their predictions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    measured: Vec<MeasuredNetwork>,
    /// Measurements outside their predicted intervals, and what follows from them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disagreements: Vec<Disagreement>,
    /// Device files that were fitted to the measurements.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "output::serialize_paths")]
    refits: Vec<PathBuf>,
    /// Warnings about changed files of finished networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// The cost models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<PredictedFor>,
    /// Working time of each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<StageSeconds>,
}

/// A cost model and the conditions of its predictions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PredictedFor {
    pub(crate) device: String,
    pub(crate) model: String,
    #[serde(flatten)]
    pub(crate) conditions: Option<Conditions>,
}

impl PredictedFor {
    /// Lists the cost models of a study.
    pub(crate) fn all(costs: &CostSet) -> Vec<Self> {
        let of = |(device, model): &(String, Arc<dyn CostModel>)| {
            let (device, conditions) = (device.clone(), model.conditions());
            Self { device, model: model.name().to_owned(), conditions }
        };
        costs.devices().iter().map(of).collect()
    }
}

impl fmt::Display for PredictedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conditions {
            Some(conditions) => write!(f, "{}, for {conditions}", self.model),
            None => f.write_str(&self.model),
        }
    }
}

/// Why a search ended early, both as data and as text.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ended {
    #[serde(flatten)]
    end: SearchEnd,
    text: String,
}

/// A network on the front.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Network {
    pub(crate) trial: TrialId,
    pub(crate) genotype: String,
    /// The fidelity of its trial.
    pub(crate) fidelity: Fidelity,
    pub(crate) objectives: BTreeMap<String, f64>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) costs: BTreeMap<String, f64>,
}

/// A finished network.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FinishedNetwork {
    pub(crate) trial: TrialId,
    /// Test metrics by name, such as `test_accuracy_percent`.
    #[serde(flatten)]
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Predicted costs.
    pub(crate) costs: BTreeMap<String, f64>,
    /// Paths of the written files.
    #[serde(serialize_with = "output::serialize_paths")]
    pub(crate) files: Vec<PathBuf>,
}

impl Report {
    pub(crate) fn new(
        paths: &RunPaths,
        objectives: &[String],
        trials: u64,
        front: &[FrontEntry],
        finished: &[Finished],
        spent: Spent,
    ) -> Self {
        let network = |entry: &FrontEntry| Network {
            trial: entry.trial,
            genotype: entry.genotype.to_string(),
            fidelity: entry.fidelity,
            objectives: objectives.iter().cloned().zip(entry.objectives.0.iter().copied()).collect(),
            metrics: entry.metrics.clone(),
            costs: entry.costs.0.clone().into(),
        };
        let costs_of = |trial: TrialId| {
            front
                .iter()
                .find(|entry| entry.trial == trial)
                .map(|entry| entry.costs.0.clone().into())
                .unwrap_or_default()
        };
        let finished = finished.iter().map(|network| FinishedNetwork {
            trial: network.trial,
            metrics: network.metrics.clone(),
            costs: costs_of(network.trial),
            files: network.files.iter().map(|file| paths.model(network.trial).join(&file.name)).collect(),
        });
        Self {
            run: paths.root().to_owned(),
            objectives: objectives.to_vec(),
            trials,
            front: front.iter().map(network).collect(),
            spent,
            ended: None,
            failed: Vec::new(),
            finished: finished.collect(),
            measured: Vec::new(),
            disagreements: Vec::new(),
            refits: Vec::new(),
            warnings: Vec::new(),
            devices: Vec::new(),
            estimated: false,
            supernet_health: None,
            seconds: None,
        }
    }

    /// Sets the measured latencies. `limits` are the limits on latency, by device. `refits` are device files
    /// that were fitted to the measurements.
    pub(crate) fn with_measured(
        self,
        measured: &[MeasuredLatency],
        limits: &BTreeMap<String, f64>,
        refits: Vec<PathBuf>,
    ) -> Self {
        let disagreements = disagreements(measured, &self.front, &self.objectives, limits);
        Self { measured: measured.iter().map(Into::into).collect(), disagreements, refits, ..self }
    }

    /// Sets the cost models.
    pub(crate) fn with_devices(self, devices: Vec<PredictedFor>) -> Self {
        Self { devices, ..self }
    }

    /// Sets whether the metrics are estimates, and sets the health check's verdict.
    pub(crate) fn with_numbers(self, numbers: Numbers, supernet_health: Option<SupernetHealth>) -> Self {
        Self { estimated: numbers == Numbers::Estimated, supernet_health, ..self }
    }

    const fn numbers(&self) -> Numbers {
        if self.estimated { Numbers::Estimated } else { Numbers::Measured }
    }

    /// Describes the finished network with the best test result in one line.
    fn headline(&self) -> Option<String> {
        let finished = self.finished.iter().map(|network| (network.trial, &network.metrics));
        let best = headline::best(finished, &self.objectives)?;
        let network = self.finished.iter().find(|network| network.trial == best.trial)?;
        let said = |(name, value): (&String, &f64)| {
            let (heading, value) = units::shown(name, *value);
            format!("{heading} {value}")
        };
        let mut parts: Vec<String> = network.metrics.iter().map(said).collect();
        let entry = self.front.iter().find(|entry| entry.trial == network.trial);
        parts.extend(entry.into_iter().flat_map(|entry| &entry.metrics).take(1).map(|(name, value)| {
            let (heading, value) = self.numbers().shown(name, *value);
            let judged = self.qualifier().map(|said| format!(" {said}")).unwrap_or_default();
            format!("{heading} {value} in the search{judged}")
        }));
        Some(format!("Result: trial {}, finished: {}", network.trial, parts.join(", ")))
    }

    /// Sets the reason why the search ended, and the failed trials.
    pub(crate) fn explained(self, end: Option<&SearchEnd>, failed: Vec<FailureGroup>) -> Self {
        let early = end.filter(|end| **end != SearchEnd::Trials);
        let ended = early.map(|end| Ended { end: end.clone(), text: end.to_string() });
        Self { ended, failed, ..self }
    }

    /// Sets the costs of finished networks that are not on the front.
    pub(crate) fn with_costs(mut self, trials: &[Trial]) -> Self {
        for network in self.finished.iter_mut().filter(|network| network.costs.is_empty()) {
            let trial = trials.iter().find(|trial| trial.id == network.trial);
            network.costs = trial.map(|trial| trial.costs.0.clone().into()).unwrap_or_default();
        }
        self
    }

    /// Returns the qualifier of the front's values, such as `after 3 of 9 epochs`. `None` if they were
    /// measured with full effort.
    fn qualifier(&self) -> Option<String> {
        self.front.first().and_then(|network| network.fidelity.qualifier(self.spent.full_epochs))
    }

    /// Formats the front as comma-separated values: trial, genotype, all metrics, all costs. If any trial was
    /// evaluated with less than full effort, a column with the fidelity precedes the metrics.
    pub(crate) fn csv(&self) -> String {
        let names = |of: fn(&Network) -> &BTreeMap<String, f64>| -> BTreeSet<&String> {
            self.front.iter().flat_map(|network| of(network).keys()).collect()
        };
        let (metrics, costs) = (names(|network| &network.metrics), names(|network| &network.costs));
        let is_full = self.front.iter().all(|network| network.fidelity == Fidelity::Full);
        let fixed: &[&str] =
            if is_full { &["trial", "genotype"] } else { &["trial", "genotype", "fidelity"] };
        let fixed = fixed.iter().map(|name| (*name).to_owned());
        let mut table = CsvTable::new(fixed.chain(metrics.iter().chain(&costs).map(|name| (*name).clone())));
        for network in &self.front {
            let metrics = metrics.iter().map(|name| network.metrics.get(*name));
            let values = metrics.chain(costs.iter().map(|name| network.costs.get(*name)));
            let values = values.map(|value| value.map_or_else(String::new, f64::to_string));
            let fidelity = (!is_full).then(|| network.fidelity.to_string());
            let fixed = [network.trial.to_string(), network.genotype.clone()].into_iter().chain(fidelity);
            table.row(fixed.chain(values));
        }
        table.to_string()
    }

    fn front_table(&self) -> TextTable {
        let names: Vec<String> = self.front.first().map(columns).unwrap_or_default();
        // Headings are abbreviated, so that a table with all costs fits in 80 columns.
        let heading = |name: &String| self.numbers().heading(name).replace("parameters", "params");
        let headings = names.iter().map(|name| (heading(name), Align::Right));
        let qualifier = self.qualifier();
        let judged = qualifier.iter().map(|_| ("judged".to_owned(), Align::Left));
        let trial = std::iter::once(("trial".to_owned(), Align::Right));
        let mut table = TextTable::new(trial.chain(headings).chain(judged));
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
            table.row(std::iter::once(network.trial.to_string()).chain(cells).chain(qualifier.clone()));
        }
        table
    }
}

/// Returns the columns of a network in the front's table: the objectives first, then other metrics and costs.
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
        if let Some(headline) = self.headline() {
            writeln!(f, "{headline}\n")?;
        }
        if let Some(health) = self.supernet_health.as_ref().filter(|health| !health.healthy) {
            writeln!(f, "Warning: {}\n", health.message())?;
        }
        if self.front.is_empty() {
            writeln!(f, "No network was measured in {} trials.", self.trials)?;
        } else {
            if let Some(qualifier) = self.qualifier() {
                writeln!(
                    f,
                    "NO NETWORK WAS JUDGED WITH FULL EFFORT: values of the front were measured {qualifier}.\n"
                )?;
            }
            writeln!(f, "Pareto front: {} networks out of {} trials\n", self.front.len(), self.trials)?;
            write!(f, "{}", self.front_table())?;
            for device in &self.devices {
                writeln!(f, "\nCosts predicted by {device}")?;
            }
        }
        if self.spent.has_rungs() {
            writeln!(f, "\nEffort: {}", self.spent)?;
        }
        if let Some(ended) = &self.ended {
            writeln!(f, "\nThe search ended early: {}", ended.text)?;
        }
        for (index, line) in failures::lines(&self.failed, self.trials).iter().enumerate() {
            writeln!(f, "{}{line}", if index == 0 { "\n" } else { "" })?;
        }
        for network in &self.finished {
            let metrics = network.metrics.iter().chain(&network.costs).map(|(name, value)| {
                let (heading, value) = units::shown(name, *value);
                format!("{heading} {value}")
            });
            let metrics: Vec<String> = metrics.collect();
            writeln!(f, "\nFinished trial {}: {}", network.trial, metrics.join(", "))?;
            for measured in self.measured.iter().filter(|measured| measured.trial == network.trial) {
                writeln!(f, "  {measured}")?;
            }
            for file in &network.files {
                writeln!(f, "  {}", path_shown(file))?;
            }
        }
        for (index, disagreement) in self.disagreements.iter().enumerate() {
            writeln!(f, "{}{disagreement}", if index == 0 { "\n" } else { "" })?;
        }
        for refit in &self.refits {
            let file = path_shown(refit);
            writeln!(f, "A device file that fits the measurements: {file}; a new study can use it (`file`)")?;
        }
        if let Some(seconds) = self.seconds {
            let StageSeconds { prepare, search, finish } = seconds;
            writeln!(f, "\nSeconds: prepare {prepare:.1}, search {search:.1}, finish {finish:.1}")?;
        }
        write!(f, "Run folder: {}", path_shown(&self.run))
    }
}

#[cfg(test)]
mod tests {
    use kiln_search::{Costs, HealthCheck, HealthQuestion, Objectives, Rung};
    use kiln_space::Genotype;

    use super::*;

    fn report() -> Report {
        report_at(Fidelity::Full, Spent::default())
    }

    fn report_at(fidelity: Fidelity, spent: Spent) -> Report {
        let entry = |trial, error: f64, latency: f64| FrontEntry {
            trial,
            genotype: Genotype::new(vec![trial as u8, 1]),
            fidelity,
            objectives: Objectives(vec![error, latency]),
            costs: Costs([("latency_us".to_owned(), latency), ("macs".to_owned(), 1_200_000.0)].into()),
            metrics: [("error_percent".to_owned(), error)].into(),
        };
        let finished = Finished {
            trial: 7,
            metrics: [("test_accuracy_percent".to_owned(), 98.6)].into(),
            files: vec!["model.onnx".into()],
        };
        let objectives = ["error_percent".to_owned(), "latency_us".to_owned()];
        let front = [entry(3, 2.5, 10.0), entry(7, 1.5, 123.4)];
        let device = PredictedFor {
            device: "pi".to_owned(),
            model: "pi/roofline/datasheet".to_owned(),
            conditions: Some(Conditions { batch: 32, threads: 1 }),
        };
        Report::new(&RunPaths::new("runs/a"), &objectives, 20, &front, &[finished], spent)
            .with_devices(vec![device])
    }

    #[test]
    fn report_as_text_has_tables() {
        let expected = "\
Result: trial 7, finished: test accuracy % 98.60, accuracy % 98.50 in the search

Pareto front: 2 networks out of 20 trials

trial  accuracy %  latency µs     macs
    7       98.50       123.4  1.200 M
    3       97.50       10.00  1.200 M

Costs predicted by pi/roofline/datasheet, for a batch of 32 examples on 1 thread

Finished trial 7: test accuracy % 98.60, latency µs 123.4, macs 1.200 M
  runs/a/models/7/model.onnx
Run folder: runs/a";
        assert_eq!(report().to_string(), expected);
    }

    /// A full training takes 20 epochs. Ten networks were trained for one epoch, and three networks for three
    /// epochs.
    fn short() -> Report {
        let rung = |epochs, networks| Rung { fidelity: Fidelity::Epochs(epochs), networks, failed: 0 };
        let spent =
            Spent { rungs: vec![rung(1, 10), Rung { failed: 1, ..rung(3, 3) }], epochs: 22, full_epochs: 20 };
        report_at(Fidelity::Epochs(3), spent)
    }

    #[test]
    fn partial_effort_is_stated_in_every_row_of_front() {
        let expected = "\
Result: trial 7, finished: test accuracy % 98.60, accuracy % 98.50 in the search after 3 of 20 epochs

NO NETWORK WAS JUDGED WITH FULL EFFORT: values of the front were measured after 3 of 20 epochs.

Pareto front: 2 networks out of 20 trials

trial  accuracy %  latency µs     macs  judged
    7       98.50       123.4  1.200 M  after 3 of 20 epochs
    3       97.50       10.00  1.200 M  after 3 of 20 epochs

Costs predicted by pi/roofline/datasheet, for a batch of 32 examples on 1 thread

Effort: 22 epochs (1.1 full trainings); networks judged: 10 after 1 of 20 epochs, 3 after 3 of 20 epochs (1 failed), 0 with full effort

Finished trial 7: test accuracy % 98.60, latency µs 123.4, macs 1.200 M
  runs/a/models/7/model.onnx
Run folder: runs/a";
        assert_eq!(short().to_string(), expected);
        let csv = short().csv();
        assert_eq!(
            csv.lines().take(2).collect::<Vec<_>>(),
            ["trial,genotype,fidelity,error_percent,latency_us,macs", "3,3-1,\"3 epochs\",2.5,10,1200000",]
        );
        let json = serde_json::to_value(short()).unwrap();
        assert_eq!(json["front"][0]["fidelity"], serde_json::json!({ "epochs": 3 }));
        assert_eq!(
            json["spent"]["rungs"][1],
            serde_json::json!({ "fidelity": { "epochs": 3 }, "networks": 3, "failed": 1 })
        );
        assert_eq!(
            (json["spent"]["epochs"].as_u64(), json["spent"]["full_epochs"].as_u64()),
            (Some(22), Some(20))
        );
    }

    #[test]
    fn supernet_front_shows_estimates_and_warning() {
        let check = HealthCheck {
            question: HealthQuestion::EstimatesRepeat,
            passed: false,
            numbers: [("tau".to_owned(), 0.1)].into(),
            answer: "they do not repeat".to_owned(),
        };
        let health = SupernetHealth::new(vec![check], "train longer".to_owned());
        let report = report().with_numbers(Numbers::Estimated, Some(health));
        let text = report.to_string();
        assert!(text.contains("trial  estimated accuracy %  latency µs"), "{text}");
        assert!(text.contains("estimated accuracy % 98.50 in the search"), "{text}");
        assert!(
            text.contains("\nWarning: the supernet's estimates may mislead") && text.contains("train longer")
        );
        let json = serde_json::to_value(report).unwrap();
        assert_eq!((&json["estimated"], &json["supernet_health"]["healthy"]), (&true.into(), &false.into()));
    }

    #[test]
    fn report_as_json_is_one_object() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["front"][0]["objectives"]["error_percent"], 2.5);
        assert_eq!(json["finished"][0]["test_accuracy_percent"], 98.6);
        assert_eq!(json["finished"][0]["costs"]["latency_us"], 123.4);
        assert_eq!(json["finished"][0]["files"][0], "runs/a/models/7/model.onnx");
        assert!(json.get("seconds").is_none() && json.get("supernet_health").is_none());
        assert_eq!(json["estimated"], false);
        let model = "pi/roofline/datasheet";
        let device = serde_json::json!({ "device": "pi", "model": model, "batch": 32, "threads": 1 });
        assert_eq!(json["devices"], serde_json::json!([device]));
    }

    #[test]
    fn report_as_csv_has_all_columns() {
        let expected =
            "trial,genotype,error_percent,latency_us,macs\n3,3-1,2.5,10,1200000\n7,7-1,1.5,123.4,1200000\n";
        assert_eq!(report().csv(), expected);
    }
}
