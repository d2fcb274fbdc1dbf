//! The measurements as a table that `kiln hw fit` reads.

use std::path::Path;

use kiln_hw_models::measuring::{Visit, VisitOutcome, summarize};
use kiln_space::{Architecture, Genotype};

use super::journal::{Journal, refused};
use crate::csv_table::CsvTable;
use crate::exit::Failure;

const COLUMNS: [&str; 11] = [
    "arch",
    "latency_us",
    "round",
    "state",
    "median_us",
    "low_us",
    "high_us",
    "runs",
    "runtime",
    "batch",
    "threads",
];

/// Writes one row for each visit. `latency_us` is empty where the visit does not count: the network failed,
/// or the visit was disturbed.
pub(super) fn write(
    path: &Path,
    journal: &Journal,
    probes: &[(Genotype, Architecture)],
) -> Result<(), Failure> {
    let (latencies, _, disturbed) = summarize(probes.len(), &journal.visits);
    let mut table = CsvTable::new(COLUMNS.map(str::to_owned));
    for (index, visit) in journal.visits.iter().enumerate() {
        let counts = latencies[visit.network].is_some() && !disturbed.contains(&index);
        let state = match visit.outcome {
            VisitOutcome::Failed { .. } => "failed",
            VisitOutcome::Measured { .. } if disturbed.contains(&index) => "disturbed",
            VisitOutcome::Measured { .. } => "measured",
        };
        table.row(row(journal, visit, state, counts));
    }
    kiln_files::write(path, table.to_string().as_bytes()).map_err(refused)
}

fn row(journal: &Journal, visit: &Visit, state: &str, counts: bool) -> [String; 11] {
    let [median, low, high, runs] = match visit.outcome {
        VisitOutcome::Measured { median_us, low_us, high_us, runs } => {
            [median_us.to_string(), low_us.to_string(), high_us.to_string(), runs.to_string()]
        }
        VisitOutcome::Failed { .. } => Default::default(),
    };
    let conditions = &journal.conditions;
    [
        journal.networks[visit.network].clone(),
        if counts { median.clone() } else { String::new() },
        visit.round.to_string(),
        state.to_owned(),
        median,
        low,
        high,
        runs,
        conditions.runtime.clone(),
        conditions.batch.to_string(),
        conditions.threads.to_string(),
    ]
}
