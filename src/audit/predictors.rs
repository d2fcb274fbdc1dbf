//! How well numbers that are known without training order networks as training does.

use kiln_search::{Outcome, RankCorrelation, rank_correlation};
use serde::{Deserialize, Serialize};

use super::AuditedNetwork;

/// The first training as a predictor of the others.
const TRAINED_AGAIN: &str = "trained again";

/// Before a metric: by the shared weights, where the supernet's estimate is corrected.
const SHARED: &str = "uncorrected";
/// The number of parameters, corrected as the supernet's estimate is.
const CORRECTED_PARAMETERS: &str = "corrected parameters";

/// How well one number orders the networks as training them does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predictor {
    /// Name of the number.
    pub name: String,
    /// Kendall's tau-b, 1 for the same order; `None` where all values are the same, or too few networks could be measured.
    pub correlation: Option<RankCorrelation>,
}

/// Correlations over the networks for which every number is known. `metrics` are the evaluator's; the first orders.
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
        // More of them should mean less error.
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

/// What a metric of a short training is called: by the epochs alone where it is the metric that orders.
fn trained_for(epochs: u32, metric: &str, ordering: &str) -> String {
    let trained = format!("trained {epochs} epoch{}", if epochs == 1 { "" } else { "s" });
    if metric == ordering { trained } else { format!("{trained}, {metric}") }
}

/// A metric of the first training, and its mean over the others; `None` where there are no others.
fn first_and_others(network: &AuditedNetwork, metric: &str) -> Option<(f64, f64)> {
    let (first, others) = network.trained.split_first()?;
    Some((value(first, metric)?, mean(others, metric)?))
}

/// The mean of a metric; `None` if an outcome does not have it, or there is none.
pub(super) fn mean(outcomes: &[Outcome], metric: &str) -> Option<f64> {
    let found = outcomes.iter().map(|outcome| value(outcome, metric)).collect::<Option<Vec<f64>>>()?;
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}

fn value(outcome: &Outcome, metric: &str) -> Option<f64> {
    outcome.measurement().and_then(|found| found.get(metric))
}
