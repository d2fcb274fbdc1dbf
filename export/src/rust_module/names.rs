//! Converts arbitrary names to names that Rust and cargo accept.

use std::collections::BTreeSet;

/// Keywords of Rust, and names that the generated code uses.
const TAKEN: [&str; 63] = [
    "Self",
    "_",
    "abstract",
    "as",
    "async",
    "await",
    "batch",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "deviation",
    "device",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mean",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "raw",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "weights",
    "where",
    "while",
    "yield",
    "layers",
    "relu",
    "safe",
];

/// Hands out unique identifiers in snake case.
#[derive(Debug, Default)]
pub(super) struct Identifiers(BTreeSet<String>);

impl Identifiers {
    /// Returns the identifier of a layer. If it is already in use, a number is appended.
    pub(super) fn of(&mut self, layer: &str) -> String {
        let plain = snake_case(layer);
        let free = |name: &str| !TAKEN.contains(&name) && !self.0.contains(name);
        let name = if free(&plain) {
            plain
        } else {
            let numbered = (2_u64..).map(|number| format!("{plain}_{number}"));
            numbered.into_iter().find(|name| free(name)).expect("there is always another number")
        };
        self.0.insert(name.clone());
        name
    }
}

/// Converts a name to lower-case letters, digits and single `_`, starting with a letter.
fn snake_case(name: &str) -> String {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let first = words.next().map_or_else(|| "layer".to_owned(), str::to_ascii_lowercase);
    let first =
        if first.starts_with(|c: char| c.is_ascii_digit()) { format!("layer_{first}") } else { first };
    words.fold(first, |name, word| name + "_" + &word.to_ascii_lowercase())
}

/// Returns the package name for a network called `study/trial`.
pub(super) fn package(network: &str) -> String {
    let name = snake_case(network).replace('_', "-");
    // A name without a digit could be a keyword or the name of a library.
    if name.contains(|c: char| c.is_ascii_digit()) { name } else { format!("{name}-network") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_layers_are_valid_and_unique() {
        let mut names = Identifiers::default();
        for (layer, expected) in [
            ("stem.conv", "stem_conv"),
            ("stem conv", "stem_conv_2"),
            ("stage 1/block 2 (größer)", "stage_1_block_2_gr_er"),
            ("1x1", "layer_1x1"),
            ("", "layer"),
            ("*", "layer_2"),
            ("match", "match_2"),
            ("self", "self_2"),
            ("ReLU", "relu_2"),
        ] {
            assert_eq!(names.of(layer), expected, "{layer}");
        }
    }

    #[test]
    fn package_name_is_valid_for_cargo() {
        for (network, expected) in [
            ("quickstart/17", "quickstart-17"),
            ("my study_2/0", "my-study-2-0"),
            ("17/3", "layer-17-3"),
            ("", "layer-network"),
            ("core", "core-network"),
        ] {
            assert_eq!(package(network), expected);
        }
    }
}
