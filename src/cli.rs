//! Arguments of the command line.

mod bench;
mod hw;
mod supernet;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use kiln::assembly::Registries;
use kiln_evaluator::RecipeRegistry;

pub(crate) use self::bench::{
    BenchCommand, CellsArguments, Compared, EqualCellsName, FunctionName, ProtocolName, StudyArguments,
};
pub(crate) use self::hw::{
    EvaluateArguments, FitArguments, HwCommand, MeasureArguments, PredictArguments, PrintedUnit, RuntimeName,
    Samples, Unit,
};
pub(crate) use self::supernet::SupernetCommand;
use crate::version;

/// Help for the format of an export.
fn formats() -> String {
    let names: Vec<String> =
        Registries::builtin().exporters.names().map(|name| format!("`{name}`")).collect();
    format!("Format: one of {}", names.join(", "))
}

/// Help for the recipes of a compression.
fn recipes() -> String {
    let registry = RecipeRegistry::builtin();
    let names: Vec<String> = registry.descriptions().map(|(name, ..)| format!("`{name}`")).collect();
    format!(
        "Recipes, separated by `,`; `+` applies several one after another; `:key=value;key=value` sets \
         settings. One of {}",
        names.join(", ")
    )
}

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
    /// Folder that holds the run folders
    #[arg(long, global = true, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Folder that holds the data set or table
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Number of threads that evaluate networks. It changes the duration of a study and no result [default:
    /// all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Seed of the study, overriding the seed in the config
    #[arg(long, global = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Arguments of `kiln finish`.
#[derive(Debug, Args)]
pub(crate) struct FinishArguments {
    /// Run folder or name of a study
    pub(crate) run: PathBuf,
    /// Trials to finish [default: the best networks of the front that are not finished yet]
    #[arg(value_name = "TRIAL")]
    pub(crate) trials: Vec<u64>,
    /// Number of networks of the front to finish [default: `networks` of the config's `[finish]`, or 1]
    #[arg(long, value_name = "N", conflicts_with = "trials")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) networks: Option<u16>,
    /// Epochs of each training [default: those of `[finish]`, or of `[evaluator]`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) epochs: Option<u32>,
    /// Measure the networks on their devices, as the run folder's config says. This runs the commands of
    /// that config
    #[arg(long)]
    pub(crate) measure: bool,
    /// Send the results to the trackers that the run folder's config names
    #[arg(long)]
    pub(crate) track: bool,
    /// Run jobs as the run folder's config says, on a cluster too. This runs the commands of that config
    #[arg(long)]
    pub(crate) engine: bool,
}

/// Arguments of `kiln compress`.
#[derive(Debug, Args)]
pub(crate) struct CompressArguments {
    /// Run folder or name of a study
    #[arg(requires = "trial", conflicts_with = "model", required_unless_present = "model")]
    pub(crate) run: Option<PathBuf>,
    /// Number of the trial
    pub(crate) trial: Option<u64>,
    #[arg(long, value_name = "LIST", help = recipes())]
    pub(crate) recipe: String,
    /// Model file (`model.kiln`) or its folder, instead of a run folder and a trial
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Config whose data and settings are used for `--model` [default: the config of the run folder that
    /// holds the model]
    #[arg(long, value_name = "CONFIG", requires = "model")]
    pub(crate) config: Option<PathBuf>,
    /// Seconds for which the latency of each network is measured; 0 measures nothing
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) seconds: u64,
}

/// Number formats of exported networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportPrecision {
    /// Single precision
    F32,
    /// 8-bit integers
    Int8,
}

