//! Arguments of `kiln hw`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use kiln_hw_models::{KeyFile, LatencyUnit, MeasurementFile};
use kiln_space::NumberFormat;

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
    /// Measure networks of a config's space and fit a device file to them
    Measure(Box<MeasureArguments>),
    /// Fit a device file to measured latencies
    Fit(FitArguments),
    /// Judge the fitted model on a table of measured networks, beside trivial baselines
    Evaluate(EvaluateArguments),
}

/// Which columns of a table name its networks, and the unit of its latencies.
#[derive(Debug, Args)]
pub(crate) struct TableColumns {
    /// Column that names the networks, by genes joined by `-` or as cells of NAS-Bench-201
    #[arg(long, value_name = "COLUMN", default_value = "arch")]
    pub(crate) key: String,
    /// Another CSV file with this column, if the table lacks it
    #[arg(long, value_name = "FILE", requires = "key_on")]
    pub(crate) key_file: Option<PathBuf>,
    /// Column that joins the rows of the two files
    #[arg(long, value_name = "COLUMN", requires = "key_file")]
    pub(crate) key_on: Option<String>,
    /// Unit of the latencies
    #[arg(long)]
    pub(crate) unit: Unit,
}

impl TableColumns {
    /// A column of latencies in the table at `path`.
    pub(crate) fn file(&self, path: &Path, latency_column: &str) -> MeasurementFile {
        let key_file = self.key_file.clone().zip(self.key_on.clone());
        MeasurementFile {
            path: path.to_owned(),
            key: self.key.clone(),
            key_file: key_file.map(|(path, on)| KeyFile { path, on }),
            latency_column: latency_column.to_owned(),
            unit: match self.unit {
                Unit::Us => LatencyUnit::Us,
                Unit::Ms => LatencyUnit::Ms,
            },
        }
    }
}

/// Arguments of `kiln hw evaluate`.
#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    /// CSV file of measurements, plain or gzipped. An empty latency or -1 means that nothing was measured
    #[arg(long, value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// `nasbench201`, or a config whose `[space]` contains the networks
    #[arg(long, value_name = "SPACE")]
    pub(crate) space: PathBuf,
    /// Column of latencies to predict
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) columns: TableColumns,
    /// Numbers of networks to fit to
    #[arg(long, value_name = "N", value_delimiter = ',', required = true)]
    #[arg(value_parser = parse_train)]
    pub(crate) train: Vec<usize>,
    /// Number of repetitions with other networks, seeded from `--seed` (default 0) on
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) draws: u16,
    /// Columns of devices that are known: every network was measured on them
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) known: Vec<String>,
    /// Shipped predictors that are known devices too: `all`, `none` or names. That of the target's own device
    /// is left out [default: all; none with `--known`]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) transfer: Vec<String>,
    /// Another table with the same columns, to judge with instead
    #[arg(long, value_name = "FILE")]
    pub(crate) test_table: Option<PathBuf>,
    /// How the fitted model's networks are selected. Those of the baselines are always drawn
    #[arg(long, default_value = "chosen")]
    pub(crate) samples: Samples,
    /// Rows to fit to, counted from 0, the last excluded [default: all]
    #[arg(long, value_name = "A..B", value_parser = parse_rows)]
    pub(crate) pool: Option<[usize; 2]>,
    /// Rows to judge [default: all that were not fitted to]
    #[arg(long, value_name = "C..D", value_parser = parse_rows)]
    pub(crate) test: Option<[usize; 2]>,
    /// Quantiles of latency between which the rows of both parts are kept, such as 0.1..0.9
    #[arg(long, value_name = "LOW..HIGH", value_parser = parse_trim)]
    pub(crate) trim: Option<[f64; 2]>,
    /// Cost model
    #[arg(long, value_name = "NAME", default_value = "fitted", value_parser = ["fitted"])]
    pub(crate) model: String,
}

/// How networks to measure are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Samples {
    /// Where they tell most about the others: up to 24, and any more drawn at random
    Chosen,
    /// At random
    Drawn,
}

fn parse_train(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (2..=2000).contains(count));
    count.ok_or_else(|| format!("found `{text}`, expected a whole number from 2 to 2000"))
}

fn parse_rows(text: &str) -> Result<[usize; 2], String> {
    let bounds = text.split_once("..").and_then(|(a, b)| Some([a.parse().ok()?, b.parse().ok()?]));
    bounds.filter(|[first, end]| first < end).ok_or_else(|| {
        format!("found `{text}`, expected two row numbers in ascending order, such as `0..900`")
    })
}

fn parse_trim(text: &str) -> Result<[f64; 2], String> {
    let bounds = text.split_once("..").and_then(|(a, b)| Some([a.parse().ok()?, b.parse().ok()?]));
    bounds
        .filter(|[low, high]| (0.0..=1.0).contains(low) && low < high && *high <= 1.0)
        .ok_or_else(|| format!("found `{text}`, expected two numbers from 0 to 1, such as `0.1..0.9`"))
}

