//! Computes rank correlations between training results and predictors.

use kiln_search::{Outcome, RankCorrelation, rank_correlation};
use serde::{Deserialize, Serialize};

use super::AuditedNetwork;

/// Name of the predictor that compares a network's first training with its other trainings.
const TRAINED_AGAIN: &str = "trained again";

/// Prefix for a metric that was measured with shared weights and not corrected by anchors.
const SHARED: &str = "uncorrected";
/// Name of the predictor that uses the number of parameters, corrected in the same way as the supernet's
/// estimate.
const CORRECTED_PARAMETERS: &str = "corrected parameters";

/// The rank correlation of one predictor with the training results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predictor {
    /// Name of the predictor.
    pub name: String,
    /// Kendall's tau-b between the predictor and the training results. A tau of 1 means that both rank the
    /// networks equally. `None` if all values are equal, or if too few networks were measured.
    pub correlation: Option<RankCorrelation>,
}

/// Correlates every predictor with the training results. Uses only networks for which every predictor and
/// every training result is known. `metrics` lists the evaluator's metrics. The first metric ranks the
/// networks.
pub(super) fn compare(
    networks: &[AuditedNetwork],
    metrics: &[String],
    proxy: &str,
    seed: u64,
) -> Vec<Predictor> {
    let metric = &metrics[0];
    let has_rivals = networks.iter().any(|network| network.rivals.is_some());
    let columns = |network: &AuditedNetwork| {
        let mut row =
            metrics.iter().map(|name| value(&network.estimated, name)).collect::<Option<Vec<f64>>>()?;
        // A network with more parameters or MACs should have a smaller error.
        row.extend([-(network.parameters as f64), -(network.macs as f64)]);
        row.push(value(&network.proxy, proxy)?);
        if has_rivals {
            let rivals = network.rivals.as_ref()?;
            let shared = metrics.iter().map(|name| value(&rivals.shared, name));
            row.extend(shared.collect::<Option<Vec<f64>>>()?);
            row.push(rivals.parameters);
        }
        let short =
            network.short.values().flat_map(|outcome| metrics.iter().map(|name| value(outcome, name)));
        row.extend(short.collect::<Option<Vec<f64>>>()?);
        Some(row)
    };
    let rows: Vec<(&AuditedNetwork, f64, Vec<f64>)> = networks
        .iter()
        .filter_map(|network| Some((network, network.trained(metric)?, columns(network)?)))
        .collect();
    let trained: Vec<f64> = rows.iter().map(|(_, trained, _)| *trained).collect();
    let supernet = metrics.iter().map(|name| format!("supernet {name}"));
    let short = networks.first().into_iter().flat_map(|network| network.short.keys());
    let short = short.flat_map(|epochs| metrics.iter().map(|name| trained_for(*epochs, name, metric)));
    let rivals =
        metrics.iter().map(|name| format!("{SHARED} {name}")).chain([CORRECTED_PARAMETERS.to_owned()]);
    let rivals = rivals.filter(|_| has_rivals);
    let names = supernet.chain(["parameters", "macs", proxy].map(str::to_owned)).chain(rivals).chain(short);
    let mut predictors: Vec<Predictor> = names
        .enumerate()
        .map(|(column, name)| {
            let values: Vec<f64> = rows.iter().map(|(_, _, row)| row[column]).collect();
            Predictor { name, correlation: rank_correlation(&values, &trained, seed) }
        })
        .collect();
    let repeated: Vec<(f64, f64)> =
        rows.iter().filter_map(|(network, ..)| first_and_others(network, metric)).collect();
    if !repeated.is_empty() {
        let (first, others): (Vec<f64>, Vec<f64>) = repeated.into_iter().unzip();
        let correlation = rank_correlation(&first, &others, seed);
        predictors.push(Predictor { name: TRAINED_AGAIN.to_owned(), correlation });
    }
    predictors
}

/// Returns the name of a predictor that uses a short training. For the ranking metric, the name contains only
/// the number of epochs.
fn trained_for(epochs: u32, metric: &str, ordering: &str) -> String {
    let trained = format!("trained {epochs} epoch{}", if epochs == 1 { "" } else { "s" });
    if metric == ordering { trained } else { format!("{trained}, {metric}") }
}

/// Returns a metric of the network's first training, and the metric's mean over the network's other
/// trainings. Returns `None` if the network was trained only once.
fn first_and_others(network: &AuditedNetwork, metric: &str) -> Option<(f64, f64)> {
    let (first, others) = network.trained.split_first()?;
    Some((value(first, metric)?, mean(others, metric)?))
}

/// Returns the mean of a metric over the outcomes. Returns `None` if there are no outcomes, or if the metric
/// is missing from an outcome.
pub(super) fn mean(outcomes: &[Outcome], metric: &str) -> Option<f64> {
    let found = outcomes.iter().map(|outcome| value(outcome, metric)).collect::<Option<Vec<f64>>>()?;
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}

fn value(outcome: &Outcome, metric: &str) -> Option<f64> {
    outcome.measurement().and_then(|found| found.get(metric))
}
