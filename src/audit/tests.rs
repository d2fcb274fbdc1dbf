//! The comparison, and the file of trained networks.

use std::collections::BTreeMap;
use std::fs;

use super::*;

fn measured(metrics: &[(&str, f64)]) -> Outcome {
    let metrics: BTreeMap<String, f64> =
        metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Outcome::from_metrics(metrics)
}

fn network(index: u8, error: f64, estimate: f64) -> AuditedNetwork {
    AuditedNetwork {
        genotype: Genotype::new([index]),
        trained: measured(&[("error_percent", error)]),
        estimated: measured(&[("error_percent", estimate)]),
        proxy: measured(&[("negative_naswot", f64::from(index))]),
        parameters: u64::from(index),
        macs: 7,
    }
}

#[test]
fn each_number_is_held_against_what_training_measured() {
    // Estimates in the order of the errors, parameters against it, MACs all the same.
    let mut networks: Vec<AuditedNetwork> =
        (1..=6).map(|i| network(i, f64::from(i), 50.0 + f64::from(i))).collect();
    // What could not be trained does not count.
    networks
        .push(AuditedNetwork { trained: measured(&[("error_percent", f64::NAN)]), ..network(9, 0.0, 99.0) });
    let audit = Audit::compare(networks, &["error_percent".to_owned()], "negative_naswot", 1);
    let taus: Vec<(&str, Option<f64>)> = audit
        .predictors
        .iter()
        .map(|predictor| (predictor.name.as_str(), predictor.correlation.map(|found| found.tau.round())))
        .collect();
    let expected = [
        ("supernet error_percent", Some(1.0)),
        ("parameters", Some(-1.0)),
        ("macs", None),
        ("negative_naswot", Some(1.0)),
    ];
    assert_eq!(taus, expected);
    assert_eq!(audit.networks.len(), 7);
}

#[test]
fn records_survive_an_unfinished_line_and_name_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let record = |gene: u8| Record {
        reference: "a".to_owned(),
        genotype: Genotype::new([gene]),
        outcome: measured(&[("error_percent", f64::from(gene))]),
        seconds: 1.0,
    };
    let records = Records::open(&path).unwrap();
    assert!(matches!(Records::open(&path), Err(AuditError::Held { .. })));
    records.append(record(1)).unwrap();
    records.append(record(2)).unwrap();
    drop(records);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 5]).unwrap();
    let records = Records::open(&path).unwrap();
    assert_eq!(records.get("a", &Genotype::new([1])), Some(record(1).outcome));
    assert_eq!(records.get("a", &Genotype::new([2])), None);
    assert_eq!(records.get("b", &Genotype::new([1])), None);
    records.append(record(2)).unwrap();
    drop(records);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    fs::write(&path, format!("{{\n{text}")).unwrap();
    let error = Records::open(&path).err().unwrap().to_string();
    assert!(error.contains("audit.jsonl:1:"), "{error}");
}

#[test]
fn a_network_of_its_own_is_trained_as_the_supernet_with_fewer_epochs() {
    let table = serde_json::json!({ "epochs": 30, "warmup_epochs": 3, "subnets": 4, "batch": 8, "ema": 0.9 });
    let settings = Settings::new("evaluator", table.as_object().unwrap().clone());
    let expected = serde_json::json!({ "epochs": 2, "warmup_epochs": 1, "batch": 8, "ema": 0.9 });
    assert_eq!(Value::Object(training(&settings, Some(2))), expected);
    assert_eq!(training(&settings, None)["epochs"], 30);
}

#[test]
fn the_first_failure_ends_the_work() {
    let stop = AtomicBool::new(false);
    let plan = AuditPlan { networks: NonZeroUsize::MIN, epochs: None, workers: 3, stop: &stop };
    let items: Vec<usize> = (0..20).collect();
    let seen = AtomicUsize::new(0);
    side_by_side(&items, plan, |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 20);
    let refused = side_by_side(&items, plan, |_| Err(AuditError::TooFew { found: 0, wanted: 1 }));
    assert!(matches!(refused, Err(AuditError::TooFew { .. })));
    stop.store(true, Ordering::Relaxed);
    let stopped = side_by_side(&items, plan, |_| Ok(()));
    assert!(matches!(stopped, Err(AuditError::Eval(kiln_search::EvalError::Interrupted))));
}
