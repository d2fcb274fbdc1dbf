//! The program's commands. Each command has its own file.

mod bench;
mod check;
mod compare;
mod completions;
mod compress;
mod eval;
mod export;
mod finish;
mod front;
mod hw;
mod init;
mod jobs;
mod list;
mod predict;
mod report;
mod schema;
mod search;
mod sensitivity;
mod show;
mod supernet;
mod trials;
mod watch;
mod work;

use crate::cli::{Arguments, Command};
use crate::exit::{Exit, Failure};

/// Runs the command that the user requested.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let common = arguments.common;
    match arguments.command {
        Command::Search { config, retry_failed, strict, plain, detach } => {
            search::run(&config, search::Wishes { retry_failed, strict, plain, detach }, &common)
        }
        Command::Watch { run, plain } => watch::run(&run, plain, &common),
        Command::Finish(arguments) => finish::run(&arguments, &common),
        Command::List => list::run(&common),
        Command::Jobs { run, all } => jobs::run(&run, all, &common),
        Command::Work { job } => work::run(&job),
        Command::Front { run, csv } => front::run(&run, csv, &common),
        Command::Trials { run, csv } => trials::run(&run, csv, &common),
        Command::Show { run, trial, sensitivity: true } => sensitivity::run(&run, trial, &common),
        Command::Show { run, trial, sensitivity: false } => show::run(&run, trial, &common),
        Command::Compress(arguments) => compress::run(&arguments, &common),
        Command::Export { run, trial, format, precision, out, force } => {
            let output = export::Output { format, precision, out, force };
            export::run(&run, trial, output, &common)
        }
        Command::Supernet { command } => supernet::run(&command, &common),
        Command::Compare { studies } => compare::run(&studies, &common),
        Command::Report { run, out, force } => report::run(&run, out, force, &common),
        Command::Check { config, is_tried } => check::run(&config, is_tried, &common),
        Command::Eval { model, config } => eval::run(&model, config.as_deref(), &common),
        Command::Predict { model, files } => predict::run(&model, &files, &common),
        Command::Schema => schema::run(),
        Command::Completions { shell } => completions::run(shell),
        Command::Init { file } => init::run(&file, &common),
        Command::Bench { command } => bench::run(command, &common),
        Command::Hw { command } => hw::run(command, &common),
    }
}
