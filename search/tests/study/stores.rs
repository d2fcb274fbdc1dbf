//! Tests that every store obeys the laws of stores.

use std::path::Path;
use std::thread;
use std::time::Duration;

use kiln_search::{FailureKind, Fidelity, Key, MemoryStore, Outcome, SledStore, Store, StudyError};
use kiln_space::Genotype;

fn entries() -> Vec<(Key, Outcome)> {
    let mut entries = Vec::new();
    for fingerprint in ["a", "b"] {
        for gene in 0..20 {
            for fidelity in [Fidelity::Proxy, Fidelity::Epochs(3), Fidelity::Full] {
                let genotype = Genotype::new([gene, 1, 255]);
                let value = 0.1 + f64::from(gene) / 3.0;
                let outcome = if gene % 5 == 0 {
                    Outcome::Failed { kind: FailureKind::Diverged, reason: format!("loss of {value}") }
                } else {
                    Outcome::from_metrics([("error_percent".to_owned(), value)].into())
                };
                entries.push((Key { fingerprint: fingerprint.to_owned(), genotype, fidelity }, outcome));
            }
        }
    }
    entries
}

/// Checks that `get` returns the outcome of the last `put`, that other keys have no outcome, and that `iter`
/// returns each entry once.
fn check_store(store: &dyn Store) {
    let mut entries = entries();
    for (key, outcome) in &entries {
        assert_eq!(store.get(key).unwrap(), None);
        store.put(key, outcome).unwrap();
        assert_eq!(store.get(key).unwrap().as_ref(), Some(outcome));
    }
    let replaced = entries[0].1.clone();
    entries[1].1 = replaced;
    store.put(&entries[1].0, &entries[1].1).unwrap();
    store.flush().unwrap();
    check_holds(store, &entries);
}

fn check_holds(store: &dyn Store, expected: &[(Key, Outcome)]) {
    let mut found: Vec<_> = store.iter().map(Result::unwrap).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected = expected.to_vec();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
    for (key, outcome) in &expected {
        assert_eq!(store.get(key).unwrap().as_ref(), Some(outcome));
    }
}

#[test]
fn every_store_keeps_the_laws() {
    check_store(&MemoryStore::default());
    let folder = tempfile::tempdir().unwrap();
    check_store(&SledStore::open(folder.path()).unwrap());
}

#[test]
fn flushed_entries_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let entries = entries();
    let store = SledStore::open(folder.path()).unwrap();
    for (key, outcome) in &entries {
        store.put(key, outcome).unwrap();
    }
    store.flush().unwrap();
    // The copied files equal the files after a crash at this moment.
    let copy = tempfile::tempdir().unwrap();
    copy_files(folder.path(), copy.path());
    check_holds(&SledStore::open(copy.path()).unwrap(), &entries);
    drop(store);
    check_holds(&SledStore::open(folder.path()).unwrap(), &entries);
}

#[test]
fn record_of_a_newer_build_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (key, outcome) = entries().swap_remove(0);
    let store = SledStore::open(folder.path()).unwrap();
    store.put(&key, &outcome).unwrap();
    store.flush().unwrap();
    drop(store);
    // If another test starts a process, that process can briefly keep all locks.
    let db = (0..20)
        .find_map(|_| sled::open(folder.path()).map_err(|_| thread::sleep(Duration::from_millis(10))).ok())
        .expect("the store was closed");
    let (bytes, mut value) = db.iter().next().unwrap().map(|(key, value)| (key, value.to_vec())).unwrap();
    value[0] = 200;
    db.insert(bytes, value).unwrap();
    db.flush().unwrap();
    drop(db);
    let store = SledStore::open(folder.path()).unwrap();
    assert!(matches!(store.get(&key), Err(StudyError::Newer { version: 200, .. })));
    assert!(matches!(store.iter().next(), Some(Err(StudyError::Newer { .. }))));
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&place).unwrap();
            copy_files(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
