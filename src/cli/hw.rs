//! Arguments of `kiln hw`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Largest accepted number of examples or threads.
const COUNT_MAX: u64 = 65_536;

#[derive(Debug, Subcommand)]
pub(crate) enum HwCommand {
    /// List the known devices. With a name, list every number of that device with its source
    List {
        /// Name of a device
        device: Option<String>,
        /// Device file to list
        #[arg(long, value_name = "FILE", conflicts_with = "device")]
        file: Option<PathBuf>,
    },
    /// Predict the cost of an architecture on devices
    Predict(PredictArguments),
    /// Fit a device file to measured latencies
    Fit(FitArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// Genes joined by `-`, or a cell in the notation of NAS-Bench-201
    pub(crate) architecture: String,
    /// Config whose `[space]` contains the architecture [default: the space of NAS-Bench-201]
    #[arg(long, value_name = "CONFIG")]
    pub(crate) space: Option<PathBuf>,
    /// Known device. May be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Vec<String>,
    /// Device file. May be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Cost model
    #[arg(long, value_name = "NAME", default_value = "roofline")]
    pub(crate) model: String,
    /// Number of examples in a batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) batch: u64,
    /// Number of threads, at most the number of cores of the device
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) threads: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FitArguments {
    /// CSV file of measurements, plain or gzipped. An empty latency or -1 means that nothing was measured
    #[arg(long, value_name = "FILE")]
    pub(crate) measurements: PathBuf,
    /// Column that names the networks, by genes joined by `-` or as cells of NAS-Bench-201
    #[arg(long, value_name = "COLUMN", default_value = "arch")]
    pub(crate) key: String,
    /// Another CSV file with this column, if the measurements lack it
    #[arg(long, value_name = "FILE", requires = "key_on")]
    pub(crate) key_file: Option<PathBuf>,
    /// Column that joins the rows of the two files
    #[arg(long, value_name = "COLUMN", requires = "key_file")]
    pub(crate) key_on: Option<String>,
    /// Column of the latencies
    #[arg(long, value_name = "COLUMN")]
    pub(crate) latency_column: String,
    /// Unit of the latencies
    #[arg(long)]
    pub(crate) unit: Unit,
    /// Config whose `[space]` contains the networks [default: the space of NAS-Bench-201]
    #[arg(long, value_name = "CONFIG")]
    pub(crate) space: Option<PathBuf>,
    /// Known device to start from
    #[arg(long, value_name = "NAME", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) device: Option<String>,
    /// Device file to start from
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Name of the fitted device [default: the name of the device to start from]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Description of the fitted device [default: that of the device to start from]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Number of examples in a batch of every measurement
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) batch: u64,
    /// Number of threads of every measurement
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) threads: u64,
    /// Fit to this many networks, drawn with `--seed` (default 0), and test the fit on all others
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// Device file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub(crate) force: bool,
}

/// Unit of the latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    /// Microseconds
    Us,
    /// Milliseconds
    Ms,
}
