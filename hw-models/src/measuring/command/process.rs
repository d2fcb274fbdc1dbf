//! Runs a command to its end, with a time limit.

use std::ffi::OsString;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kiln_processes::{Ending, ProcessError, Program, last_line, shortened, without_secrets};

use super::error::CommandError;
use crate::measuring::runtime::RuntimeError;

/// Runs a program with its arguments, and returns what it printed on standard output.
///
/// # Errors
/// [`RuntimeError::Unusable`] when the program cannot be started, [`RuntimeError::Network`] when it fails or
/// does not end in time, [`RuntimeError::Stopped`] when `stop` is set.
pub(super) fn run(
    arguments: Vec<OsString>,
    limit: Duration,
    stop: &AtomicBool,
) -> Result<Vec<u8>, RuntimeError> {
    let program = arguments.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    let ran = Program::new(arguments, limit).run(stop, &mut ()).map_err(|error| match error {
        ProcessError::Empty => RuntimeError::unusable(CommandError::Empty),
        ProcessError::Start { program, source } => {
            RuntimeError::unusable(CommandError::Start { program, source })
        }
        other => RuntimeError::network(other),
    })?;
    match ran.ending {
        Ending::Exited(status) if status.success() => Ok(ran.out),
        Ending::Exited(status) => {
            let texts = [ran.err, ran.out].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let said = texts.iter().map(|text| last_line(text)).find(|line| !line.is_empty());
            let said = without_secrets(said.unwrap_or_default());
            let (status, said) = (status.to_string(), shortened(&said));
            Err(RuntimeError::network(CommandError::Failed { program, status, said }))
        }
        Ending::Stopped => Err(RuntimeError::Stopped),
        // There is no limit of memory, and nobody asks the program to end.
        Ending::TimeOut | Ending::Ended | Ending::Memory { .. } => {
            Err(RuntimeError::network(CommandError::TimeOut { program, seconds: limit.as_secs() }))
        }
    }
}
