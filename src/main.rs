//! The command-line program. Commands call the library and print its results. The commands contain no
//! algorithms.

mod cli;
mod commands;
mod comparison;
mod csv_table;
mod exit;
mod failures;
mod finished_files;
mod headline;
#[cfg(unix)]
mod inherited;
mod inspection;
mod interrupt;
mod job_pool;
mod logging;
mod measured;
mod model_export;
mod output;
mod output_file;
mod progress;
mod reading;
mod report;
mod run;
mod study_page;
mod test_results;
mod text_table;
mod tracked;
mod trial_rows;
mod tui;
mod units;
mod version;
mod volume;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    interrupt::survive_long_files();
    output::remember_terminals();
    let arguments = cli::Arguments::parse();
    match commands::run(arguments) {
        Ok(exit) => exit.code(),
        Err(failure) => {
            output::say(&failure.message());
            failure.exit().code()
        }
    }
}
