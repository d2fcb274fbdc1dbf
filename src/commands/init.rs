//! `kiln init`: a commented config to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::json;

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::output;

/// What is written: the quickstart, which is known to run.
const STARTER: &str = include_str!("../../configs/quickstart.toml");

pub(crate) fn run(file: &Path, common: &Common) -> Result<Exit, Failure> {
    let mut out = match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(out) => out,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = file.display();
            return Err(Failure::wrong(anyhow!("{file}: is there already; name another file")));
        }
        Err(error) => {
            let error = anyhow::Error::new(error).context(format!("{}: cannot be written", file.display()));
            return Err(Failure::wrong(error));
        }
    };
    out.write_all(STARTER.as_bytes()).with_context(|| format!("{}: cannot be written", file.display()))?;
    if common.json {
        output::print_json(&json!({ "file": output::path_text(file) }))?;
    } else {
        output::print(&format!("{0}: written; start with `kiln search {0}`", output::path_shown(file)))?;
    }
    Ok(Exit::Done)
}
