//! Texts of the cluster in messages of Kiln.

/// Longest text of the server that is shown.
const SHOWN: usize = 300;

/// Returns a text on one line, without control characters, shortened.
pub(super) fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(end);
        line.push('…');
    }
    line
}
