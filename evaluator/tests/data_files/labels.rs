//! Tests labels as other libraries write them: counted from 1, as names, as one-hot rows, as columns, and in
//! half precision.

use kiln_evaluator::data::{DataSet, Split};
use serde_json::{Value, json};

use crate::folder::{Folder, idx, npy, npz};

/// A `.npy` file with this element type in its header.
fn raw_npy(description: &str, shape: &str, is_fortran: bool, bytes: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{description}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes(), bytes].concat()
}

/// Inputs of 12 examples with these labels.
fn arrays(y: &[u8]) -> Folder {
    let folder = Folder::new();
    folder.put("x.npy", npy(&[12, 2], (0..24).map(|value| value as f32)));
    folder.put("y.npy", y);
    folder
}

fn labels(data: &DataSet) -> Vec<u32> {
    (0..data.targets().len() as u32).map(|example| data.label(example)).collect()
}

const EXPECTED: [u32; 12] = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2];

#[test]
fn labels_counted_from_one_give_right_number_of_classes() {
    let folder = arrays(&npy(&[12], (0..12).map(|i| i64::from(i % 3 + 1))));
    let data = folder.open(&json!({ "kind": "npy", "test": 0.25, "validation": 0.3 })).unwrap();
    assert_eq!(
        (data.targets().names().join(" ").as_str(), labels(&data).as_slice()),
        ("1 2 3", EXPECTED.as_slice())
    );
    assert_eq!(data.notes(), ["labels run from 1 to 3: they are read as 3 classes"]);
    let named = json!({ "kind": "npy", "names": ["A", "B", "C"], "test": 0.25, "validation": 0.3 });
    assert_eq!(folder.open(&named).unwrap().targets().names(), ["A", "B", "C"]);
    let wrong = folder.refused(&json!({ "kind": "npy", "names": ["A", "B"] }));
    assert_eq!(wrong, "`data.names`: found 2 names, expected 3 names: labels run from 1 to 3");

    let [images, file] = idx(&[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], 2);
    for (name, bytes) in [("i", &images), ("l", &file), ("j", &images), ("m", &file)] {
        folder.put(name, bytes);
    }
    let mut settings = json!({
        "kind": "idx", "train_images": "i", "train_labels": "l", "test_images": "j", "test_labels": "m",
        "validation": 0.3,
    });
    assert_eq!(folder.open(&settings).unwrap().targets().names(), ["1", "2", "3"]);
    settings["classes"] = json!(["A", "B", "C"]);
    assert_eq!(folder.open(&settings).unwrap().targets().names(), ["A", "B", "C"]);
}

#[test]
fn unused_label_is_noted() {
    let folder = arrays(&npy(&[12], (0..12).map(|i| [0_i64, 1, 4][i % 3])));
    let data = folder.open(&json!({ "kind": "npy", "test": 0.25, "validation": 0.3 })).unwrap();
    assert_eq!(data.notes(), ["no example has the label 2, 3: 2 of 5 classes cannot be learned"]);
}

#[test]
fn names_columns_and_one_hot_rows_are_read_as_labels() {
    let settings = json!({ "kind": "npy", "test": 0.25, "validation": 0.3 });
    let unicode: Vec<u8> = EXPECTED
        .iter()
        .flat_map(|label| ["bär\0", "cat\0", "dogs"][*label as usize].chars().collect::<Vec<_>>())
        .flat_map(|letter| u32::from(letter).to_le_bytes())
        .collect();
    let ascii: Vec<u8> = EXPECTED
        .iter()
        .flat_map(|label| ["a\0", "bb", "c\0"][*label as usize].bytes().collect::<Vec<_>>())
        .collect();
    for (bytes, names) in [
        (raw_npy("<U4", "(12,)", false, &unicode), "bär cat dogs"),
        (raw_npy("<U4", "(12, 1)", false, &unicode), "bär cat dogs"),
        (raw_npy("|S2", "(12,)", false, &ascii), "a bb c"),
        (npy(&[12, 1], EXPECTED.map(i64::from)), "0 1 2"),
        (npy(&[12], EXPECTED.map(f64::from)), "0 1 2"),
        (npy(&[12, 3], (0..36).map(|i| f32::from(u8::from(i % 3 == i / 3 % 3)))), "0 1 2"),
    ] {
        let data = arrays(&bytes).open(&settings).unwrap();
        assert_eq!(
            (data.targets().names().join(" ").as_str(), labels(&data).as_slice()),
            (names, EXPECTED.as_slice())
        );
    }
    // Column-major order, as `numpy.asfortranarray` writes it.
    let columns: Vec<u8> = (0..36).map(|i| u8::from(i % 12 % 3 == i / 12)).collect();
    let data = arrays(&raw_npy("|u1", "(12, 3)", true, &columns)).open(&settings).unwrap();
    assert_eq!(labels(&data), EXPECTED);
}

