//! Arguments of `kiln supernet`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Subcommand;

/// What is asked of a trained supernet.
#[derive(Debug, Subcommand)]
pub(crate) enum SupernetCommand {
    /// Train some architectures on their own, and compare the supernet's estimates with what comes of it
    Audit {
        /// Run folder, or the name of a study
        run: PathBuf,
        /// Architectures to train; those of earlier audits are not trained again
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..))]
        networks: u16,
        /// Epochs of each [default: those of `[finish]`, which also says how; without one, those of the supernet]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        epochs: Option<u32>,
        /// Trainings of each from other first weights; predictors are held against their mean, and so is one of them
        #[arg(long, value_name = "N", default_value = "1")]
        repeats: NonZeroU32,
        /// Also train each for so few epochs, by other seeds, and say how these trainings rank: whether the supernet is worth its cost
        #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
        short: Vec<u32>,
    },
}
