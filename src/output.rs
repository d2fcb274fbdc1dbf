//! Prints the output of commands: results on standard output, and everything else on standard error. Control
//! characters are escaped, because names in a run folder are untrusted.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use kiln_export::{plain_json, plain_lines, plain_text};
use serde::{Serialize, Serializer};

/// Whether standard output and standard error were terminals when the program started. The system no longer
/// reports a closed terminal as a terminal.
static TERMINALS: OnceLock<(bool, bool)> = OnceLock::new();
/// Whether the reader of either output has closed it.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Records which outputs are terminals. The program calls this function before any other function of this
/// module.
pub(crate) fn remember_terminals() {
    let _ = TERMINALS.set((io::stdout().is_terminal(), io::stderr().is_terminal()));
}

/// Whether the reader of an output has closed it, so that further output is useless.
pub(crate) fn is_left() -> bool {
    LEFT.load(Ordering::Relaxed)
}

/// An output stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output {
    /// Results, on standard output.
    Results,
    /// Everything else, on standard error.
    Messages,
}

/// Whether an output was a terminal that is now closed. A waiting command must check this itself. A shell may
/// withhold the hang-up signal from its children, and a command that prints nothing never notices a failed
/// write.
pub(crate) fn is_closed(output: Output) -> bool {
    let Some((out, err)) = TERMINALS.get() else { return false };
    match output {
        Output::Results => *out && !io::stdout().is_terminal(),
        Output::Messages => *err && !io::stderr().is_terminal(),
    }
}

/// Prints text with a line end. If the reader has closed the pipe (`kiln front run | head -1`) or the
/// terminal is closed, this is not an error, because the command has done its work.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write(&plain_lines(text.trim_end()))
}

/// Prints a value as one JSON object on one line.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    write(&plain_json(&serde_json::to_string(value)?))
}

/// Prints many lines of text, each with a line end. Nothing is collected, so there may be millions.
pub(crate) fn print_lines(lines: impl IntoIterator<Item = String>) -> io::Result<()> {
    stream(lines.into_iter().map(|line| Ok(format!("{}\n", plain_lines(&line)))))
}

/// Prints a list of values as JSON on one line. Nothing is collected.
pub(crate) fn print_json_list<T: Serialize>(values: impl IntoIterator<Item = T>) -> io::Result<()> {
    let part = |(index, value): (usize, T)| {
        let comma = if index > 0 { "," } else { "" };
        Ok(format!("{comma}{}", plain_json(&serde_json::to_string(&value)?)))
    };
    let bracket = |text: &str| std::iter::once(Ok(text.to_owned()));
    stream(bracket("[").chain(values.into_iter().enumerate().map(part)).chain(bracket("]\n")))
}

/// Writes parts through a buffer until there are no more, or until the reader has left.
fn stream(parts: impl Iterator<Item = io::Result<String>>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut written = Ok(());
    for part in parts {
        written = part.and_then(|part| out.write_all(part.as_bytes()));
        if written.is_err() {
            break;
        }
    }
    settle(written.and_then(|()| out.flush()))
}

/// Prints a shell script unchanged. The script contains no text from a file.
pub(crate) fn print_script(script: &str) -> io::Result<()> {
    write(script.trim_end())
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written =
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    settle(written)
}

/// Forgives a failed write if the reader has left.
fn settle(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if has_left(&error, TERMINALS.get().is_some_and(|(out, _)| *out)) => {
            LEFT.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written,
    }
}

/// Prints a message on one line of standard error. It is not an error if nobody reads standard error.
pub(crate) fn say(text: &str) {
    let said = writeln!(io::stderr(), "{}", plain_text(text));
    if said.is_err_and(|error| has_left(&error, TERMINALS.get().is_some_and(|(_, err)| *err))) {
        LEFT.store(true, Ordering::Relaxed);
    }
}

/// Starts a new line on a terminal in which the user may have typed.
pub(crate) fn begin_line() {
    if TERMINALS.get().is_some_and(|(_, err)| *err) {
        let _ = writeln!(io::stderr());
    }
}

/// Whether a write failed because the pipe has no reader or the terminal is closed. Writing to a closed
/// terminal fails with Unix's general device error.
fn has_left(error: &io::Error, was_terminal: bool) -> bool {
    const DEVICE_FAILED: i32 = 5;
    let is_closed = cfg!(unix) && was_terminal && error.raw_os_error() == Some(DEVICE_FAILED);
    error.kind() == ErrorKind::BrokenPipe || is_closed
}

/// Converts a path to text for JSON. Bytes that are not UTF-8 are replaced.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// [`path_text`] for a field that is printed as JSON.
pub(crate) fn serialize_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path_text(path))
}

/// [`path_text`] for a list of paths.
pub(crate) fn serialize_paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path_text(path)))
}

/// Converts a path to text for display, on one line.
pub(crate) fn path_shown(path: &Path) -> String {
    plain_text(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_terminal_is_distinguished_from_failing_disk() {
        let failed = io::Error::from_raw_os_error(5);
        assert!(!has_left(&failed, false));
        assert_eq!(has_left(&failed, true), cfg!(unix));
        assert!(has_left(&ErrorKind::BrokenPipe.into(), false));
        assert!(!has_left(&ErrorKind::StorageFull.into(), true));
    }
}
