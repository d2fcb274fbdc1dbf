//! Fits text into the available width. Text that is too long ends in an ellipsis. Numbers are never cut.

use ratatui::text::Span;

/// The ellipsis that replaces omitted text.
pub(super) const MORE: &str = "…";

/// Returns the width of a text in terminal columns.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Shortens a name that is too long, and appends an ellipsis. Never use this function for numbers, because a
/// cut number is a wrong number.
pub(super) fn shortened(name: &str, room: usize) -> String {
    if width(name) <= room {
        return name.to_owned();
    }
    let mut text = String::new();
    for character in name.chars() {
        text.push(character);
        if width(&text) + width(MORE) > room {
            text.pop();
            break;
        }
    }
    if room == 0 { String::new() } else { text.trim_end().to_owned() + MORE }
}

/// Cuts a sentence after a whole word that is not a number. If the first word alone is too long, omits the
/// word.
pub(super) fn cut(sentence: &str, room: usize) -> String {
    if width(sentence) <= room {
        return sentence.to_owned();
    }
    let mut text = String::new();
    for word in sentence.split_inclusive(' ') {
        // A space separates the last word from the ellipsis. Without the space, the ellipsis could look like
        // a part of a number.
        if width(&text) + width(word.trim_end()) + 1 + width(MORE) > room {
            break;
        }
        text.push_str(word);
    }
    if room == 0 {
        return String::new();
    }
    // A number directly before the ellipsis is removed, because the number's unit may have been cut.
    while text.split_whitespace().next_back().is_some_and(|word| word.contains(|c: char| c.is_ascii_digit()))
    {
        text.truncate(text.trim_end().rfind(' ').map_or(0, |space| space + 1));
    }
    let text = text.trim_end();
    if text.is_empty() { MORE.to_owned() } else { format!("{text} {MORE}") }
}

/// Distributes items over lines of at most `room` columns. `gap` separates the items on a line. An item that
/// is longer than a line is cut like a sentence.
pub(super) fn lines(items: &[String], gap: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        let item = cut(item, room);
        match lines.last_mut() {
            Some(line) if width(line) + width(gap) + width(&item) <= room => {
                line.extend([gap, item.as_str()]);
            }
            _ => lines.push(item),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_in_ellipsis_and_sentences_after_word() {
        assert_eq!(shortened("cortex-a72", 10), "cortex-a72");
        assert_eq!(shortened("cortex-a72", 7), "cortex…");
        assert_eq!(shortened("a b c", 3), "a…");
        assert_eq!(shortened("名前名前", 5), "名前…");
        assert_eq!(shortened("abc", 0), "");
        assert_eq!(cut("best accuracy % 96.47", 21), "best accuracy % 96.47");
        assert_eq!(cut("best accuracy % 96.47", 20), "best accuracy % …");
        assert_eq!(cut("latency 34.99 µs here", 15), "latency …");
        assert_eq!(cut("12345678", 6), "…");
    }

    #[test]
    fn items_wrap_to_next_line_uncut() {
        let items = ["macs 1.749 M", "model 34.99 kB", "parameters 8.747 k"].map(str::to_owned);
        assert_eq!(lines(&items, "   ", 30), ["macs 1.749 M   model 34.99 kB", "parameters 8.747 k"]);
        assert_eq!(lines(&items, "   ", 13), ["macs 1.749 M", "model …", "parameters …"]);
    }
}
