#![doc = include_str!("../README.md")]

pub mod assembly;
pub mod audit;
pub mod config;
pub mod estimate;
pub mod jobs;
pub mod measuring;
pub mod memory;
pub mod runtimes;
pub mod survey;

/// The guide's example, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide/src/library.md")]
mod guide {}
