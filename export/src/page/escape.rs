//! Escapes text for HTML and SVG.

use crate::plain::steers;
use crate::plain_text;

/// Escapes text for element content and for quoted attributes. Line ends and tabs stay. Invisible control
/// characters become visible escapes, and so do characters that XML does not allow.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if steers(c) => escaped.push_str(&plain_text(c.encode_utf8(&mut [0; 4]))),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_replaces_markup_and_control_characters() {
        assert_eq!(escape("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        assert_eq!(escape("a\u{0}b\u{1b}[1mc\nd\u{202e}e"), "a\\u{0}b\\u{1b}[1mc\nd\\u{202e}e");
        assert_eq!(escape("größer µs"), "größer µs");
    }
}
