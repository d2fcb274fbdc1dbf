//! What can be said on the command line.

mod bench;
mod hw;
mod supernet;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::bench::{
    BenchCommand, CellsArguments, Compared, EqualCellsName, FunctionName, ProtocolName, StudyArguments,
};
pub(crate) use self::hw::{FitArguments, HwCommand, PredictArguments, Unit};
pub(crate) use self::supernet::SupernetCommand;
use crate::version;

/// Neural architecture search: from a config file to an exported network.
#[derive(Debug, Parser)]
#[command(version, long_version = version::text(), about, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Folder of the run folders
    #[arg(long, global = true, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Folder of the data set or table
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Threads that evaluate networks; they change the time a study takes and nothing else [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Seed of the study, instead of the one in the config
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What `kiln finish` is told.
#[derive(Debug, Args)]
pub(crate) struct FinishArguments {
    /// Run folder, or the name of a study
    pub(crate) run: PathBuf,
    /// Numbers of the trials [default: the best of the front that are not finished yet]
    #[arg(value_name = "TRIAL")]
    pub(crate) trials: Vec<u64>,
    /// How many of the front [default: `networks` of the config's `[finish]`, or 1]
    #[arg(long, value_name = "N", conflicts_with = "trials")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) networks: Option<u16>,
    /// Epochs of each training [default: those of `[finish]`, or of `[evaluator]`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) epochs: Option<u32>,
}

/// Number formats of exported networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportPrecision {
    /// Single precision
    F32,
    /// 8-bit integers
    Int8,
}

// Parsed once: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a study; on an existing run folder, go on where it stopped
    Search {
        /// Config file
        config: PathBuf,
        /// Evaluate again what panicked before
        #[arg(long)]
        retry_failed: bool,
        /// Stop before the search, with exit code 1, where a check finds that the supernet's estimates may
        /// mislead it
        #[arg(long)]
        strict: bool,
        /// Print lines of progress, also on a terminal
        #[arg(long)]
        plain: bool,
    },
    /// Watch a study that another process runs, or that has ended
    Watch {
        /// Run folder, or the name of a study
        run: PathBuf,
        /// Print lines of progress until the study ends, also on a terminal; with `--json`, its events
        #[arg(long)]
        plain: bool,
    },
    /// Show the Pareto front of a run
    Front {
        /// Run folder, or the name of a study
        run: PathBuf,
        /// Print comma-separated values
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Train, test and export networks of a study whose search has ended
    Finish(FinishArguments),
    /// List the studies in the folder of the run folders
    List,
    /// Show one architecture: layers, shapes, cost by layer
    Show {
        /// Run folder, or the name of a study
        run: PathBuf,
        /// Number of the trial
        trial: u64,
    },
    /// Write a finished network in another format
    Export {
        /// Run folder, or the name of a study
        run: PathBuf,
        /// Number of the trial
        trial: u64,
        /// Format: `onnx`, `safetensors`, or `rust`, which is a folder
        #[arg(long, default_value = "onnx")]
        format: String,
        /// Number format of all layers [default: that of the architecture]; int8 of layers that were not finished in it
        /// needs the study's data, for the ranges of values
        #[arg(long, value_enum)]
        precision: Option<ExportPrecision>,
        /// File or folder to write [default: `<study>-<trial>`, with the format's extension, in the current folder]
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
        /// Overwrite what is there
        #[arg(long)]
        force: bool,
    },
    /// Compare studies: fronts, hypervolume under one reference point, budgets, the best under equal limits
    Compare {
        /// Run folders, or names of studies
        #[arg(required = true, num_args = 2.., value_name = "RUN")]
        studies: Vec<PathBuf>,
    },
    /// Write a study as one HTML page: plots, tables, settings
    Report {
        /// Run folder, or the name of a study
        run: PathBuf,
        /// File to write [default: `<study>.html` in the current folder]; an earlier report of the study is
        /// replaced
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Overwrite whatever file is there
        #[arg(long)]
        force: bool,
    },
    /// Trained supernets: do they rank networks as training them does
    Supernet {
        #[command(subcommand)]
        command: SupernetCommand,
    },
    /// Check a config without training: the space, the constraints, time and memory
    Check {
        /// Config file
        config: PathBuf,
    },
    /// Run a finished network on the test split of its data set, or of another one
    Eval {
        /// Model file (`model.kiln`), or the folder that it is in
        model: PathBuf,
        /// Config whose table `[data]` describes the data set [default: that of the run folder the model is in]
        #[arg(long, value_name = "CONFIG")]
        config: Option<PathBuf>,
    },
    /// Give classes with probabilities, or values, for new images, tables without a target, or arrays, as
    /// comma-separated values
    Predict {
        /// Model file (`model.kiln`), or the folder that it is in
        model: PathBuf,
        /// Images, folders of images, tables with the network's columns, or arrays (`.npy`, `.npz`)
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a JSON schema of configs, for editors
    Schema,
    /// Print a script that completes commands and options in a shell
    Completions {
        /// Shell that reads the script
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write a commented starter config
    Init {
        /// File to write
        #[arg(default_value = "kiln.toml")]
        file: PathBuf,
    },
    /// Devices: what is known of them, what networks cost on them, and fitting them to measurements
    Hw {
        #[command(subcommand)]
        command: HwCommand,
    },
    /// Compare strategies on published tables and synthetic functions
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
}
