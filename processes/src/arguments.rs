//! An argument list with places that are filled for each run.

use std::ffi::{OsStr, OsString};

use crate::ProcessError;

/// A program and its arguments. `{name}` is a place, alone or inside an argument. A name consists of lower
/// case letters and `_`. `${name}` is no place, because shell scripts use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments(Vec<String>);

/// A part of an argument.
enum Part<'a> {
    Text(&'a str),
    /// The name of a place, and its text with braces.
    Place(&'a str, &'a str),
}

impl Arguments {
    /// A program, followed by its arguments.
    ///
    /// # Errors
    /// [`ProcessError::Empty`] without a program.
    pub fn new(arguments: Vec<String>) -> Result<Self, ProcessError> {
        if arguments.first().is_none_or(String::is_empty) {
            return Err(ProcessError::Empty);
        }
        Ok(Self(arguments))
    }

    /// The program and its arguments, as they were given.
    #[must_use]
    pub fn given(&self) -> &[String] {
        &self.0
    }

    /// Returns the names of all places, each with the index of its argument.
    pub fn places(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().enumerate().flat_map(|(index, argument)| {
            let places = parts(argument).into_iter().filter_map(|part| match part {
                Part::Place(name, _) => Some(name),
                Part::Text(_) => None,
            });
            places.map(move |name| (index, name))
        })
    }

    /// Whether an argument has a place of this name.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.places().any(|(_, place)| place == name)
    }

    /// Fills the places. A value keeps its bytes, whatever they are. Places without a value stay as they are.
    #[must_use]
    pub fn filled(&self, values: &[(&str, &OsStr)]) -> Vec<OsString> {
        let filled = |argument: &String| {
            let mut filled = OsString::new();
            for part in parts(argument) {
                match part {
                    Part::Text(text) => filled.push(text),
                    Part::Place(name, whole) => {
                        let value = values.iter().find(|(known, _)| *known == name);
                        filled.push(value.map_or(OsStr::new(whole), |(_, value)| value));
                    }
                }
            }
            filled
        };
        self.0.iter().map(filled).collect()
    }
}

fn parts(argument: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut text, mut from) = (0, 0);
    while let Some(open) = argument[from..].find('{').map(|at| from + at) {
        let name = &argument[open + 1..];
        let length = name.bytes().take_while(|byte| byte.is_ascii_lowercase() || *byte == b'_').count();
        let is_place = length > 0 && name[length..].starts_with('}') && !argument[..open].ends_with('$');
        from = open + 1;
        if is_place {
            let end = open + length + 2;
            parts.push(Part::Text(&argument[text..open]));
            parts.push(Part::Place(&name[..length], &argument[open..end]));
            (text, from) = (end, end);
        }
    }
    parts.push(Part::Text(&argument[text..]));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(given: &[&str]) -> Arguments {
        Arguments::new(given.iter().map(|argument| (*argument).to_owned()).collect()).unwrap()
    }

    #[test]
    fn places_are_filled_inside_arguments_and_nothing_else_changes() {
        let given =
            ["run", "{model}", "--graph={model}:{batch}", "{{batch}}", "$HOME 'a' {other} ${batch} {"];
        let model = "a b/it's \"x\" {batch}.onnx";
        let filled = arguments(&given).filled(&[("model", OsStr::new(model)), ("batch", OsStr::new("8"))]);
        let graph = format!("--graph={model}:8");
        let expected = ["run", model, &graph, "{8}", "$HOME 'a' {other} ${batch} {"];
        assert_eq!(filled, expected.map(OsString::from));
    }

    #[test]
    fn places_are_listed_with_their_arguments() {
        let arguments = arguments(&["sh", "-c", "echo {\"a\": 1} ${x} {A}", "{result}{epoch_s}"]);
        assert_eq!(arguments.places().collect::<Vec<_>>(), [(3, "result"), (3, "epoch_s")]);
        assert!(arguments.mentions("result") && !arguments.mentions("x"));
    }

    #[test]
    fn a_command_needs_a_program() {
        for none in [Vec::new(), vec![String::new(), "a".to_owned()]] {
            assert!(matches!(Arguments::new(none), Err(ProcessError::Empty)));
        }
    }
}