// One value exists, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a study, or continue it where it stopped
    Search {
        /// Config file
        config: PathBuf,
        /// Repeat evaluations that panicked, or whose command failed, in an earlier run
        #[arg(long)]
        retry_failed: bool,
        /// End before the search, with exit code 1, if a check finds that the supernet's estimates may
        /// mislead it
        #[arg(long)]
        strict: bool,
        /// Print progress as lines, even on a terminal
        #[arg(long)]
        plain: bool,
        /// On Ctrl-C, end at once and leave the jobs of `[engine]` running. Run the same command again to
        /// take them over
        #[arg(long)]
        detach: bool,
    },
    /// Watch a study that runs in another process or has ended
    Watch {
        /// Run folder or name of a study
        run: PathBuf,
        /// Print progress as lines until the study ends, even on a terminal. With `--json`, print its events
        #[arg(long)]
        plain: bool,
    },
    /// Show the Pareto front of a run
    Front {
        /// Run folder or name of a study
        run: PathBuf,
        /// Print comma-separated values (CSV)
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Show all trials of a run: outcome, metrics, costs, origin, genotype and options by name
    Trials {
        /// Run folder or name of a study
        run: PathBuf,
        /// Print comma-separated values (CSV) with a column for each decision
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Show the jobs of a study with a table `[engine]`: what runs where, since when, attempts
    Jobs {
        /// Run folder or name of a study
        run: PathBuf,
        /// Show the jobs that did all they were asked for, too
        #[arg(long)]
        all: bool,
    },
    /// Do the work of a job. Studies with a table `[engine]` start this command
    #[command(hide = true)]
    Work {
        /// Folder of the job
        job: PathBuf,
    },
    /// Train, test and export networks of a study whose search has ended
    Finish(FinishArguments),
    /// List the studies in the folder of run folders
    List,
    /// Show one architecture with its layers, shapes and cost by layer
    Show {
        /// Run folder or name of a study
        run: PathBuf,
        /// Number of the trial
        trial: u64,
        /// Show what rounding each layer of the finished network alone to 8 bits loses and saves. Needs the
        /// study's data
        #[arg(long)]
        sensitivity: bool,
    },
    /// Compress a finished network by recipes, and compare accuracy, bytes and latency
    Compress(CompressArguments),
    /// Write a finished network in another format
    Export {
        /// Run folder or name of a study
        run: PathBuf,
        /// Number of the trial
        trial: u64,
        #[arg(long, default_value = "onnx", help = formats())]
        format: String,
        /// Number format of all layers [default: that of the architecture]. To convert layers that were
        /// finished in single precision, `int8` needs the study's data, from which it takes the ranges of
        /// values
        #[arg(long, value_enum)]
        precision: Option<ExportPrecision>,
        /// File or folder to write [default: `<study>-<trial>` with the extension of the format, in the
        /// current folder]
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
        /// Overwrite an existing file or folder
        #[arg(long)]
        force: bool,
    },
    /// Compare studies: fronts, hypervolume with a common reference point, budgets, best networks under equal
    /// limits
    Compare {
        /// Run folders or names of studies
        #[arg(required = true, num_args = 2.., value_name = "RUN")]
        studies: Vec<PathBuf>,
    },
    /// Write a report of a study as one HTML page with plots, tables and settings
    Report {
        /// Run folder or name of a study
        run: PathBuf,
        /// File to write [default: `<study>.html` in the current folder]. An earlier report of the same study
        /// is overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Overwrite any existing file
        #[arg(long)]
        force: bool,
    },
    /// Check whether a trained supernet ranks networks as training them on their own does
    Supernet {
        #[command(subcommand)]
        command: SupernetCommand,
    },
    /// Check a config without training: search space, constraints, time and memory
    Check {
        /// Config file
        config: PathBuf,
        /// Evaluate one network for one epoch, in a temporary folder, and show what comes back
        #[arg(long = "try")]
        is_tried: bool,
    },
    /// Evaluate a finished network on the test split of its data set or of another one
    Eval {
        /// Model file (`model.kiln`) or its folder
        model: PathBuf,
        /// Config whose table `[data]` describes the data set [default: the config of the run folder that
        /// holds the model]
        #[arg(long, value_name = "CONFIG")]
        config: Option<PathBuf>,
    },
    /// Predict classes with probabilities, or values, for new examples: images, tables without a target, or
    /// arrays. Prints comma-separated values
    Predict {
        /// Model file (`model.kiln`) or its folder
        model: PathBuf,
        /// Images, folders of images, tables with the columns of the network's inputs, or arrays (`.npy`,
        /// `.npz`)
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a JSON schema of configs for editors
    Schema,
    /// Print a script that completes commands and options in a shell
    Completions {
        /// Shell for which the script is
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write a starter config with comments
    Init {
        /// File to write
        #[arg(default_value = "kiln.toml")]
        file: PathBuf,
    },
    /// Devices: list them, predict the cost of networks, fit device files to measurements
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
