//! An argument list with places for the model, the threads and the batch.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use kiln_processes::Arguments;

use super::error::CommandError;

/// A program and its arguments. `{model}`, `{threads}` and `{batch}` stand for the model file, the number of
/// threads and the batch size, also inside an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine(Arguments);

impl CommandLine {
    /// A program, followed by its arguments.
    ///
    /// # Errors
    /// [`CommandError::Empty`] without a program.
    pub fn new(arguments: Vec<String>) -> Result<Self, CommandError> {
        Arguments::new(arguments).map(Self).map_err(|_| CommandError::Empty)
    }

    /// The program and its arguments, as they were given.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        self.0.given()
    }

    pub(super) fn mentions_model(&self) -> bool {
        self.0.mentions("model")
    }

    /// The arguments for one network. A path keeps its bytes, whatever they are.
    pub(super) fn filled(&self, model: &Path, batch: u64, threads: u64) -> Vec<OsString> {
        let (batch, threads) = (batch.to_string(), threads.to_string());
        let values =
            [("model", model.as_os_str()), ("batch", OsStr::new(&batch)), ("threads", OsStr::new(&threads))];
        self.0.filled(&values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_inside_arguments_and_nothing_else_changes() {
        let given = ["run", "{model}", "--graph={model}:{batch}", "-t{threads}", "$HOME 'a' {other}"];
        let command = CommandLine::new(given.map(str::to_owned).to_vec()).unwrap();
        let filled = command.filled(Path::new("a b/it's \"x\".onnx"), 8, 2);
        let model = "a b/it's \"x\".onnx";
        let expected = ["run", model, &format!("--graph={model}:8"), "-t2", "$HOME 'a' {other}"];
        assert_eq!(filled, expected.map(OsString::from));
        assert!(command.mentions_model());
        assert!(CommandLine::new(Vec::new()).is_err() && CommandLine::new(vec![String::new()]).is_err());
    }
}
