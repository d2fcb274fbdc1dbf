//! `kiln init`: writes a starter config with comments.

use std::path::Path;

use anyhow::anyhow;
use kiln_files::{FileError, write_new};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::output;

/// The starter config, which is the quickstart's config. Tests run it.
const STARTER: &str = include_str!("../../configs/quickstart.toml");

pub(crate) fn run(file: &Path, common: &Common) -> Result<Exit, Failure> {
    match write_new(file, STARTER.as_bytes()) {
        Ok(()) => {}
        Err(error @ FileError::Exists { .. }) => {
            return Err(Failure::wrong(anyhow!("{error}; name another file")));
        }
        Err(error) if error.is_callers() => return Err(Failure::wrong(error)),
        Err(error) => return Err(Failure::unwritable(error)),
    }
    if common.json {
        output::print_json(&json!({ "file": output::path_text(file) }))?;
    } else {
        output::print(&format!("{0}: written; start with `kiln search {0}`", output::path_shown(file)))?;
    }
    Ok(Exit::Done)
}
