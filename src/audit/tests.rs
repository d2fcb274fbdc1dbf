//! Tests the comparison of predictors and the file of training records.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;

fn measured(metrics: &[(&str, f64)]) -> Outcome {
    let metrics: BTreeMap<String, f64> =
        metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Outcome::from_metrics(metrics)
}

fn network(index: u8, error: f64, estimate: f64) -> AuditedNetwork {
    AuditedNetwork {
        genotype: Genotype::new([index]),
        trained: vec![measured(&[("error_percent", error)])],
        short: BTreeMap::from([(2, measured(&[("error_percent", -error)]))]),
        estimated: measured(&[("error_percent", estimate)]),
        proxy: measured(&[("negative_naswot", f64::from(index))]),
        rivals: None,
        parameters: u64::from(index),
        macs: 7,
    }
}

#[test]
fn every_predictor_is_compared_with_training() {
    // The estimates have the same order as the errors, the numbers of parameters have the reverse order, and
    // all networks have the same MACs.
    let mut networks: Vec<AuditedNetwork> =
        (1..=6).map(|i| network(i, f64::from(i), 50.0 + f64::from(i))).collect();
    // The comparison ignores networks whose training failed.
    networks.push(AuditedNetwork {
        trained: vec![measured(&[("error_percent", f64::NAN)])],
        ..network(9, 0.0, 99.0)
    });
    let compare = |networks: &[AuditedNetwork]| {
        predictors::compare(networks, &["error_percent".to_owned()], "negative_naswot", 1)
    };
    let found = compare(&networks);
    let taus: Vec<(&str, Option<f64>)> = found
        .iter()
        .map(|predictor| (predictor.name.as_str(), predictor.correlation.map(|found| found.tau.round())))
        .collect();
    let expected = [
        ("supernet error_percent", Some(1.0)),
        ("parameters", Some(-1.0)),
        ("macs", None),
        ("negative_naswot", Some(1.0)),
        ("trained 2 epochs", Some(-1.0)),
    ];
    assert_eq!(taus, expected);
    // The second training swaps the ranks of the first two networks. The order of the mean errors stays the
    // same. The second training agrees with the first training on 13 of 15 pairs.
    for (network, again) in networks.iter_mut().zip([2.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0]) {
        network.trained.push(measured(&[("error_percent", again)]));
    }
    let found = compare(&networks);
    let tau = |name: &str| found.iter().find(|found| found.name == name).unwrap().correlation.unwrap().tau;
    assert!((tau("trained again") - 13.0 / 15.0).abs() < 1e-12);
    assert!((tau("supernet error_percent") - 14.0 / (15.0_f64 * 14.0).sqrt()).abs() < 1e-12);
}

#[test]
fn short_trainings_give_predictor_for_every_metric() {
    let mut networks: Vec<AuditedNetwork> = (1..=6).map(|i| network(i, f64::from(i), f64::from(i))).collect();
    for (index, network) in (1..).map(f64::from).zip(&mut networks) {
        network.estimated = measured(&[("error_percent", index), ("loss_nats", -index)]);
        network.short = BTreeMap::from([(1, measured(&[("error_percent", -index), ("loss_nats", index)]))]);
    }
    let metrics = ["error_percent", "loss_nats"].map(str::to_owned);
    let found = predictors::compare(&networks, &metrics, "negative_naswot", 1);
    let tau =
        |name: &str| found.iter().find(|found| found.name == name).unwrap().correlation.unwrap().tau.round();
    assert_eq!((tau("trained 1 epoch"), tau("trained 1 epoch, loss_nats")), (-1.0, 1.0));
    assert_eq!((tau("supernet error_percent"), tau("supernet loss_nats")), (1.0, -1.0));
}

#[test]
fn corrected_estimate_is_listed_with_its_rivals() {
    let mut networks: Vec<AuditedNetwork> = (1..=6).map(|i| network(i, f64::from(i), f64::from(i))).collect();
    let names = |networks: &[AuditedNetwork]| -> Vec<(String, Option<f64>)> {
        let found = predictors::compare(networks, &["error_percent".to_owned()], "negative_naswot", 1);
        let rounded =
            |found: predictors::Predictor| (found.name, found.correlation.map(|found| found.tau.round()));
        found.into_iter().map(rounded).collect()
    };
    assert!(names(&networks).iter().all(|(name, _)| !name.contains("corrected")));
    for (index, network) in (1..).map(f64::from).zip(&mut networks) {
        network.rivals = Some(Rivals { shared: measured(&[("error_percent", -index)]), parameters: index });
    }
    let found = names(&networks);
    for (name, tau) in
        [("supernet error_percent", 1.0), ("uncorrected error_percent", -1.0), ("corrected parameters", 1.0)]
    {
        assert!(found.contains(&(name.to_owned(), Some(tau))), "{name}: {found:?}");
    }
}

