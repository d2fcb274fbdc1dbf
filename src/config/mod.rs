//! The config file: what the user wrote, where it stands, and what is wrong with it. Looking names up and opening files is
//! [`crate::assembly`]'s part.

#[cfg(test)]
mod damaged;
mod difference;
mod document;
mod error;
mod explain;
mod part_keys;
mod schema;
mod tables;
#[cfg(test)]
mod tests;

pub use difference::difference;
pub use document::Document;
pub use error::{ConfigError, Place};
pub use schema::schema;
pub use tables::{
    FinishTable, HardwareTable, Part, READING_RULES, RESOLVED, RunConfig, SearchTable, StudyTable,
};
