#![doc = include_str!("../README.md")]

mod beside;
mod content;
mod document;
mod error;
mod lines;
mod output;
mod reader;
mod whole_file;
mod whole_folder;

pub use beside::sync_parent;
pub use content::{Content, ContentHash, NotAHash};
pub use document::{
    Checked, parse_document, parse_line, read_document, seal_document, seal_line, write_document,
};
pub use error::{Damage, Existing, FileError, FileKind};
pub use lines::LineCounter;
pub use output::{BEGINNING, Overwrite, Written, write_output, write_output_folder};
pub use reader::{open, optional, read, read_text};
pub use whole_file::{WholeFile, hand_over, link_or_copy, show, write, write_new};
pub use whole_folder::{WholeFolder, make_folder};
