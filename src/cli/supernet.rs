//! Arguments of `kiln supernet`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Subcommand;

/// Subcommands for trained supernets.
#[derive(Debug, Subcommand)]
pub(crate) enum SupernetCommand {
    /// Train some architectures on their own, and compare the results with the supernet's estimates
    Audit {
        /// Run folder or name of a study
        run: PathBuf,
        /// Number of architectures. Those of earlier audits are not trained again
        #[arg(long, value_name = "N", default_value_t = 20)]
        #[arg(value_parser = clap::value_parser!(u16).range(2..))]
        networks: u16,
        /// Epochs of each training [default: those of `[finish]`, or those of the supernet]. Other settings
        /// of the training also come from `[finish]`
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        epochs: Option<u32>,
        /// Number of trainings of each architecture, each with other initial weights. Predictors are compared
        /// with their mean
        #[arg(long, value_name = "N", default_value = "1")]
        repeats: NonZeroU32,
        /// Also train each architecture for this many epochs, with other seeds, and report how these short
        /// trainings rank. This shows whether the supernet is worth its cost
        #[arg(long, value_name = "N,...", value_delimiter = ',')]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        short: Vec<u32>,
        /// Run jobs as the run folder's config says, on a cluster too. This runs the commands of that config
        #[arg(long)]
        engine: bool,
    },
}
