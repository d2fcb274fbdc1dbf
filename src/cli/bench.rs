//! Arguments of `kiln bench`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use thiserror::Error;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// NAS-Bench-201: all 15,625 cells. The budget is simulated time or a number of queries
    Nasbench201(CellsArguments),
    /// NAS-Bench-Macro: 6,561 stacks of blocks
    Macro(MacroArguments),
    /// Several objectives: NAS-Bench-201 with measured costs of a device, compared by hypervolume
    Hardware(HardwareArguments),
    /// The results of a study that has evaluated its whole space
    Study(StudyArguments),
    /// Synthetic functions of genotypes with a known optimum
    Functions(FunctionArguments),
}

/// Options of every benchmark.
#[derive(Debug, Args)]
pub(crate) struct Compared {
    /// Strategies, separated by commas. Settings follow a name as JSON: `clustered:{"clusters":1}`
    #[arg(long, value_name = "NAME[,NAME]")]
    pub(crate) strategy: String,
    /// Number of runs of each strategy
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) seeds: u64,
    /// Strategies of `--strategy` that serve as baselines. The others are tested against them on the same
    /// seeds (one-sided Wilcoxon signed-rank test)
    #[arg(long, value_name = "NAME[,NAME]")]
    pub(crate) baseline: Option<String>,
    /// Significance level of the tests
    #[arg(long, value_name = "P", default_value_t = 0.01)]
    pub(crate) alpha: f64,
    /// End a run when it finds the optimum
    #[arg(long)]
    pub(crate) until_found: bool,
    /// Also report the choice of a Gaussian process that is fitted to all trials and averages out the noise
    /// of the signal
    #[arg(long)]
    pub(crate) denoise: bool,
    /// Number of pending proposals, as `in_flight` of a study
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) in_flight: NonZeroUsize,
    /// Plot regret against budget into this SVG file. An earlier plot is overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Overwrite any existing file in the place of the plot
    #[arg(long, requires = "plot")]
    pub(crate) force: bool,
}

/// Unit of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolName {
    /// Seconds: the column `--cost` times `--cost-factor` for each evaluation
    Time,
    /// One query for each evaluation
    Queries,
}

/// How cells that mean the same network are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EqualCellsName {
    /// Each cell has its own result
    Apart,
    /// Equal cells share one result, and a strategy that does not know of it pays for each
    Alike,
    /// Equal cells are one architecture for the strategies, as in a study
    Merged,
}

#[derive(Debug, Args)]
pub(crate) struct CellsArguments {
    /// CSV file, plain or gzipped, with a column `arch`
    #[arg(long, value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// Unit of the budget
    #[arg(long)]
    pub(crate) protocol: ProtocolName,
    /// Budget of a run, in seconds or evaluations
    #[arg(long, value_name = "X")]
    pub(crate) budget: f64,
    /// Column of the accuracy that the strategies see
    #[arg(long, value_name = "COLUMN")]
    pub(crate) signal: String,
    /// Column of the accuracy that is reported
    #[arg(long, value_name = "COLUMN")]
    pub(crate) report: String,
    /// Column of the cost of an evaluation, for `--protocol time`
    #[arg(long, value_name = "COLUMN", required_if_eq("protocol", "time"))]
    pub(crate) cost: Option<String>,
    /// Factor of the cost: epochs of an evaluation, with validation (12 epochs: 12.348)
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub(crate) cost_factor: f64,
    /// Column of the signal after fewer epochs, as `EPOCHS=COLUMN`, for strategies with several fidelities.
    /// May be repeated. Such an evaluation costs its share of `--full-epochs`
    #[arg(long, value_name = "EPOCHS=COLUMN", value_parser = fidelity)]
    pub(crate) fidelity: Vec<(u32, String)>,
    /// Epochs of the signal, for the cost of each `--fidelity`
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) full_epochs: u32,
    /// CSV file of zero-cost scores with a column `index`, for strategies with the setting `proxies`. Scores
    /// cost nothing
    #[arg(long, value_name = "FILE", requires = "proxy")]
    pub(crate) proxies: Option<PathBuf>,
    /// Columns of the scores. Higher scores are better
    #[arg(long, value_name = "COLUMN[,COLUMN]", value_delimiter = ',', requires = "proxies")]
    pub(crate) proxy: Vec<String>,
    /// How cells that mean the same network are treated. The table trained each of them on its own
    #[arg(long, value_name = "HOW", default_value = "apart")]
    pub(crate) equal_cells: EqualCellsName,
    #[command(flatten)]
    pub(crate) compared: Compared,
}

/// An invalid argument of `--fidelity`.
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
    /// CSV file, plain or gzipped, whose column `arch` has eight digits
    #[arg(long, value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// Column of the accuracy
    #[arg(long, value_name = "COLUMN", default_value = "mean_acc")]
    pub(crate) signal: String,
    /// Budget of a run, in evaluations. With all 6,561, the result shows when each strategy finds the best
    /// network
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
    /// CSV file of measurements with a column `index`. Values of zero and below mean that nothing was
    /// measured
    #[arg(long, value_name = "FILE")]
    pub(crate) costs: PathBuf,
    /// Device whose columns become objectives: all columns that begin with its name and `_`, except those of
    /// a device with a longer name
    #[arg(long, value_name = "NAME")]
    pub(crate) device: String,
    /// Column of the accuracy
    #[arg(long, value_name = "COLUMN", default_value = "e200_cifar10_valid_valid_acc_mean")]
    pub(crate) signal: String,
    /// Budget of a run, in evaluations
    #[arg(long, value_name = "X", default_value_t = 500.0)]
    pub(crate) budget: f64,
    #[command(flatten)]
    pub(crate) compared: Compared,
}

#[derive(Debug, Args)]
pub(crate) struct StudyArguments {
    /// Run folder, or name of a study in `--runs`
    pub(crate) run: PathBuf,
    /// Budget of a run, in evaluations
    #[arg(long, value_name = "X", default_value_t = 100.0)]
    pub(crate) budget: f64,
    #[command(flatten)]
    pub(crate) compared: Compared,
}

/// A synthetic function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FunctionName {
    /// Every gene has its own cost
    Separable,
    /// Neighboring genes have a common cost
    Chained,
    /// Blocks of three genes whose slope leads away from the optimum
    Trap,
    /// Two objectives: the number of leading genes at the first option, and of trailing genes at the last
    LeadingTrailing,
}

#[derive(Debug, Args)]
pub(crate) struct FunctionArguments {
    /// The function
    #[arg(long)]
    pub(crate) function: FunctionName,
    /// Number of genes
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) decisions: usize,
    /// Number of options of each gene
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) options: usize,
    /// Budget of a run, in evaluations
    #[arg(long, value_name = "X", default_value_t = 300)]
    pub(crate) budget: u64,
    #[command(flatten)]
    pub(crate) compared: Compared,
}
