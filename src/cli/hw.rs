//! What can be said to `kiln hw`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Networks run with at most so many examples or threads at a time.
const COUNT_MAX: u64 = 65_536;

#[derive(Debug, Subcommand)]
pub(crate) enum HwCommand {
    /// List the known devices; with a name, every number of one and where it comes from
    List {
        /// Name of a device
        device: Option<String>,
        /// Device file of one's own
        #[arg(long, value_name = "FILE", conflicts_with = "device")]
        file: Option<PathBuf>,
    },
    /// Predict what an architecture costs on devices
    Predict(PredictArguments),
    /// Fit a device file to measured latencies
    Fit(FitArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// Genes joined by `-`, or a cell of NAS-Bench-201
    pub(crate) architecture: String,
    /// Config whose `[space]` the architecture is of [default: the space of NAS-Bench-201]
    #[arg(long, value_name = "CONFIG")]
    pub(crate) space: Option<PathBuf>,
    /// Known device; may be given more than once [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Vec<String>,
    /// Device file; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Cost model
    #[arg(long, value_name = "NAME", default_value = "roofline")]
    pub(crate) model: String,
    /// Examples at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) batch: u64,
    /// Threads, at most one for each core of the device
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) threads: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FitArguments {
    /// CSV file of measurements, plain or gzipped; a latency that is empty or -1 was not measured
    #[arg(long, value_name = "FILE")]
    pub(crate) measurements: PathBuf,
    /// Column that names networks, by genes joined by `-` or as a cell of NAS-Bench-201
    #[arg(long, value_name = "COLUMN", default_value = "arch")]
    pub(crate) key: String,
    /// Another CSV file that has this column, when the measurements do not
    #[arg(long, value_name = "FILE", requires = "key_on")]
    pub(crate) key_file: Option<PathBuf>,
    /// Column by which the rows of the two files belong together
    #[arg(long, value_name = "COLUMN", requires = "key_file")]
    pub(crate) key_on: Option<String>,
    /// Column of the latencies
    #[arg(long, value_name = "COLUMN")]
    pub(crate) latency_column: String,
    /// Unit of the latencies
    #[arg(long)]
    pub(crate) unit: Unit,
    /// Config whose `[space]` the networks are of [default: the space of NAS-Bench-201]
    #[arg(long, value_name = "CONFIG")]
    pub(crate) space: Option<PathBuf>,
    /// Known device to start from
    #[arg(long, value_name = "NAME", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) device: Option<String>,
    /// Device file to start from
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Name of the fitted device [default: that of the device it starts from]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What the fitted device is, for people [default: that of the device it starts from]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Examples at a time in every measurement
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) batch: u64,
    /// Threads in every measurement
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) threads: u64,
    /// Fit to so many networks drawn with `--seed` (0), and judge the fit on all the others
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// Device file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Overwrite the file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Unit of a column of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    /// Microseconds
    Us,
    /// Milliseconds
    Ms,
}
