//! `kiln completions`: prints a script for a shell that completes commands and options.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::Arguments;
use crate::exit::{Exit, Failure};
use crate::output;

pub(crate) fn run(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "kiln", &mut script);
    output::print_script(&String::from_utf8(script).map_err(anyhow::Error::from)?)?;
    Ok(Exit::Done)
}
