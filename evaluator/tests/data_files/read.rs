//! Tests the data that are read from each file format.

use flate2::Compression;
use flate2::write::GzEncoder;
use image::ImageFormat;
use kiln_evaluator::data::{DataSet, Split, Targets};
use kiln_space::Shape;
use serde_json::json;
use std::io::Write;

use crate::folder::{Folder, cifar10, cifar100, image, npy};

fn labels(data: &DataSet, split: Split) -> Vec<u32> {
    data.split(split).iter().map(|example| data.label(*example)).collect()
}

#[test]
fn cifar_records_are_read() {
    let folder = Folder::new();
    let batch: Vec<u8> = (0..20).map(|i| i % 10).collect();
    for number in 1..=5 {
        folder.put(&format!("data_batch_{number}.bin"), cifar10(&batch));
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&cifar10(&[7, 3])).unwrap();
    folder.put("test_batch.bin.gz", packed.finish().unwrap());
    let data = folder.open(&json!({ "kind": "cifar" })).unwrap();
    assert_eq!(data.shape(), Shape::new(3, 32, 32));
    assert_eq!(data.targets().names().len(), 10);
    assert_eq!(labels(&data, Split::Test), [7, 3]);
    assert_eq!((data.split(Split::Train).len(), data.split(Split::Validation).len()), (90, 10));
    let second = data.split(Split::Test)[1];
    assert_eq!(data.example(second)[..3], [1.0, 2.0, 3.0], "red comes first, row by row");
    assert_eq!(data.example(second)[1024].to_bits(), 1.0_f32.to_bits(), "then green: 1 + 1024 modulo 256");

    folder
        .put("batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
    let settings = json!({
        "kind": "cifar", "train": ["data_batch_2.bin", "data_batch_4.bin"], "test": 0.5, "validation": 0.5,
    });
    let data = folder.open(&settings).unwrap();
    assert_eq!(data.targets().names()[9], "truck");
    assert_eq!(data.split(Split::Test).len(), 20, "held out of the training files");
}

#[test]
fn cifar100_fine_and_coarse_labels_are_read() {
    let folder = Folder::new();
    let pairs: Vec<[u8; 2]> = (0..100).map(|fine| [fine % 20, fine]).collect();
    folder.put("train.bin", cifar100(&pairs));
    folder.put("test.bin", cifar100(&[[3, 99]]));
    let fine = folder.open(&json!({ "kind": "cifar", "variant": "cifar100", "validation": 0.4 }));
    // Each class has one example. A fraction of 40 % of one example rounds to zero, so the validation split
    // would be empty.
    assert!(fine.unwrap_err().to_string().contains("0 validation"));
    let fine = folder.open(&json!({ "kind": "cifar", "variant": "cifar100", "validation": 0.6 }));
    assert!(fine.unwrap_err().to_string().contains("0 training"));
    let coarse =
        folder.open(&json!({ "kind": "cifar", "variant": "cifar100-coarse", "validation": 0.2 })).unwrap();
    assert_eq!((coarse.targets().names().len(), labels(&coarse, Split::Test)), (20, vec![3]));
    folder.put("train.bin", [cifar100(&pairs), cifar100(&pairs)].concat());
    let fine = folder.open(&json!({ "kind": "cifar", "variant": "cifar100", "validation": 0.5 })).unwrap();
    assert_eq!((fine.targets().names().len(), labels(&fine, Split::Test)), (100, vec![99]));
}

#[test]
fn image_folders_are_read() {
    let folder = Folder::new();
    for index in 0..10 {
        folder.put(&format!("train/red/{index}.png"), image(4, 6, [200, index, 0], ImageFormat::Png));
        folder.put(&format!("train/green/{index}.JPG"), image(4, 6, [0, 200, 0], ImageFormat::Jpeg));
    }
    folder.put("train/red/.DS_Store", "hidden files are left alone");
    folder.put("test/red/a.jpeg", image(4, 6, [200, 0, 0], ImageFormat::Png));
    let data = folder.open(&json!({ "kind": "images" })).unwrap();
    assert_eq!(data.shape(), Shape::new(3, 4, 6));
    assert_eq!(data.targets().names(), ["green", "red"]);
    assert_eq!(labels(&data, Split::Test), [1]);
    let example = data.example(data.split(Split::Test)[0]);
    assert_eq!(example[..24], [200.0; 24], "the red plane comes first; what a file is shows its content");
    assert_eq!(example[24..], [0.0; 48]);

    folder.put("train/red/large.png", image(9, 9, [200, 0, 0], ImageFormat::Png));
    let said = folder.refused(&json!({ "kind": "images" }));
    let expected = "1 of 22 files cannot be read: `train/red/large.png` (9 x 9 pixels, expected 4 x 6 as in \
                    the first image; \
                    set `size = [height, width]` to resize)";
    assert!(said.ends_with(expected), "{said}");
    let settings = json!({ "kind": "images", "size": [5, 3], "color": "gray" });
    assert_eq!(folder.open(&settings).unwrap().shape(), Shape::new(1, 5, 3));
    let beside = folder.refused(&json!({ "kind": "images", "size": [5, 3], "test": 0.2 }));
    assert!(beside.starts_with("`data.test`: found 0.2, expected no share: the folder `"), "{beside}");
}

#[test]
fn tables_with_classes_are_read() {
    let folder = Folder::new();
    let row = |row: usize| {
        let (color, kind) = (["red", "blue"][row % 2], ["10", "9", "\"b, c\""][row % 3]);
        format!("{row}, {}.5 ,\"{color}\",{kind}\r\n", row * 2)
    };
    let table = "id,size,color,kind\n".to_owned() + &(0..30).map(row).collect::<String>();
    folder.put("table.csv", table);
    let settings = json!({
        "kind": "csv", "file": "table.csv", "target": "kind",
        "features": ["size", "color"], "categorical": ["color"]
    });
    let data = folder.open(&settings).unwrap();
    assert_eq!(data.shape(), Shape::vector(4));
    assert_eq!(data.input(), "size, color=blue, color=red, color is unseen");
    assert_eq!(data.targets().names(), ["9", "10", "b, c"], "numbers by value, then names");
    assert_eq!(data.example(3), [6.5, 1.0, 0.0, 0.0]);
    assert_eq!(data.label(3), 1);

    folder.put("new.csv", "color,size,id,kind\nred,1,0,9\nblue,2,0,10\n");
    let mut settings = settings;
    settings["test_file"] = json!("new.csv");
    let data = folder.open(&settings).unwrap();
    let test = data.split(Split::Test);
    assert_eq!(data.example(test[0]), [1.0, 0.0, 1.0, 0.0], "columns are found by their names in each file");
    assert_eq!(labels(&data, Split::Test), [0, 1]);
}

#[test]
fn tables_with_values_are_read() {
    let folder = Folder::new();
    let rows = (0..40).map(|row| format!("{row};{};{}", 2 * row, 100 - row)).collect::<Vec<_>>().join("\n");
    folder.put("table.csv", format!("\u{feff}x;y;z\n{rows}"));
    let settings = json!({
        "kind": "csv", "file": "table.csv", "separator": ";", "task": "regression", "target": ["y", "z"]
    });
    let data = folder.open(&settings).unwrap();
    assert!(data.is_regression());
    assert_eq!((data.task().outputs, data.input()), (2, "x"));
    assert_eq!(data.values(7), [14.0, 93.0]);
    let (mean, deviation) = data.target_normalization();
    assert_eq!((mean.len(), deviation.len()), (2, 2));
    let training = data.split(Split::Train);
    let expected: f32 =
        training.iter().map(|example| data.values(*example)[0]).sum::<f32>() / training.len() as f32;
    assert!((mean[0] - expected).abs() < 1e-4, "{mean:?} {expected}");
    assert!((deviation[0] / deviation[1] - 2.0).abs() < 1e-5);
}

#[test]
fn arrays_are_read() {
    let folder = Folder::new();
    folder.put("x.npy", npy(&[40, 2, 3, 2], (0..480).map(|value| value as u8)));
    folder.put("y.npy", npy(&[40], (0..40).map(|value| i64::from(value % 4))));
    let data = folder.open(&json!({ "kind": "npy" })).unwrap();
    assert_eq!((data.shape(), data.task().outputs), (Shape::new(2, 3, 2), 4));
    assert_eq!(data.example(1), (12..24).map(|value| value as f32).collect::<Vec<_>>());
    let names = json!({ "kind": "npy", "channels": "last", "names": ["a", "b", "c", "d"] });
    let data = folder.open(&names).unwrap();
    assert_eq!(data.shape(), Shape::new(2, 2, 3));
    assert_eq!(data.example(0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
    assert_eq!(data.targets().names()[3], "d");

    folder.put("a.npy", npy(&[40, 3], (0..120).map(f64::from)));
    folder.put("b.npy", npy(&[40, 2], (0..80).map(|value| value as f32 / 4.0)));
    let data =
        folder.open(&json!({ "kind": "npy", "x": "a.npy", "y": "b.npy", "task": "regression" })).unwrap();
    assert_eq!((data.shape(), data.values(2)), (Shape::vector(3), [1.0, 1.25].as_slice()));
    assert!(matches!(data.targets(), Targets::Values { names, .. } if names.len() == 2));
    let files = json!({
        "kind": "npy", "x": "a.npy", "y": "b.npy", "test_x": "a.npy", "test_y": "b.npy", "task": "regression",
    });
    assert_eq!(folder.open(&files).unwrap().split(Split::Test).len(), 40);
}
