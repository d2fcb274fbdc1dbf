//! The calls of MLflow's REST interface that Kiln uses.
//!
//! Source: MLflow, REST API 2.0.

use kiln_http::Request;
use serde_json::{Value, json};

use super::connection::{Connection, Refusal};
use super::names::accepted;
use crate::point::{Point, Steps};

/// Maximum number of metrics, and of parameters, in one request.
pub(super) const METRICS_MAX: usize = 1000;
pub(super) const PARAMETERS_MAX: usize = 100;
/// The tag by which a study finds its run again.
const STUDY: &str = "kiln.study";

/// A run on the server, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: String,
    /// Last step of each metric.
    pub(super) steps: Steps,
    /// Names of the parameters.
    pub(super) parameters: Vec<String>,
}

/// What a new run is called.
#[derive(Clone, Debug)]
pub(super) struct NewRun<'a> {
    /// Identifies the study.
    pub(super) key: &'a str,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// When the study began, in seconds since the Unix epoch.
    pub(super) unix_s: f64,
}

pub(super) struct Api {
    connection: Connection,
    experiment: String,
}

impl Api {
    pub(super) const fn new(connection: Connection, experiment: String) -> Self {
        Self { connection, experiment }
    }

    /// Returns the study's run. Creates the experiment and the run if they are missing.
    pub(super) fn open(&self, new: &NewRun<'_>) -> Result<Run, Refusal> {
        let experiment = self.experiment()?;
        let found = self.post(
            "runs/search",
            &json!({
                "experiment_ids": [experiment],
                // The key has hexadecimal digits only.
                "filter": format!("tags.`{STUDY}` = '{}'", new.key),
                "run_view_type": "ACTIVE_ONLY",
                "max_results": 1,
            }),
        )?;
        if let Some(run) = found["runs"].get(0) {
            let run = known(run)?;
            self.post("runs/update", &json!({ "run_id": run.id, "status": "RUNNING" }))?;
            return Ok(run);
        }
        let tag = |key: &str, value: &str| json!({ "key": key, "value": value });
        let created = self.post(
            "runs/create",
            &json!({
                "experiment_id": experiment,
                "run_name": new.name,
                "start_time": milliseconds(new.unix_s),
                "tags": [
                    tag(STUDY, new.key), tag("kiln.version", new.version), tag("mlflow.source.name", "kiln"),
                    tag("mlflow.runName", new.name),
                ],
            }),
        )?;
        known(&created["run"])
    }

    fn experiment(&self) -> Result<String, Refusal> {
        let path = "/api/2.0/mlflow/experiments/get-by-name";
        match self.connection.send(Request::Query(path, ("experiment_name", &self.experiment))) {
            Ok(found) => id(&found["experiment"]["experiment_id"]),
            Err(Refusal::Status(404, _)) => {
                let created = self.post("experiments/create", &json!({ "name": self.experiment }))?;
                id(&created["experiment_id"])
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Adds points to a run.
    pub(super) fn log(&self, run: &str, points: &[&Point]) -> Result<(), Refusal> {
        let metrics = points.iter().map(|point| {
            json!({
                "key": accepted(&point.series), "value": point.value, "step": point.step,
                "timestamp": milliseconds(point.unix_s),
            })
        });
        let metrics: Vec<Value> = metrics.collect();
        self.post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics })).map(drop)
    }

    /// Adds parameters to a run.
    pub(super) fn set(&self, run: &str, parameters: &[(String, String)]) -> Result<(), Refusal> {
        let parameters: Vec<Value> =
            parameters.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        self.post("runs/log-batch", &json!({ "run_id": run, "params": parameters })).map(drop)
    }

    /// Ends a run with a status.
    pub(super) fn end(&self, run: &str, status: &str, unix_s: f64) -> Result<(), Refusal> {
        let body = json!({ "run_id": run, "status": status, "end_time": milliseconds(unix_s) });
        self.post("runs/update", &body).map(drop)
    }

    fn post(&self, call: &str, body: &Value) -> Result<Value, Refusal> {
        self.connection.send(Request::Post(&format!("/api/2.0/mlflow/{call}"), Some(body)))
    }
}

fn milliseconds(unix_s: f64) -> i64 {
    (unix_s * 1000.0).round() as i64
}

/// Reads an identifier that later requests repeat.
fn id(value: &Value) -> Result<String, Refusal> {
    let plain = |id: &&str| {
        let is_plain = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        is_plain && (1..=256).contains(&id.len())
    };
    value.as_str().filter(plain).map(str::to_owned).ok_or(Refusal::Unexpected)
}

/// Reads a run.
fn known(run: &Value) -> Result<Run, Refusal> {
    let mut found = Run { id: id(&run["info"]["run_id"])?, ..Run::default() };
    let list = |name: &str| run["data"][name].as_array().into_iter().flatten();
    for metric in list("metrics") {
        // JSON of protocol buffers may contain integers as text.
        let step = &metric["step"];
        let step = step.as_u64().or_else(|| step.as_str()?.parse().ok()).unwrap_or_default();
        if let Some(key) = metric["key"].as_str() {
            found.steps.add(key, step);
        }
    }
    found
        .parameters
        .extend(list("params").filter_map(|parameter| parameter["key"].as_str()).map(str::to_owned));
    Ok(found)
}