#[test]
fn records_drop_unfinished_line_and_report_damaged_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let said = Warnings::default();
    let record = |gene: u8| Record {
        reference: "a".to_owned(),
        genotype: Genotype::new([gene]),
        repeat: u32::from(gene) / 2,
        outcome: measured(&[("error_percent", f64::from(gene))]),
        seconds: 1.0,
    };
    let records = Records::open(&path, &said).unwrap();
    assert!(matches!(Records::open(&path, &said), Err(AuditError::Held { .. })));
    records.append(record(1)).unwrap();
    records.append(record(2)).unwrap();
    drop(records);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 5]).unwrap();
    let records = Records::open(&path, &said).unwrap();
    assert_eq!(records.get("a", &Genotype::new([1]), 0), Some(record(1).outcome));
    assert_eq!(records.get("a", &Genotype::new([2]), 1), None);
    assert_eq!(records.get("b", &Genotype::new([1]), 0), None);
    records.append(record(2)).unwrap();
    drop(records);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    fs::write(&path, format!("{{\n{text}")).unwrap();
    let error = Records::open(&path, &said).err().unwrap().to_string();
    assert!(error.contains("audit.jsonl:1:"), "{error}");
    fs::write(&path, text.replacen("1.0", "1.5", 1)).unwrap();
    let error = Records::open(&path, &said).err().unwrap().to_string();
    assert!(error.contains("audit.jsonl:1:") && error.contains("does not match its `check`"), "{error}");
    assert!(said.0.lock().unwrap().is_empty());
    // An older build wrote records without a check, like this line.
    let old = serde_json::to_string(&record(3)).unwrap();
    fs::write(&path, format!("{text}{old}\n")).unwrap();
    let records = Records::open(&path, &said).unwrap();
    assert_eq!(records.get("a", &Genotype::new([3]), 1), Some(record(3).outcome));
    assert!(said.0.lock().unwrap()[0].contains("are not checked"));
}

/// A progress observer that collects warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        false
    }

    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn reference_training_inherits_supernet_settings_with_given_epochs() {
    let table = serde_json::json!({ "epochs": 30, "warmup_epochs": 3, "subnets": 4, "batch": 8, "ema": 0.9 });
    let settings = Settings::new("evaluator", table.as_object().unwrap().clone());
    let training = |finish, epochs| Value::Object(reference::training(&settings, finish, epochs));
    let expected = serde_json::json!({ "epochs": 2, "warmup_epochs": 1, "batch": 8, "ema": 0.9 });
    assert_eq!(training(None, Some(2)), expected);
    assert_eq!(training(None, None)["epochs"], 30);
}

#[test]
fn reference_training_uses_finish_settings() {
    let table = |value: Value| value.as_object().unwrap().clone();
    let supernet = table(serde_json::json!({ "epochs": 30, "warmup_epochs": 3, "batch": 8, "patience": 2 }));
    let finish =
        table(serde_json::json!({ "epochs": 4, "label_smoothing": 0.1, "formats": [], "mode": "inherit" }));
    let (supernet, finish) = (Settings::new("evaluator", supernet), Settings::new("finish", finish));
    let expected = serde_json::json!({ "epochs": 4, "batch": 8, "label_smoothing": 0.1 });
    assert_eq!(Value::Object(reference::training(&supernet, Some(&finish), None)), expected);
}

#[test]
fn repeats_have_different_seeds() {
    let genotype = Genotype::new([1, 2]);
    let seeds: std::collections::BTreeSet<u64> =
        (0..5).map(|repeat| reference::seed(7, repeat, &genotype)).collect();
    assert_eq!(seeds.len(), 5);
    assert!(seeds.contains(&kiln_search::seed::trial_seed(7, &genotype)));
}

#[test]
fn first_failure_stops_all_threads() {
    let stop = AtomicBool::new(false);
    let plan = AuditPlan {
        networks: NonZeroUsize::MIN,
        epochs: None,
        repeats: NonZeroU32::MIN,
        short: &[],
        workers: 3,
        stop: &stop,
        pool: None,
    };
    let items: Vec<(usize, u32)> = (0..20).map(|index| (index, 0)).collect();
    let seen = AtomicUsize::new(0);
    reference::side_by_side(&items, plan, |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 20);
    let refused = reference::side_by_side(&items, plan, |_| Err(AuditError::TooFew { found: 0, wanted: 1 }));
    assert!(matches!(refused, Err(AuditError::TooFew { .. })));
    stop.store(true, Ordering::Relaxed);
    let stopped = reference::side_by_side(&items, plan, |_| Ok(()));
    assert!(matches!(stopped, Err(AuditError::Eval(kiln_search::EvalError::Interrupted))));
}
