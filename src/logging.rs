//! The log file in a run folder. Log messages never appear in the terminal UI.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use kiln_export::plain_text;
use tracing_subscriber::EnvFilter;

/// Environment variable that filters the log. Values are, for example, `debug` or `kiln_search=trace`.
const FILTER: &str = "KILN_LOG";

/// Appends log messages to the file from now on.
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
        // The study itself reports a full disk. An error message from the logger would overwrite the terminal
        // UI.
        .log_internal_errors(false)
        .with_writer(Mutex::new(PlainLines(file)))
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// A log file with one line for each message. Control characters are escaped, including line breaks within a
/// message.
struct PlainLines(File);

impl Write for PlainLines {
    /// `tracing` calls this function once for each message.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message);
        writeln!(self.0, "{}", plain_text(text.trim_end_matches('\n')))?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_message_is_one_line_for_any_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kiln.log");
        let mut lines = PlainLines(File::create(&path).unwrap());
        lines.write_all("INFO a\nERROR b\u{1b}[2J\n".as_bytes()).unwrap();
        lines.write_all(b"INFO \xff\n").unwrap();
        let log = std::fs::read_to_string(&path).unwrap();
        assert_eq!(log, "INFO a\\nERROR b\\u{1b}[2J\nINFO \u{fffd}\n");
    }
}
