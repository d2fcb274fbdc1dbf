//! Tests damaged files of every format. Reading such a file returns data or an error. It neither panics nor
//! allocates much more memory than the size of the file.

use image::ImageFormat;
use kiln_damage::check_damaged;
use serde_json::{Value, json};

use crate::folder::{Folder, cifar10, cifar100, idx, image, npy, npz};

/// Opens the data set with a damaged `file`. The other files are intact.
fn check(others: &[(&str, Vec<u8>)], file: &str, valid: &[Vec<u8>], settings: &Value) {
    let folder = Folder::new();
    for (name, bytes) in others {
        folder.put(name, bytes);
    }
    check_damaged(valid, |bytes| {
        folder.put(file, bytes);
        drop(folder.open(settings));
    });
}

#[test]
fn damaged_idx_files_do_not_panic() {
    let labels: Vec<u8> = (0..20).map(|i| i % 4).collect();
    let [images, labels] = idx(&labels, 3);
    let settings = json!({
        "kind": "idx", "train_images": "i", "train_labels": "l", "test_images": "j", "test_labels": "m",
    });
    let whole = [("i", images.clone()), ("l", labels.clone()), ("j", images.clone()), ("m", labels.clone())];
    check(&whole, "i", &[images], &settings);
    check(&whole, "l", &[labels], &settings);
}

#[test]
fn damaged_cifar_files_do_not_panic() {
    let settings = json!({ "kind": "cifar", "train": ["a.bin"], "test": 0.2 });
    check(&[], "a.bin", &[cifar10(&[0, 1, 0, 1, 0, 1])], &settings);
    let settings = json!({ "kind": "cifar", "variant": "cifar100", "train": ["a.bin"], "test": 0.2 });
    check(&[], "a.bin", &[cifar100(&[[0, 1], [1, 2], [0, 1]])], &settings);
}

#[test]
fn damaged_tables_do_not_panic() {
    let table = "size,color,y\n".to_owned() + &"1.5,red,a\n-2e3,\"blue\",b\n".repeat(8);
    let settings = json!({ "kind": "csv", "file": "t.csv", "target": "y", "categorical": ["color"] });
    check(&[], "t.csv", &[table.clone().into_bytes()], &settings);
    let settings =
        json!({ "kind": "csv", "file": "t.csv", "target": "size", "features": ["n"], "task": "regression" });
    check(&[], "t.csv", &[("size,n\n".to_owned() + &"1,2\n3.5,4\n".repeat(8)).into_bytes()], &settings);
    let packed = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    check(&[], "t.csv.gz", &[packed(&table)], &settings);
    let wide: Vec<u8> = ("\u{FEFF}".to_owned() + &table).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let settings = json!({
        "kind": "csv", "file": "t.csv", "target": "y", "categorical": ["color"], "missing": "mean",
        "split": { "group": "color" }
    });
    check(&[], "t.csv", &[wide, table.into_bytes()], &settings);
    let days = "day,x,y\n".to_owned() + &"2024-05-31T12:30Z,1,a\n1999-01-01,NA,b\n".repeat(8);
    let settings = json!({
        "kind": "csv", "file": "t.csv", "target": "y", "missing": "most_frequent", "split": { "time": "day" }
    });
    check(&[], "t.csv", &[days.into_bytes()], &settings);
}

#[test]
fn damaged_array_files_do_not_panic() {
    let x = npy(&[12, 2, 2], (0..48).map(|value| value as f32));
    let y = npy(&[12], (0..12).map(|value| i64::from(value % 3)));
    let settings = json!({ "kind": "npy" });
    let whole = [("x.npy", x.clone()), ("y.npy", y.clone())];
    check(&whole, "x.npy", &[x.clone(), npy(&[12, 4], (0..48).map(|value| value as u8))], &settings);
    check(&whole, "y.npy", &[y, npy(&[12], (0..12).map(f64::from))], &settings);
    let header = "{'descr': '<U2', 'fortran_order': True, 'shape': (12,), }\n";
    let letters = (0..24_u32).flat_map(|i| (97 + i % 3).to_le_bytes());
    let names: Vec<u8> =
        [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()]
            .concat()
            .into_iter()
            .chain(letters)
            .collect();
    let one_hot = npy(&[12, 3], (0..36).map(|i| u8::from(i % 3 == i / 3 % 3)));
    check(&whole, "y.npy", &[names, one_hot], &settings);
    let arrays = [("x", whole[0].1.clone()), ("y", whole[1].1.clone())];
    let archives = [false, true].map(|is_deflated| npz(&arrays, is_deflated));
    check(&[], "data.npz", &archives, &json!({ "kind": "npy", "x": "data.npz", "y": "data.npz" }));
    check(
        &[("x.npy", x)],
        "y.npy",
        &[npy(&[12, 2], (0..24).map(f64::from))],
        &json!({ "kind": "npy", "task": "regression" }),
    );
}

#[test]
fn damaged_images_do_not_panic() {
    let red = image(5, 7, [200, 30, 7], ImageFormat::Png);
    let whole: Vec<(String, Vec<u8>)> = ["a/1", "a/2", "a/3", "a/4", "b/2", "b/3", "b/4"]
        .iter()
        .map(|name| (format!("train/{name}.png"), red.clone()))
        .collect();
    let whole: Vec<(&str, Vec<u8>)> =
        whole.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let settings = json!({ "kind": "images", "size": [4, 4] });
    check(&whole, "train/b/1.png", &[red.clone(), image(9, 3, [1, 2, 3], ImageFormat::Jpeg)], &settings);
    let settings = json!({ "kind": "images", "size": [4, 4], "background": "white" });
    for (ending, format) in [
        ("bmp", ImageFormat::Bmp),
        ("gif", ImageFormat::Gif),
        ("tiff", ImageFormat::Tiff),
        ("webp", ImageFormat::WebP),
    ] {
        check(&whole, &format!("train/b/1.{ending}"), &[image(5, 7, [200, 30, 7], format)], &settings);
    }
    // If the config states no size, the first image determines the size.
    let settings = json!({ "kind": "images", "color": "gray" });
    check(&whole, "train/a/1.png", &[red], &settings);
}
