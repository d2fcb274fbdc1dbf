//! Reads the outputs of a program while it runs.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of an output that are kept, and the largest length of a line that a watcher receives.
const KEPT_MAX: usize = 1 << 20;
/// Time that outputs may stay open after the program ended: a program that it started may hold them.
const OPEN_MAX: Duration = Duration::from_secs(1);
/// Maximum number of characters of a quoted line.
const QUOTED_MAX: usize = 200;

/// The last line that is not empty.
#[must_use]
pub fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// The last lines that are not empty, in their order, each shortened.
#[must_use]
pub fn last_lines(text: &str, most: usize) -> Vec<String> {
    let lines = text.lines().rev().map(str::trim_end).filter(|line| !line.trim().is_empty());
    let mut lines: Vec<String> = lines.take(most).map(shortened).collect();
    lines.reverse();
    lines
}

/// The text, cut where it is long.
#[must_use]
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An output that a thread reads.
pub(crate) struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl Collected {
    /// Reads an output to its end. Sends each line to `lines` if there is a receiver.
    pub(crate) fn of(mut output: impl Read + Send + 'static, lines: Option<Sender<String>>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (ended, end) = channel();
        let kept = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            let mut line = Vec::new();
            while let Ok(count @ 1..) = output.read(&mut piece) {
                keep(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), &piece[..count]);
                if let Some(lines) = &lines {
                    send(&mut line, &piece[..count], lines);
                }
            }
            if let Some(lines) = lines.filter(|_| !line.is_empty()) {
                send(&mut line, b"\n", &lines);
            }
            let _ = ended.send(());
        });
        Self { bytes, end }
    }

    /// What was printed last, until the output was closed, or soon after the program ended.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let _ = self.end.recv_timeout(OPEN_MAX);
        let mut bytes = std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        bytes.drain(..bytes.len().saturating_sub(KEPT_MAX));
        bytes
    }
}

/// Adds bytes to an output of which only the end is kept. Old bytes are removed in large pieces.
fn keep(kept: &mut Vec<u8>, piece: &[u8]) {
    kept.extend_from_slice(piece);
    if kept.len() > 2 * KEPT_MAX {
        kept.drain(..kept.len() - KEPT_MAX);
    }
}

/// Sends the lines that end in this piece. The end of a line that is too long is dropped.
fn send(line: &mut Vec<u8>, piece: &[u8], lines: &Sender<String>) {
    for byte in piece {
        if *byte == b'\n' {
            let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
            line.clear();
            // Without a receiver, nobody watches the program any more.
            let _ = lines.send(text);
        } else if line.len() < KEPT_MAX {
            line.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn lines_are_sent_whole_and_the_last_needs_no_break() {
        let (lines, sent) = channel();
        let collected = Collected::of(Cursor::new(b"a\r\n\nlong \xff line\nend".to_vec()), Some(lines));
        assert_eq!(collected.bytes(), b"a\r\n\nlong \xff line\nend");
        assert_eq!(sent.iter().collect::<Vec<_>>(), ["a", "", "long \u{fffd} line", "end"]);
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let text: Vec<u8> = (0..3 * KEPT_MAX).map(|index| (index % 251) as u8).collect();
        let expected = text[2 * KEPT_MAX..].to_vec();
        assert!(Collected::of(Cursor::new(text), None).bytes() == expected);
    }

    #[test]
    fn last_lines_skip_empty_ones_and_keep_their_order() {
        assert_eq!(last_lines("a\n\n  b\nc  \n \n", 2), ["  b", "c"]);
        assert_eq!(last_line("a\nb\n\n"), "b");
        assert_eq!(shortened(&"é".repeat(1000)).chars().count(), QUOTED_MAX + 1);
        assert!(last_lines("", 3).is_empty());
    }
}
