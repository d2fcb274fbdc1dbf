//! Makes text from elsewhere harmless to show. A name in somebody else's run folder may hold an escape
//! sequence that moves the cursor, a line end that looks like another message, or a mark that turns the
//! direction of what follows.
//!
//! Every text for people goes through here: the terminal, the screen, the log, pages. Files for programs hold
//! texts as they are.

use std::borrow::Cow;

/// The text as one line, with all that steers a terminal or the eye written out as `\u{1b}` is.
#[must_use]
pub fn plain_text(text: &str) -> Cow<'_, str> {
    written_out(text, steers)
}

/// As [`plain_text`], but line ends stay.
#[must_use]
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    written_out(text, |c| c != '\n' && steers(c))
}

/// JSON of the same value, in which characters that steer a terminal or the eye are escaped. JSON allows
/// that, but writers seldom do it by themselves.
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    // A line end between values, and nowhere else, is JSON's own.
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

/// Whether a character is no part of a text but acts on how it is shown, or cannot be seen at all.
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Fillers of Hangul, which are blank.
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            // Zero width spaces and joiners, marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Separators of lines and paragraphs, embeddings and overrides of direction.
            | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, isolates of direction, deprecated controls.
            | '\u{2060}'..='\u{206f}'
            // Byte order mark, marks of annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            // Variation selectors that no font shows.
            | '\u{e0100}'..='\u{e01ef}'
            // What Unicode has no character for.
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
    fn what_steers_is_written_out_and_words_of_all_languages_stay() {
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
    fn line_ends_stay_where_there_are_several_lines() {
        assert_eq!(plain_lines("a\nb\u{2028}c\r\n"), "a\nb\\u{2028}c\\r\n");
    }

    #[test]
    fn json_means_the_same_as_before() {
        let value = serde_json::json!({"a\u{202e}\u{85}": ["\u{7f}\n\u{1b}\u{e0041}é", 1.5]});
        for json in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let plain = plain_json(&json);
            assert!(plain.chars().all(|c| c == '\n' || !steers(c)), "{plain}");
            assert!(plain.contains('é'));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
        }
    }
}
