//! What can be said to `kiln bench`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use thiserror::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// NAS-Bench-201: all 15,625 cells, with simulated time or a number of queries as the budget
    Nasbench201(CellsArguments),
    /// NAS-Bench-Macro: 6,561 stacks of blocks
    Macro(MacroArguments),
    /// Several objectives: NAS-Bench-201 with the measurements of a device, by hypervolume
    Hardware(HardwareArguments),
    /// The answers of a study that has judged its whole space
    Study(StudyArguments),
    /// Synthetic functions of genotypes with a known optimum
    Functions(FunctionArguments),
}

/// What every benchmark takes.
#[derive(Debug, Args)]
pub(crate) struct Compared {
    /// Strategies, separated by commas; settings follow as JSON: `clustered:{"clusters":1}`
    #[arg(long, value_name = "NAME[,NAME]")]
    pub(crate) strategy: String,
    /// Runs of each strategy
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) seeds: u64,
    /// Strategies of these, against which the others are tested on the same seeds (one-sided Wilcoxon signed-rank)
    #[arg(long, value_name = "NAME[,NAME]")]
    pub(crate) baseline: Option<String>,
    /// Level of the tests
    #[arg(long, value_name = "P", default_value_t = 0.01)]
    pub(crate) alpha: f64,
    /// End a run when it has found the optimum
    #[arg(long)]
    pub(crate) until_found: bool,
    /// Say also what would be reported by a Gaussian process over the trials, which sees through the signal's noise
    #[arg(long)]
    pub(crate) denoise: bool,
    /// Proposals that are out at a time, as a study's `in_flight`
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) in_flight: NonZeroUsize,
    /// Draw regret against budget into this SVG file; an earlier plot is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Overwrite whatever file is in the plot's place
    #[arg(long, requires = "plot")]
    pub(crate) force: bool,
}

/// What takes from the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolName {
    /// The column `--cost` times `--cost-factor` for each evaluation
    Time,
    /// One for each evaluation
    Queries,
}

/// What becomes of cells that are the same network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EqualCellsName {
    /// Each has its own result
    Apart,
    /// They have one result; a strategy that is not told pays for each
    Alike,
    /// They are one architecture for strategies too, as in a study
    Merged,
}

#[derive(Debug, Args)]
pub(crate) struct CellsArguments {
    /// CSV file, plain or gzipped, with a column `arch`
    #[arg(long, value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// What the budget counts
    #[arg(long)]
    pub(crate) protocol: ProtocolName,
    /// Budget of a run: seconds, or evaluations
    #[arg(long, value_name = "X")]
    pub(crate) budget: f64,
    /// Column of the accuracy that is searched on
    #[arg(long, value_name = "COLUMN")]
    pub(crate) signal: String,
    /// Column of the accuracy that is reported
    #[arg(long, value_name = "COLUMN")]
    pub(crate) report: String,
    /// Column of what an evaluation takes, for the time protocol
    #[arg(long, value_name = "COLUMN", required_if_eq("protocol", "time"))]
    pub(crate) cost: Option<String>,
    /// Factor of the cost: the epochs of an evaluation, and what validation takes (12 epochs: 12.348)
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub(crate) cost_factor: f64,
    /// Column of the signal after fewer epochs, `EPOCHS=COLUMN`, for strategies of several fidelities; may be given more than
    /// once. Such an evaluation costs its share of `--full-epochs`
    #[arg(long, value_name = "EPOCHS=COLUMN", value_parser = fidelity)]
    pub(crate) fidelity: Vec<(u32, String)>,
    /// Epochs of the signal, for the cost of a `--fidelity`
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) full_epochs: u32,
    /// CSV file of zero-cost scores with the column `index`, for strategies with the setting `proxies`; scoring is free
    #[arg(long, value_name = "FILE", requires = "proxy")]
    pub(crate) proxies: Option<PathBuf>,
    /// Columns of the scores, of which more is better
    #[arg(long, value_name = "COLUMN[,COLUMN]", value_delimiter = ',', requires = "proxies")]
    pub(crate) proxy: Vec<String>,
    /// What becomes of cells that are the same network, each of which was trained on its own
    #[arg(long, value_name = "HOW", default_value = "apart")]
    pub(crate) equal_cells: EqualCellsName,
    #[command(flatten)]
    pub(crate) compared: Compared,
}

/// An argument that names no fidelity.
#[derive(Debug, Error)]
enum NoFidelity {
    #[error("expected `EPOCHS=COLUMN`, such as `12=e12_acc`")]
    Form,
    #[error("`{0}` is not a number of epochs")]
    Epochs(String),
}

fn fidelity(text: &str) -> Result<(u32, String), NoFidelity> {
    let (epochs, column) = text.split_once('=').ok_or(NoFidelity::Form)?;
    let epochs = epochs.parse().map_err(|_| NoFidelity::Epochs(epochs.to_owned()))?;
    Ok((epochs, column.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct MacroArguments {
    /// CSV file, plain or gzipped, with a column `arch` of eight digits
    #[arg(long, value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// Column of the accuracy
    #[arg(long, value_name = "COLUMN", default_value = "mean_acc")]
    pub(crate) signal: String,
    /// Evaluations of a run; a run of all 6,561 tells when each strategy finds the best
    #[arg(long, value_name = "X", default_value_t = 6_561.0)]
    pub(crate) budget: f64,
    #[command(flatten)]
    pub(crate) compared: Compared,
}

#[derive(Debug, Args)]
pub(crate) struct HardwareArguments {
    /// CSV file of accuracies, plain or gzipped, with the columns `index` and `arch`
    #[arg(long, value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// CSV file of measurements with the column `index`; what is not positive was not measured
    #[arg(long, value_name = "FILE")]
    pub(crate) costs: PathBuf,
    /// Device whose columns are objectives: those that begin with its name and `_`, and not with another
    /// device's longer name
    #[arg(long, value_name = "NAME")]
    pub(crate) device: String,
    /// Column of the accuracy
    #[arg(long, value_name = "COLUMN", default_value = "e200_cifar10_valid_valid_acc_mean")]
    pub(crate) signal: String,
    /// Evaluations of a run
    #[arg(long, value_name = "X", default_value_t = 500.0)]
    pub(crate) budget: f64,
    #[command(flatten)]
    pub(crate) compared: Compared,
}

#[derive(Debug, Args)]
pub(crate) struct StudyArguments {
    /// Run folder, or the name of a study in `--runs`
    pub(crate) run: PathBuf,
    /// Evaluations of a run
    #[arg(long, value_name = "X", default_value_t = 100.0)]
    pub(crate) budget: f64,
    #[command(flatten)]
    pub(crate) compared: Compared,
}

/// A synthetic function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FunctionName {
    /// Every gene has a cost of its own
    Separable,
    /// Neighboring genes have costs together
    Chained,
    /// Blocks of three genes whose slope leads away from the optimum
    Trap,
    /// Two objectives: leading genes at the first option, trailing ones at the last
    LeadingTrailing,
}

#[derive(Debug, Args)]
pub(crate) struct FunctionArguments {
    /// The function
    #[arg(long)]
    pub(crate) function: FunctionName,
    /// Genes
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) decisions: usize,
    /// Options of each
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) options: usize,
    /// Evaluations of a run
    #[arg(long, value_name = "X", default_value_t = 300)]
    pub(crate) budget: u64,
    #[command(flatten)]
    pub(crate) compared: Compared,
}
