//! Standard output: results only, everything else goes to standard error.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

/// Prints text with a line end. A reader that has gone away (`kiln front run | head -1`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.trim_end().as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints a value as one JSON object on one line.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Says something on standard error. A terminal that was closed meanwhile does not hear it, and need not.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
