#![doc = include_str!("../README.md")]

mod arguments;
mod detached;
mod error;
mod group;
mod output;
mod program;
mod secrets;

pub use arguments::Arguments;
pub use detached::{Detached, Exit, Started};
pub use error::ProcessError;
pub use group::{Identity, boot, can_measure_memory, end_first_without_memory};
pub use output::{last_line, last_lines, shortened};
pub use program::{Ending, Program, Ran, Verdict, Watcher};
pub use secrets::without_secrets;
