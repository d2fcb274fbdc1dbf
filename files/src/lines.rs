//! Counts line numbers for messages as an editor counts them. CSV readers count records or line feeds
//! instead.

use std::io::{self, BufRead, ErrorKind};

/// Counts the lines of a text from its start. Each `\r\n`, `\n` or `\r` ends one line.
#[derive(Debug)]
pub struct LineCounter<R> {
    text: R,
    /// Bytes consumed so far.
    at: u64,
    line: u64,
    after_return: bool,
}

impl<R: BufRead> LineCounter<R> {
    /// Starts at the beginning of a text.
    pub const fn new(text: R) -> Self {
        Self { text, at: 0, line: 1, after_return: false }
    }

    /// Returns a line number, from 1: the line of the first byte at or after `offset` that is not a line end.
    /// Line ends at `offset` are skipped because a CSV reader may count the line ends before a record as part
    /// of the record.
    ///
    /// Call this method with ascending offsets. For an offset after the end, it returns the last line.
    ///
    /// # Errors
    /// Errors of the underlying reader.
    pub fn line_at(&mut self, offset: u64) -> io::Result<u64> {
        loop {
            let bytes = match self.text.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            if bytes.is_empty() {
                return Ok(self.line);
            }
            let mut passed = 0;
            for byte in bytes {
                let ends_line = matches!(byte, b'\n' | b'\r');
                if self.at >= offset && !ends_line {
                    self.text.consume(passed);
                    return Ok(self.line);
                }
                self.line += u64::from(ends_line && !(*byte == b'\n' && self.after_return));
                self.after_return = *byte == b'\r';
                self.at += 1;
                passed += 1;
            }
            self.text.consume(passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_at_counts_every_line_end_as_an_editor_does() {
        for (text, offset, line) in [
            ("a\r\n1\r\nx\r\n", 5, 3),
            ("a\n1\nx\n", 4, 3),
            ("a\r1\rx\r", 4, 3),
            ("a\r\n1\r\nx\r\n", 4, 3),
            ("a\n\n\n1\nx", 2, 4),
            ("a\n\"1\n2\"\nx", 8, 4),
            ("a\n", 99, 2),
            ("", 0, 1),
        ] {
            let found = LineCounter::new(text.as_bytes()).line_at(offset).unwrap();
            assert_eq!(found, line, "{text:?} from byte {offset}");
        }
    }

    #[test]
    fn line_at_accepts_ascending_offsets() {
        let mut lines = LineCounter::new("a\r\nb\r\rc\n".as_bytes());
        let found: Vec<u64> = [0, 0, 3, 4, 6].map(|offset| lines.line_at(offset).unwrap()).to_vec();
        assert_eq!(found, [1, 1, 2, 4, 4]);
    }
}