#[derive(Debug, Args)]
pub(crate) struct MeasureArguments {
    /// Config whose `[space]` is measured
    pub(crate) config: PathBuf,
    /// Device file to write. Measurements are kept in a folder beside it, and the same command goes on with
    /// them
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Number of networks to measure
    #[arg(long, value_name = "N", default_value_t = 40)]
    #[arg(value_parser = clap::value_parser!(u16).range(13..=1000))]
    pub(crate) networks: u16,
    /// Minutes after which no further measurement begins
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub(crate) minutes: u32,
    /// What runs the networks
    #[arg(long, value_enum, default_value_t = RuntimeName::Kiln)]
    pub(crate) runtime: RuntimeName,
    /// Full path of the library of `onnxruntime` [default: the environment variable `ORT_DYLIB_PATH`]
    #[arg(long, value_name = "FILE")]
    pub(crate) library: Option<PathBuf>,
    /// Program and arguments that run a network and print its latency; `{model}`, `{threads}` and `{batch}`
    /// are filled in. No shell is used. The list ends with `;` or with the line
    #[arg(long, value_name = "ARG", num_args = 1.., allow_hyphen_values = true, value_terminator = ";")]
    #[arg(required_if_eq("runtime", "command"))]
    pub(crate) command: Vec<String>,
    /// Program and arguments that bring the file of a network, `{model}`, to the device
    #[arg(long, value_name = "ARG", num_args = 1.., allow_hyphen_values = true, value_terminator = ";")]
    #[arg(requires = "command")]
    pub(crate) copy: Vec<String>,
    /// Unit of the last number that the command prints [default: it prints JSON with `latency_us` or
    /// `latencies_us`]
    #[arg(long, requires = "command")]
    pub(crate) unit: Option<PrintedUnit>,
    /// Seconds after which a command is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "command")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) time_out: u64,
    /// Also measure distinct kernels of the space, each alone, for the model `kernels`: as many as networks
    #[arg(long)]
    pub(crate) kernels: bool,
    /// Measure all distinct kernels of the space, for the model `table`
    #[arg(long, requires = "kernels")]
    pub(crate) table: bool,
    /// Number of examples in a batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub(crate) batch: u64,
    /// Number of threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) threads: u64,
    /// Known device to start from [default: one like this machine, or like a small board]
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(crate) device: Option<String>,
    /// Device file to start from
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Name of the device [default: the name of the file to write]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Description of the device [default: what measured it, and when]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Overwrite an existing file, and measurements under other conditions
    #[arg(long)]
    pub(crate) force: bool,
}

/// What runs the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeName {
    /// Kiln's own inference, on this machine
    Kiln,
    /// ONNX Runtime, on this machine
    Onnxruntime,
    /// A program that prints the latency
    Command,
}

/// Unit of a printed latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrintedUnit {
    /// Microseconds
    Us,
    /// Milliseconds
    Ms,
    /// Seconds
    S,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// Genes joined by `-`, or a cell in the notation of NAS-Bench-201
    #[arg(required_unless_present_any = ["onnx", "run"], conflicts_with_all = ["onnx", "run"])]
    pub(crate) architecture: Option<String>,
    /// Config whose `[space]` contains the architecture [default: the space of NAS-Bench-201]
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["onnx", "run"])]
    pub(crate) space: Option<PathBuf>,
    /// Run folder or name of a study that contains the trial
    #[arg(long, value_name = "RUN", requires = "trial", conflicts_with = "onnx")]
    pub(crate) run: Option<PathBuf>,
    /// Number of the trial
    #[arg(long, value_name = "TRIAL", requires = "run")]
    pub(crate) trial: Option<u64>,
    /// ONNX file of operations that Kiln writes
    #[arg(long, value_name = "FILE")]
    pub(crate) onnx: Option<PathBuf>,
    /// Known device. May be repeated [default: those of the run, or all]
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Vec<String>,
    /// Device file. May be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Cost model
    #[arg(long, value_name = "NAME", default_value = "roofline")]
    pub(crate) model: String,
    /// Number of examples in a batch. Without a named device, `--run` uses that of its config
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
    /// Cost model to fit: the numbers of the `roofline`, a regression on the networks, `fitted`, or on single
    /// `kernels`, whose table has a column `kernel` or the columns `conv_type`, `batch`, `in_c`, `in_h`,
    /// `in_w`, `out_c`, `kernel`, `stride` and `elmt_fused`
    #[arg(long, value_name = "NAME", default_value = "roofline")]
    #[arg(value_parser = ["roofline", "fitted", "kernels"])]
    pub(crate) model: String,
    /// Number format of the convolutions in a table of kernels
    #[arg(long, value_enum, default_value_t = Format::F32)]
    pub(crate) format: Format,
    /// Shipped predictors that `fitted` takes as known devices: `all`, `none` or names; none for networks
    /// unlike those that they know
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "all")]
    pub(crate) transfer: Vec<String>,
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

/// Number format of measured kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Single precision
    F32,
    /// Half precision
    F16,
    /// Brain floating point
    Bf16,
    /// 8-bit integers
    Int8,
}

impl From<Format> for NumberFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::F32 => Self::F32,
            Format::F16 => Self::F16,
            Format::Bf16 => Self::Bf16,
            Format::Int8 => Self::Int8,
        }
    }
}
