//! Runs the real binary: configs, mistakes, interruptions, crashes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bench;
mod broken_inputs;
mod command_crashes;
mod command_line;
#[cfg(unix)]
mod commands;
mod compression;
mod configs;
mod crashes;
mod displaced;
mod effort;
mod explained;
mod failures;
#[cfg(unix)]
mod finish_measuring;
mod flips;
mod full_disk;
mod goldens;
mod health;
mod hostile_commands;
mod hostile_names;
mod interruptions;
mod jobs;
mod journals;
mod likeness;
mod limits;
#[cfg(unix)]
mod measuring;
mod metrics;
mod mistakes;
mod old_runs;
mod output;
mod outputs;
mod own_data;
mod predictions;
mod sandbox;
mod screens;
mod supernets;
mod tracking;
mod trainings;
mod workers;
