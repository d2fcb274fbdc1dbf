#![doc = include_str!("../README.md")]

pub mod assembly;
pub mod audit;
pub mod config;
pub mod estimate;
pub mod memory;
pub mod survey;
