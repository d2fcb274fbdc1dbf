//! Tests splits that the user defines by files, by a column, by groups or by time.

use std::collections::BTreeSet;

use kiln_evaluator::data::{DataSet, Split};
use serde_json::{Value, json};

use crate::folder::{Folder, npy};

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

fn sizes(data: &DataSet) -> [usize; 3] {
    SPLITS.map(|split| data.split(split).len())
}

/// Writes a table of 60 lines. `x` counts the lines, each of 12 patients has 5 lines, and the day decreases
/// from line to line.
fn folder() -> Folder {
    let folder = Folder::new();
    let row = |row: usize| {
        let part = ["train", "train", "val", "TEST"][row % 4];
        format!(
            "{row},p{},{part},{},2024-{:02}-{:02},{}\n",
            row / 5,
            row % 5,
            6 - row / 20,
            28 - row % 20,
            row % 2
        )
    };
    folder.put("t.csv", "x,patient,part,fold,day,y\n".to_owned() + &(0..60).map(row).collect::<String>());
    folder
}

fn csv(split: &Value) -> Value {
    json!({ "kind": "csv", "file": "t.csv", "target": "y", "features": ["x"], "split": split })
}

#[test]
fn split_column_assigns_examples() {
    let data = folder().open(&csv(&json!({ "column": "part" }))).unwrap();
    assert_eq!(sizes(&data), [30, 15, 15]);
    assert!(data.split(Split::Test).iter().all(|row| row % 4 == 3));
    assert!(data.split(Split::Validation).iter().all(|row| row % 4 == 2));
    let mut shared = csv(&json!({ "column": "part" }));
    shared["test"] = json!(0.2);
    assert!(folder().refused(&shared).starts_with("`data.test`: found 0.2, expected no share"));
    let said = folder().refused(&csv(&json!({ "column": "patient" })));
    assert!(said.contains("column `patient`: found `p0`, expected `train`, `validation`, `test`"), "{said}");
}

#[test]
fn fold_columns_assign_examples() {
    let data = folder().open(&csv(&json!({ "column": "fold", "validation": [3], "test": ["4"] }))).unwrap();
    assert_eq!(sizes(&data), [36, 12, 12]);
    assert!(data.split(Split::Test).iter().all(|row| row % 5 == 4));
    let missing = folder().refused(&csv(&json!({ "column": "fold", "test": [9] })));
    assert!(missing.contains("column `fold`: found no line with `9`"), "{missing}");
    let both = folder().refused(&csv(&json!({ "column": "fold", "test": [1], "validation": [1] })));
    assert!(both.contains("each fold in one split"), "{both}");
    let none = folder().refused(&csv(&json!({ "test": [1] })));
    assert!(none.contains("folds without a column"), "{none}");
}

#[test]
fn groups_are_never_divided_between_splits() {
    for seed in 0..5 {
        let mut settings = csv(&json!({ "group": "patient" }));
        settings["split_seed"] = json!(seed);
        let data = folder().open(&settings).unwrap();
        assert_eq!(sizes(&data).iter().sum::<usize>(), 60);
        let sides = SPLITS.map(|split| data.split(split).iter().map(|row| row / 5).collect::<BTreeSet<_>>());
        assert!(sides.iter().all(|side| !side.is_empty()));
        assert!(
            sides[0].is_disjoint(&sides[1])
                && sides[0].is_disjoint(&sides[2])
                && sides[1].is_disjoint(&sides[2])
        );
    }
    let folder = folder();
    folder.put("new.csv", "x,patient,part,fold,day,y\n1,p3,train,0,2024-01-01,0\n");
    let mut settings = csv(&json!({ "group": "patient" }));
    settings["test_file"] = json!("new.csv");
    let said = folder.refused(&settings);
    assert!(said.contains("found the group `p3` in two files"), "{said}");
}

#[test]
fn time_split_trains_on_past_and_tests_on_future() {
    let data = folder().open(&csv(&json!({ "time": "day" }))).unwrap();
    // The first line has the latest day.
    let [train, validation, test] = SPLITS.map(|split| data.split(split).to_vec());
    assert_eq!([train.len(), validation.len(), test.len()], [38, 10, 12]);
    assert!(test.iter().all(|row| validation.iter().all(|earlier| earlier > row)));
    assert!(validation.iter().all(|row| train.iter().all(|earlier| earlier > row)));
    let said = folder().refused(&csv(&json!({ "time": "patient" })));
    assert!(said.contains("a number, or a date such as `2024-05-31`"), "{said}");
    let two = folder().refused(&csv(&json!({ "time": "day", "group": "patient" })));
    assert!(two.starts_with("`data.split`: found several of them"), "{two}");
}

#[test]
fn validation_file_becomes_validation_split() {
    let folder = folder();
    folder.put("judge.csv", "y,x,patient,part,fold,day\n1,500,,,,\n0,501,,,,\n");
    let settings = json!({
        "kind": "csv", "file": "t.csv", "target": "y", "features": ["x"], "validation_file": "judge.csv"
    });
    let data = folder.open(&settings).unwrap();
    assert_eq!(sizes(&data), [48, 2, 12]);
    let judged: Vec<f32> = data.split(Split::Validation).iter().map(|row| data.example(*row)[0]).collect();
    assert_eq!(judged, [500.0, 501.0]);
    let mut both = settings;
    both["validation"] = json!(0.2);
    assert!(folder.refused(&both).contains("`validation_file`, but not both"));

    folder.put("x.npy", npy(&[20, 1], (0..20).map(|value| value as f32)));
    folder.put("y.npy", npy(&[20], (0..20).map(|value| i64::from(value % 2))));
    folder.put("vx.npy", npy(&[2, 1], [70.0_f32, 71.0]));
    folder.put("vy.npy", npy(&[2], [0_i64, 1]));
    let mut arrays = json!({ "kind": "npy", "validation_x": "vx.npy", "validation_y": "vy.npy" });
    assert_eq!(sizes(&folder.open(&arrays).unwrap()), [16, 2, 4]);
    arrays["validation"] = json!(0.1);
    assert!(folder.refused(&arrays).starts_with("`data.validation_x`: found some of them"));
}
