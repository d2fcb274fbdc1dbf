//! Makes foreign text safe to display. A name in another person's run folder may contain an escape sequence
//! that moves the cursor, a line end that imitates a message, or a mark that reverses the text direction.
//!
//! All text for people passes through this module before it is shown in a terminal, in a log or on a page. In
//! files for programs, texts stay unchanged.

use std::borrow::Cow;

/// Returns the text as one line. Control and invisible characters become visible escapes such as `\u{1b}`.
#[must_use]
pub fn plain_text(text: &str) -> Cow<'_, str> {
    written_out(text, steers)
}

/// Like [`plain_text`], but line feeds stay.
#[must_use]
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    written_out(text, |c| c != '\n' && steers(c))
}

/// Returns equivalent JSON in which control and invisible characters are escaped. JSON allows such escapes,
/// but most writers do not write them.
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    // In JSON text, a line feed is always between tokens, because inside strings it is already escaped.
    let hidden = |c: char| c != '\n' && steers(c);
    if !json.contains(hidden) {
        return Cow::Borrowed(json);
    }
    let mut plain = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if hidden(c) {
            plain.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// Whether a character controls the display or is invisible.
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Blank Hangul fillers.
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            // Zero-width spaces and joiners, direction marks.
            | '\u{200b}'..='\u{200f}'
            // Line and paragraph separators, direction embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, direction isolates, deprecated controls.
            | '\u{2060}'..='\u{206f}'
            // Byte order mark, annotation marks, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            // Variation selectors that no font displays.
            | '\u{e0100}'..='\u{e01ef}'
            // Noncharacters.
            | '\u{fffe}' | '\u{ffff}'
        )
}

fn written_out(text: &str, is_written_out: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if !text.contains(is_written_out) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' if is_written_out(c) => plain.extend(c.escape_default()),
            c if is_written_out(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_escapes_control_characters_and_keeps_all_languages() {
        for (text, plain) in [
            ("a\u{1b}[2J\u{7f}\u{9b}1m", r"a\u{1b}[2J\u{7f}\u{9b}1m"),
            ("a\r\nerror: b\tc\0", r"a\r\nerror: b\tc\u{0}"),
            ("a\u{202e}b\u{2066}c\u{2069}\u{200f}\u{61c}", r"a\u{202e}b\u{2066}c\u{2069}\u{200f}\u{61c}"),
            ("a\u{200b}b\u{feff}\u{2028}\u{2029}\u{e0041}", r"a\u{200b}b\u{feff}\u{2028}\u{2029}\u{e0041}"),
        ] {
            assert_eq!(plain_text(text), plain);
        }
        for text in ["größer µs → 3 \\ \u{fffd}", "日本語 עברית العربية हिन्दी é e\u{301} 👍🏽", ""]
        {
            assert!(matches!(plain_text(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn plain_lines_keeps_line_feeds() {
        assert_eq!(plain_lines("a\nb\u{2028}c\r\n"), "a\nb\\u{2028}c\\r\n");
    }

    #[test]
    fn plain_json_keeps_the_value() {
        let value = serde_json::json!({"a\u{202e}\u{85}": ["\u{7f}\n\u{1b}\u{e0041}é", 1.5]});
        for json in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let plain = plain_json(&json);
            assert!(plain.chars().all(|c| c == '\n' || !steers(c)), "{plain}");
            assert!(plain.contains('é'));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
        }
    }
}
