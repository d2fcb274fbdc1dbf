//! Real data sets, in the folder that the environment variable `KILN_DATA` names.

use std::env;
use std::fs;
use std::path::PathBuf;

use kiln_evaluator::data::Split;
use kiln_space::Shape;
use serde_json::json;

use crate::folder::{Folder, open};

/// The folder of real data. Tests that need it are marked `ignore`, and run where `KILN_DATA` is set.
fn data() -> PathBuf {
    env::var_os("KILN_DATA").map(PathBuf::from).expect("`KILN_DATA` names the folder of real data")
}

#[test]
#[ignore = "needs KILN_DATA: CIFAR-10"]
fn published_cifar10_is_read() {
    let folder = data();
    let settings = json!({ "kind": "cifar", "train": ["data_batch_1_first4000.bin"], "test": 0.25 });
    let data = open(&settings, Some(&folder.join("cifar10"))).unwrap();
    assert_eq!(data.shape(), Shape::new(3, 32, 32));
    assert_eq!(data.targets().names()[0], "airplane");
    // The first image of the first batch is a frog.
    assert_eq!(data.targets().names()[data.label(0) as usize], "frog");
    assert_eq!(data.example(0)[..3], [59.0, 43.0, 50.0]);
    let count = [Split::Train, Split::Validation, Split::Test].map(|split| data.split(split).len());
    assert_eq!(count.iter().sum::<usize>(), 4000);
    let (mean, deviation) = data.normalization();
    assert!(
        mean.iter().all(|mean| (100.0..140.0).contains(mean))
            && deviation.iter().all(|d| (55.0..75.0).contains(d))
    );
}

#[test]
#[ignore = "needs KILN_DATA: the UCI tables"]
fn published_uci_tables_are_read() {
    let folder = data();
    for (file, rows, features, classes) in
        [("iris", 150, 4, 3), ("wine_data", 178, 13, 3), ("breast_cancer", 569, 30, 2)]
    {
        let text = fs::read_to_string(folder.join("uci_tabular").join(format!("{file}.csv"))).unwrap();
        // The first line contains counts instead of column names.
        let (_, lines) = text.split_once('\n').unwrap();
        let names: Vec<String> = (0..features).map(|i| format!("x{i}")).collect();
        let own = Folder::new();
        own.put("table.csv", format!("{},class\n{lines}", names.join(",")));
        let data = own.open(&json!({ "kind": "csv", "file": "table.csv", "target": "class" })).unwrap();
        assert_eq!((data.task().input, data.task().outputs), (Shape::vector(features), classes), "{file}");
        let count = [Split::Train, Split::Validation, Split::Test].map(|split| data.split(split).len());
        assert_eq!(count.iter().sum::<usize>(), rows, "{file}");
    }
}
