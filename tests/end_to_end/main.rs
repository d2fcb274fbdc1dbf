//! The real binary from the outside: configs, mistakes, interruptions, crashes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bench;
mod broken_inputs;
mod configs;
mod crashes;
mod effort;
mod explained;
mod failures;
mod full_disk;
mod interruptions;
mod mistakes;
mod output;
mod sandbox;
mod screens;
mod supernets;
mod workers;
