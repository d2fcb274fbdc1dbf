//! Cells with escaped letters, rewritten so that quotes are doubled: the reader of records knows escapes only
//! within quotes.

/// What marks cells where letters are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Escapes {
    pub(super) escape: u8,
    pub(super) quote: u8,
    pub(super) separator: u8,
}

/// Rewrites the bytes of a table piece by piece. Line ends and their number stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewriter {
    escapes: Escapes,
    place: Place,
    is_escaped: bool,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a cell.
    Start,
    /// In a cell without quotes, or behind those that end it.
    Bare,
    /// Between quotes.
    Quoted,
}

impl Rewriter {
    pub(super) const fn new(escapes: Escapes) -> Self {
        Self { escapes, place: Place::Start, is_escaped: false }
    }

    /// Adds what stands for these bytes. Every cell that is not empty is put between quotes.
    pub(super) fn rewrite(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        for byte in bytes {
            self.add(*byte, text);
        }
    }

    /// Ends the last cell, where the file does not end with a line end.
    pub(super) fn end(&mut self, text: &mut Vec<u8>) {
        // A file whose quotes are not closed stays so: its last record is what an unrewritten one would give.
        if self.place == Place::Bare {
            text.push(self.escapes.quote);
        }
        self.place = Place::Start;
    }

    fn add(&mut self, byte: u8, text: &mut Vec<u8>) {
        let Escapes { escape, quote, separator } = self.escapes;
        let is_end = byte == separator || byte == b'\n' || byte == b'\r';
        if std::mem::take(&mut self.is_escaped) {
            self.letter(byte, text);
        } else if byte == escape {
            self.open(text);
            self.is_escaped = true;
        } else if self.place == Place::Start && byte == quote {
            text.push(quote);
            self.place = Place::Quoted;
        } else if self.place == Place::Quoted && byte == quote {
            self.place = Place::Bare;
        } else if self.place != Place::Quoted && is_end {
            if self.place == Place::Bare {
                text.push(quote);
            }
            text.push(byte);
            self.place = Place::Start;
        } else {
            self.letter(byte, text);
        }
    }

    fn letter(&mut self, byte: u8, text: &mut Vec<u8>) {
        self.open(text);
        if byte == self.escapes.quote {
            text.push(byte);
        }
        text.push(byte);
    }

    /// Begins a cell.
    fn open(&mut self, text: &mut Vec<u8>) {
        if self.place == Place::Start {
            text.push(self.escapes.quote);
            self.place = Place::Bare;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let mut rewriter = Rewriter::new(Escapes { escape: b'\\', quote: b'"', separator: b',' });
        let mut whole = Vec::new();
        for byte in text.bytes() {
            rewriter.rewrite(&[byte], &mut whole);
        }
        rewriter.end(&mut whole);
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn escapes_count_within_quotes_and_without() {
        for (text, expected) in [
            ("a,b\n1,2\n", "\"a\",\"b\"\n\"1\",\"2\"\n"),
            (r"a\,b,c", r#""a,b","c""#),
            (r#"\"a\",b"#, r#""""a""","b""#),
            (r#""a\"b","c,d""#, r#""a""b","c,d""#),
            (r"a\\,b", r#""a\","b""#),
            ("a\\\nb,c\r\n", "\"a\nb\",\"c\"\r\n"),
            ("\n,\n", "\n,\n"),
            (r#"a"b,c"#, r#""a""b","c""#),
        ] {
            assert_eq!(rewritten(text), expected, "{text:?}");
        }
    }
}
