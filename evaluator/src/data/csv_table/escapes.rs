//! Rewrites cells with escaped characters to cells with doubled quotes, because the CSV reader supports
//! escapes only inside quotes.

/// The characters that delimit and escape cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Escapes {
    pub(super) escape: u8,
    pub(super) quote: u8,
    pub(super) separator: u8,
}

/// Rewrites a table piece by piece. Line ends are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewriter {
    escapes: Escapes,
    place: Place,
    is_escaped: bool,
}

/// Position of the next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a cell.
    Start,
    /// In an unquoted cell, or after the closing quote of a cell.
    Bare,
    /// Inside quotes.
    Quoted,
}

impl Rewriter {
    pub(super) const fn new(escapes: Escapes) -> Self {
        Self { escapes, place: Place::Start, is_escaped: false }
    }

    /// Appends the rewritten bytes to `text`. Every non-empty cell gets quotes.
    pub(super) fn rewrite(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        for byte in bytes {
            self.add(*byte, text);
        }
    }

    /// Closes the last cell of a file without a final line end.
    pub(super) fn end(&mut self, text: &mut Vec<u8>) {
        // An unclosed quote stays unclosed, so that the CSV reader treats the last record as in the original
        // file.
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

    /// Opens a cell.
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
    fn rewrite_handles_escapes_inside_and_outside_quotes() {
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
