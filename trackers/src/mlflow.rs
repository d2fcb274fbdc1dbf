//! MLflow: a run on an MLflow server, over its REST interface.
//!
//! A thread of its own sends the points. The study only puts them into a bounded queue, so a server that is
//! slow or down neither slows nor ends a study. A run on the server belongs to a study, not to a process: it
//! is found again by a tag, and points that it has are not sent again.

mod api;
mod connection;
mod names;
mod queue;
mod sender;

use std::env;
use std::sync::Arc;
use std::thread;

use kiln_http::{Address, Token};
use kiln_space::{Settings, SettingsError};
use serde_json::{Map, Value};

use self::api::Api;
use self::connection::Connection;
use self::queue::Queue;
use self::sender::Sender;
use crate::point::Point;
use crate::tracker::{Ending, TrackedStudy, Tracker, TrackerError, TrackerPart, TrackerSetting, Warn};

pub(crate) const PART: TrackerPart = TrackerPart::new("a run on an MLflow server", build)
    .with_keys(&[
        r##"mlflow = { anyOf = [{ type = "string" }, { "$ref" = "#/$defs/mlflow" }], description = "Address of an MLflow server, or a table with its address and the experiment. The token is in the environment variable `MLFLOW_TRACKING_TOKEN`." }"##,
    ])
    .tested_with(&[
        r#"{ "mlflow": "http://localhost:5000" }"#,
        r#"{ "mlflow": { "address": "http://localhost:5000", "experiment": "a study" } }"#,
    ]);

/// Environment variable with the token. MLflow's own programs read the same variable.
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
/// The experiment that contains the runs, unless the config names another.
const EXPERIMENT: &str = "kiln";
/// An address for messages.
const EXAMPLE: &str = "http://localhost:5000";
/// Longest name of an experiment.
const NAME_MAX: usize = 200;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: String,
    #[serde(default = "experiment")]
    experiment: String,
}

fn experiment() -> String {
    EXPERIMENT.to_owned()
}

fn build(setting: TrackerSetting<'_>) -> Result<Option<Box<dyn Tracker>>, SettingsError> {
    let (table, key) = match setting.value {
        Value::String(address) => {
            (Table { address: address.clone(), experiment: experiment() }, setting.key.to_owned())
        }
        Value::Object(table) => {
            let table: Map<String, Value> = table.clone();
            (Settings::new(setting.key, table).read::<Table>()?, format!("{}.address", setting.key))
        }
        other => {
            let expected = "an address in quotes, or a table with `address` and `experiment`";
            return Err(SettingsError::value(setting.key, format!("`{other}`"), expected));
        }
    };
    let address = Address::parse(&table.address, EXAMPLE)
        .map_err(|wrong| SettingsError::value(key, wrong.found, &wrong.expected))?;
    let experiment = table.experiment.trim().to_owned();
    if experiment.is_empty() || experiment.len() > NAME_MAX {
        let (key, found) = (format!("{}.experiment", setting.key), format!("`{}`", table.experiment));
        return Err(SettingsError::value(key, found, "1 to 200 characters"));
    }
    Ok(Some(Box::new(Mlflow { address, experiment, queue: Arc::default(), warn: None })))
}

struct Mlflow {
    address: Address,
    experiment: String,
    queue: Arc<Queue>,
    warn: Option<Warn>,
}

impl Tracker for Mlflow {
    fn name(&self) -> &'static str {
        "mlflow"
    }

    fn begin(&mut self, study: &TrackedStudy, warn: &Warn) -> Result<(), TrackerError> {
        let secret = env::var(TOKEN).unwrap_or_default();
        let token = match secret.trim() {
            "" => None,
            secret => Some(Token::new(secret).ok_or(TrackerError::Token { variable: TOKEN })?),
        };
        self.warn = Some(warn.clone());
        let connection = Connection::new(self.address.clone(), token);
        let api = Api::new(connection, self.experiment.clone());
        let name = format!("mlflow: {}", self.address);
        let sender = Sender::new(api, study.clone(), Arc::clone(&self.queue), (name, warn.clone()));
        let thread = thread::Builder::new().name("mlflow".to_owned());
        thread.spawn(move || sender.run()).map_err(TrackerError::Thread)?;
        Ok(())
    }

    fn take(&mut self, points: &[Point]) {
        self.queue.put(points);
    }

    fn end(&mut self, ending: Ending) {
        let unsent = self.queue.end(ending);
        if let Some(warn) = &self.warn
            && unsent > 0
        {
            let address = &self.address;
            warn(&format!(
                "mlflow: {address}: {unsent} points were not sent; running the same command again sends them"
            ));
        }
    }
}

#[cfg(test)]
mod tests;
