//! Runs each export on a thread of its own, so that the terminal UI still responds to keys and draws frames.

use std::thread::{Scope, ScopedJoinHandle};

use anyhow::anyhow;
use kiln_search::TrialId;

use super::state::Level;
use crate::model_export::{Export, Written};
use crate::units;

/// A message about an export, with the message's level.
pub(super) type Said = (Level, String);

/// An export in progress.
struct Running<'scope> {
    trial: TrialId,
    thread: ScopedJoinHandle<'scope, anyhow::Result<Written>>,
}

impl Running<'_> {
    fn end(self) -> Said {
        let written = self.thread.join().unwrap_or_else(|_| Err(anyhow!("the exporter panicked")));
        said(self.trial, &written)
    }
}

/// Exports whose end has not been reported yet.
pub(super) struct Exports<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    export: &'env dyn Export,
    running: Vec<Running<'scope>>,
}

impl<'scope, 'env> Exports<'scope, 'env> {
    pub(super) const fn new(scope: &'scope Scope<'scope, 'env>, export: &'env dyn Export) -> Self {
        Self { scope, export, running: Vec::new() }
    }

    /// Starts the export of a trial's network, unless the same export is already running. Returns a message
    /// for the user.
    pub(super) fn begin(&mut self, trial: TrialId) -> String {
        if self.running.iter().all(|running| running.trial != trial) {
            let export = self.export;
            self.running.push(Running { trial, thread: self.scope.spawn(move || export.export(trial)) });
        }
        format!("trial {trial} is being exported")
    }

    /// Returns messages about the exports that ended after the previous call.
    pub(super) fn ended(&mut self) -> Vec<Said> {
        let ended = self.running.extract_if(.., |running| running.thread.is_finished());
        ended.map(Running::end).collect()
    }

    /// Waits for all running exports, and returns messages about these exports.
    pub(super) fn wait(&mut self) -> Vec<Said> {
        self.running.drain(..).map(Running::end).collect()
    }
}

fn said(trial: TrialId, written: &anyhow::Result<Written>) -> Said {
    match written {
        Ok(Written { files, left_out }) => {
            let file = |(path, bytes): &(std::path::PathBuf, u64)| {
                format!("{} ({})", path.display(), units::bytes(*bytes as f64))
            };
            let files: Vec<String> = files.iter().map(file).collect();
            let left_out: Vec<String> = left_out.iter().map(|format| format!("; not {format}")).collect();
            let files = files.join(", ");
            (Level::Exported, format!("exported trial {trial}: {files}{}", left_out.concat()))
        }
        Err(error) => (Level::Warning, format!("trial {trial} was not exported: {error:#}")),
    }
}
