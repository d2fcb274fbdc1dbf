use kiln_search::{Fidelity, MeasuredUnder};

use super::*;

fn network(trial: TrialId, error: f64, latency: f64) -> Network {
    let values = |pairs: &[(&str, f64)]| -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    Network {
        trial,
        genotype: trial.to_string(),
        fidelity: Fidelity::Full,
        objectives: values(&[("error_percent", error), ("latency_us", latency)]),
        metrics: values(&[("error_percent", error)]),
        costs: values(&[("latency_us", latency)]),
    }
}

fn measured(trial: TrialId, predicted: f64, latency: Option<f64>) -> MeasuredLatency {
    let outcome = match latency {
        Some(latency_us) => LatencyOutcome::Measured {
            latency_us,
            low_us: 0.99 * latency_us,
            high_us: 1.01 * latency_us,
            runs: 30,
        },
        None => LatencyOutcome::Failed { reason: "no \u{1b}[2J memory".to_owned() },
    };
    MeasuredLatency {
        trial,
        device: "board".to_owned(),
        conditions: MeasuredUnder {
            runtime: "command".to_owned(),
            runtime_version: String::new(),
            command: None,
            batch: 1,
            threads: 1,
        },
        file: "f".to_owned(),
        predicted_us: Interval::relative(predicted, 0.25),
        outcome,
    }
}

fn objectives() -> Vec<String> {
    ["error_percent", "latency_us"].map(str::to_owned).to_vec()
}

#[test]
fn network_that_dominates_after_measuring_is_named() {
    // The fast network takes four times as long as predicted, the slow one as long as predicted. The
    // geometric mean is 2, so the third network is expected to take 2 * 90 = 180 us.
    let front = [network(1, 3.0, 50.0), network(2, 1.0, 100.0), network(3, 2.0, 90.0)];
    let found = disagreements(
        &[measured(1, 50.0, Some(200.0)), measured(2, 100.0, Some(100.0))],
        &front,
        &objectives(),
        &BTreeMap::new(),
    );
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].trial, &found[0].better), (1, &vec![2, 3]));
    assert!((found[0].scale - 2.0).abs() < 1e-12 && (found[0].ratio - 4.0).abs() < 1e-12);
    assert_eq!(
        found[0].to_string(),
        "Trial 1 takes 4.00 times as long on board as predicted: trials 2, 3 would now be better, if \
         predictions of the networks that were not measured are off by 2.00"
    );
}

#[test]
fn one_factor_for_all_networks_changes_no_order_and_a_limit_counts() {
    let front = [network(1, 1.0, 100.0), network(2, 2.0, 50.0)];
    let one = [measured(1, 100.0, Some(150.0))];
    let found = disagreements(&one, &front, &objectives(), &BTreeMap::new());
    assert_eq!((found[0].better.as_slice(), found[0].exceeded_limit_us), (&[][..], None));
    // With the same factor, the second network takes 75 us, which the limit allows.
    let limits = BTreeMap::from([("board".to_owned(), 120.0)]);
    let found = disagreements(&one, &front, &objectives(), &limits);
    assert_eq!((found[0].better.as_slice(), found[0].exceeded_limit_us), (&[2][..], Some(120.0)));
    let as_predicted = [measured(1, 100.0, Some(120.0)), measured(2, 50.0, None)];
    assert_eq!(disagreements(&as_predicted, &front, &objectives(), &limits), []);
}

#[test]
fn measurement_is_shown_beside_its_prediction_without_control_characters() {
    assert_eq!(
        said(&measured(3, 100.0, Some(150.0))),
        "measured trial 3: Latency on board: predicted 100.0 µs (80.00 - 125.0), measured 150.0 µs \
         (148.5 - 151.5), ratio 1.50, outside the predicted interval"
    );
    let failed = said(&measured(3, 100.0, None));
    assert!(failed.contains("not measured: no") && !failed.contains('\u{1b}'), "{failed}");
}
