//! `kiln schema`: prints a JSON schema that editors use to check configs.

use kiln::assembly::Registries;
use kiln::config::schema;

use crate::exit::{Exit, Failure};
use crate::output;

pub(crate) fn run() -> Result<Exit, Failure> {
    let schema = schema(&Registries::builtin());
    let text = serde_json::to_string_pretty(&schema).map_err(anyhow::Error::from)?;
    output::print(&text)?;
    Ok(Exit::Done)
}