#[test]
fn half_precision_arrays_are_read() {
    let halves: Vec<u8> = (0..24_u16).flat_map(|i| (0x3C00 + (i << 4)).to_le_bytes()).collect();
    let folder = arrays(&npy(&[12], EXPECTED.map(i64::from)));
    folder.put("x.npy", raw_npy("<f2", "(12, 2)", false, &halves));
    let data = folder.open(&json!({ "kind": "npy", "test": 0.25, "validation": 0.3 })).unwrap();
    assert_eq!(data.example(1), [1.0 + 32.0 / 1024.0, 1.0 + 48.0 / 1024.0]);
}

#[test]
fn npz_archive_arrays_are_read() {
    let x = npy(&[12, 2], (0..24).map(|value| value as f32));
    let y = npy(&[12], EXPECTED.map(i64::from));
    let shares = json!({ "test": 0.25, "validation": 0.3 });
    let with = |files: Value| {
        let mut settings = shares.clone();
        settings.as_object_mut().unwrap().extend(files.as_object().unwrap().clone());
        settings
    };
    for is_deflated in [false, true] {
        let folder = Folder::new();
        folder.put("data.npz", npz(&[("x", x.clone()), ("y", y.clone()), ("y_new", y.clone())], is_deflated));
        folder.put("alone.npz", npz(&[("arr_0", y.clone())], is_deflated));
        for files in [
            json!({ "kind": "npy", "x": "data.npz", "y": "data.npz" }),
            json!({ "kind": "npy", "x": "data.npz:x", "y": "data.npz:y_new" }),
            json!({ "kind": "npy", "x": "data.npz", "y": "alone.npz" }),
        ] {
            let data = folder.open(&with(files)).unwrap();
            assert_eq!(
                (data.example(3), labels(&data).as_slice()),
                ([6.0, 7.0].as_slice(), EXPECTED.as_slice())
            );
        }
        let said = folder.refused(&json!({ "kind": "npy", "x": "data.npz:images", "y": "data.npz" }));
        let expected = "data.npz: the archive: found no array `images`, expected one of `x`, `y`, `y_new`, \
                        such as `FILE.npz:x`";
        assert_eq!(said, expected);
        let bytes = npz(&[("x", x.clone()), ("y", y.clone())], is_deflated);
        folder.put("data.npz", &bytes[..bytes.len() - 30]);
        let said = folder.refused(&json!({ "kind": "npy", "x": "data.npz", "y": "data.npz" }));
        assert!(said.contains("found no directory, expected a whole archive"), "{said}");
    }
}

#[test]
fn unreadable_arrays_are_refused_with_advice() {
    let settings = json!({ "kind": "npy" });
    let objects = arrays(&raw_npy("|O", "(12,)", false, b"\x80")).refused(&settings);
    assert!(objects.contains("not Python objects; convert names to text with `astype(str)`"), "{objects}");
    let scores = arrays(&npy(&[12, 2], (0..24).map(|i| i as f32 / 8.0))).refused(&settings);
    assert!(scores.contains("`argmax(axis=1)`"), "{scores}");
    let constant = arrays(&npy(&[12], [2.5; 12])).refused(&json!({ "kind": "npy", "task": "regression" }));
    assert!(
        constant.contains("found 2.5 in every row of column 0, expected a target that varies"),
        "{constant}"
    );
}

#[test]
fn limit_selects_exact_number_and_notes_rare_classes() {
    // 1740 examples. One class has 1 example, and another has 2.
    let class = |i: u32| {
        if i == 0 {
            11
        } else if i < 3 {
            10
        } else {
            i % 10
        }
    };
    let folder = Folder::new();
    folder.put("x.npy", npy(&[1740, 1], (0..1740).map(|value| value as f32)));
    folder.put("y.npy", npy(&[1740], (0..1740).map(|i| i64::from(class(i)))));
    let sizes =
        |data: &DataSet| [Split::Train, Split::Validation, Split::Test].map(|split| data.split(split).len());
    let data = folder.open(&json!({ "kind": "npy" })).unwrap();
    assert_eq!(sizes(&data).iter().sum::<usize>(), 1740);
    let found = data.findings().join("\n");
    assert!(found.contains("1 of 12 classes have one example, which is for training: `11`"), "{found}");
    assert!(found.contains("have no test example, so nothing is measured of them: `10`"), "{found}");
    let [train, validation, _] = sizes(&folder.open(&json!({ "kind": "npy", "limit": 100 })).unwrap());
    assert_eq!(train + validation, 100);

    folder.put("x.npy", npy(&[80, 1], (0..80).map(|value| value as f32)));
    folder.put("y.npy", npy(&[80], (0..80).map(|i| i64::from(i % 40))));
    let said = folder.refused(&json!({ "kind": "npy" }));
    assert!(
        said.contains("no shares are possible") && said.contains("classes of at least 3 examples"),
        "{said}"
    );
}
