//! The log of a run, beside its journal; never on the screen.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// Environment variable that says what is logged, such as `debug` or `kiln_search=trace`.
const FILTER: &str = "KILN_LOG";

/// Appends what is logged from now on to the file.
pub(crate) fn to_file(path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("{}: cannot open the log", path.display()))?;
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // A full disk is told by the study itself; a message of the log would stand across the screen.
        .log_internal_errors(false)
        .with_writer(Mutex::new(file))
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}
