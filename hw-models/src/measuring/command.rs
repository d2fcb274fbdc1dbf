//! The runtime `command`: another program runs each network and prints its latency. It reaches phones and
//! boards through `ssh`, `adb` or a vendor's tool.

mod arguments;
mod error;
mod output;
mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use self::arguments::CommandLine;
pub use self::error::CommandError;
pub use self::output::{OutputError, OutputRule, TimeUnit};
use super::runtime::{LoadedModel, Runtime, RuntimeError};

/// Runs a command for each network. No shell sees the arguments.
#[derive(Clone, Debug)]
pub struct CommandRuntime {
    command: CommandLine,
    copy: Option<CommandLine>,
    rule: OutputRule,
    batch: u64,
    threads: u64,
    time_out: Duration,
    stop: Arc<AtomicBool>,
}

impl CommandRuntime {
    /// `copy` runs before each series of runs of a network and brings the file to the device. `time_out`
    /// limits each run of either command; `stop` ends a running one.
    ///
    /// # Errors
    /// [`CommandError::NoModel`] if neither command mentions the model.
    pub fn new(
        command: CommandLine,
        copy: Option<CommandLine>,
        rule: OutputRule,
        [batch, threads]: [u64; 2],
        time_out: Duration,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, CommandError> {
        if !command.mentions_model() && !copy.as_ref().is_some_and(CommandLine::mentions_model) {
            return Err(CommandError::NoModel);
        }
        Ok(Self { command, copy, rule, batch, threads, time_out, stop })
    }

    /// Runs one of the commands and returns what it printed.
    fn run(&self, command: &CommandLine, model: &Path) -> Result<Vec<u8>, RuntimeError> {
        let arguments = command.filled(model, self.batch, self.threads);
        process::run(arguments, self.time_out, &self.stop)
    }
}

impl Runtime for CommandRuntime {
    fn name(&self) -> &'static str {
        "command"
    }

    fn version(&self) -> &'static str {
        ""
    }

    fn format(&self) -> &'static str {
        "onnx"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn warm_ups(&self) -> usize {
        0
    }

    fn load(&self, model: &Path) -> Result<Box<dyn LoadedModel + '_>, RuntimeError> {
        if let Some(copy) = &self.copy {
            self.run(copy, model)?;
        }
        Ok(Box::new(Copied { runtime: self, model: model.to_owned() }))
    }
}

/// A network whose file is on the device.
struct Copied<'a> {
    runtime: &'a CommandRuntime,
    model: PathBuf,
}

impl LoadedModel for Copied<'_> {
    fn run(&mut self) -> Result<Vec<f64>, RuntimeError> {
        let printed = self.runtime.run(&self.runtime.command, &self.model)?;
        self.runtime.rule.latencies_us(&printed).map_err(RuntimeError::network)
    }
}

#[cfg(all(test, unix))]
mod tests;
