//! The study loop from outside: trajectories, interruptions, failures and the finish stage, on a small space with an
//! evaluator whose outcomes are known in advance.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod benched;
mod contradictions;
mod effort;
mod failures;
mod finish;
mod health;
mod parts;
mod processes;
mod resume;
mod stores;
mod trajectory;
