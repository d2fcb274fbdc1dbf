//! Tests the errors for wrong files. One message names the file, the position, the actual content and the
//! expected content.

use image::ImageFormat;
use serde_json::{Value, json};

use crate::folder::{Folder, cifar10, idx, image, npy};

/// Checks the beginning and the end of every error that `settings` cause on a folder with these files.
fn check(files: &[(&str, Vec<u8>)], settings: &Value, start: &str, end: &str) {
    let folder = Folder::new();
    for (name, bytes) in files {
        folder.put(name, bytes);
    }
    let said = folder.refused(settings);
    assert!(said.starts_with(start) && said.ends_with(end), "{said}\nexpected: {start} ... {end}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn wrong_idx_files_are_refused() {
    let [images, labels] = idx(&[0, 1, 0, 1], 3);
    let settings = json!({
        "kind": "idx", "test_images": "train-images-idx3-ubyte", "test_labels": "train-labels-idx1-ubyte",
    });
    let case = |images: &[u8], labels: &[u8], start: &str, end: &str| {
        let files =
            [("train-images-idx3-ubyte", images.to_vec()), ("train-labels-idx1-ubyte", labels.to_vec())];
        check(&files, &settings, start, end);
    };
    let with = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    case(
        &images[..7],
        &labels,
        "train-images-idx3-ubyte: byte 0: found the end of the file after 7 of 16 bytes",
        "an IDX header of 16 bytes",
    );
    case(
        &images[..20],
        &labels,
        "train-images-idx3-ubyte: byte 16: found the end of the file after 4 of 36 bytes",
        "as it says",
    );
    case(
        &with(&images, 2, 9),
        &labels,
        "train-images-idx3-ubyte: byte 0: found magic number [00, 00, 09, 03]",
        "[00, 00, 08, 03]",
    );
    case(&with(&images, 4, 255), &labels, "train-images-idx3-ubyte: byte 4: found dimensions", "in all");
    case(
        &[&images[..], &[1]].concat(),
        &labels,
        "train-images-idx3-ubyte: byte 52: found more bytes",
        "the end of the file",
    );
    case(&images, &labels[..11], "train-labels-idx1-ubyte: byte 8: found the end", "as it says");
    case(
        &with(&images, 11, 0)[..16],
        &labels,
        "train-images-idx3-ubyte: byte 4: found 4 images of 0x3",
        "1024x1024",
    );
    let [_, other] = idx(&[0, 1, 0], 3);
    case(&images, &other, "train-labels-idx1-ubyte: byte 4: found 3 labels, expected 4", "ubyte");
    case(
        &images,
        &labels,
        "data set `",
        "shares are possible from `validation = 0.25` on; or give more examples",
    );
}

#[test]
fn wrong_gzip_files_are_refused() {
    let [images, labels] = idx(&[0, 1], 3);
    let settings = json!({ "kind": "idx" });
    let files = [("train-images-idx3-ubyte.gz", images), ("train-labels-idx1-ubyte", labels)];
    check(
        &files,
        &settings,
        "train-images-idx3-ubyte.gz: the packed bytes: found",
        "expected a whole gzip file",
    );
}

#[test]
fn wrong_cifar_files_are_refused() {
    let good = cifar10(&[1, 2, 3, 9]);
    let settings = json!({ "kind": "cifar", "train": ["a.bin"], "test": 0.2 });
    let case =
        |bytes: &[u8], start: &str, end: &str| check(&[("a.bin", bytes.to_vec())], &settings, start, end);
    case(
        &good[..4000],
        "a.bin: record 1 (byte 3073): found the end of the file after 927 of 3073 bytes",
        "for pixels",
    );
    case(&[], "a.bin: record 0 (byte 0): found the end of the file after 0", "for pixels");
    case(&cifar10(&[1, 10]), "a.bin: record 1 (byte 3073): found label 10", "expected a label below 10");
    check(&[], &settings, "a.bin: not found", "with `.gz`)");
    let names = ("batches.meta.txt", b"airplane\nbird\n".to_vec());
    check(&[("a.bin", good), names], &settings, "batches.meta.txt: line 3: found 2 names", "one a line");
    let both = json!({ "kind": "cifar", "test": 0.2, "test_file": "b.bin" });
    check(&[], &both, "`data.test`: found 0.2", "but not both");
}

#[test]
fn wrong_image_folders_are_refused() {
    let settings = json!({ "kind": "images", "size": [4, 4] });
    let red = image(4, 4, [200, 0, 0], ImageFormat::Png);
    let case = |files: &[(&str, Vec<u8>)], start: &str, end: &str| check(files, &settings, start, end);
    case(&[], "train: cannot read: ", "(os error 2)");
    case(&[("train/red/a.png", red.clone())], "train: folder: found 1 folders", "one for each class");
    case(&[("train/a.png", red.clone())], "train: folder: found 0 folders", "one for each class");
    let two = [("train/a/1.png", red.clone()), ("train/b/1.png", red.clone())];
    let with = |name: &'static str, bytes: Vec<u8>| [&two[..], &[(name, bytes)]].concat();
    // One message names all files and begins with the folder.
    let damaged = |file: &'static str, bytes: &[u8], why: &str| {
        let folder = Folder::new();
        for (name, bytes) in with(file, bytes.to_vec()) {
            folder.put(name, bytes);
        }
        let said = folder.refused(&settings);
        assert!(said.contains(&format!("1 of 3 files cannot be read: `{file}` ({why}")), "{said}");
        assert!(said.ends_with("; mend or remove them, or set `skip_unreadable = true`"), "{said}");
    };
    damaged("train/b/2.txt", &red, "no image: names of images end with `.png`");
    damaged("train/b/2.png", &red[..40], "");
    damaged("train/b/2.png", b"no image", "");
    damaged("train/b/2.png", b"", "the file is empty");
    case(&with("train/c/.hidden", Vec::new()), "train/c: folder: found no images", "of the class");
    case(&with("test/c/1.png", red.clone()), "test: folder: found class `c`", "has");
    let wrong = json!({ "kind": "images", "size": [0, 4] });
    check(&two, &wrong, "`data.size`: found [0, 4]", "from 1 to 1024");
}

#[test]
fn wrong_tables_are_refused() {
    let settings = json!({ "kind": "csv", "file": "t.csv", "target": "y" });
    let case = |text: &str, start: &str, end: &str| check(&[("t.csv", text.into())], &settings, start, end);
    case("", "t.csv: line 1: found no column `y`", "");
    case("x,y\n", "t.csv: line 2: found the end of the file", "one example a line");
    case("a,b\n1,2\n", "t.csv: line 1: found no column `y`", "there are `a`, `b`");
    case("y\na\n", "t.csv: line 1: found no column but the target", "at least one feature");
    case("x,x,y\n1,2,a\n", "t.csv: line 1: found two columns `x`", "each name once");
    case("x,y\n1,a\n2\n", "t.csv: line 3: found 1 column", "2 as in the first line");
    let gap = "t.csv: 1 column needs a decision: `x` (1 missing, the first in line 3)";
    case("x,y\n1,a\n?,b\n", gap, "missing = \"mean\" (or \"most_frequent\")");
    case("x,y\n1,a\n,b\n", gap, "missing = \"mean\" (or \"most_frequent\")");
    let text = "t.csv: 1 column needs a decision: `x` (numbers, but 1 text, the first `";
    case("x,y\n1,a\ninf,b\n", text, "add it to `missing_values`)");
    case("x,y\n1,a\n1e39,b\n", text, "add it to `missing_values`)");
    let words = "t.csv: 1 column needs a decision: `x` (text, 2 different, such as `red`)";
    case("x,y\nred,a\nblue,b\nred,b\n", words, "categorical = [\"x\"]");
    case("x,y\n1,a\n2,\n", "t.csv: line 3, column `y`: found nothing", "training needs every target");
    case("x,y\n1,a\n2,a\n", "t.csv: all lines: found one class `a` in column `y`", "at least two classes");
    check(
        &[("t.csv", b"x,y\n1,a\n\xff,b\n".to_vec())],
        &settings,
        "t.csv: line 3: found",
        "`encoding = \"windows-1252\"` or `\"latin-1\"`",
    );
    let test = json!({ "kind": "csv", "file": "t.csv", "target": "y", "test_file": "u.csv" });
    let files = [("t.csv", b"x,y\n1,a\n2,b\n".to_vec()), ("u.csv", b"x,y\n1,c\n".to_vec())];
    check(&files, &test, "t.csv: column `y`: found `c`", "in this column");
    let names = json!({ "kind": "csv", "file": "t.csv", "target": "y", "categorical": ["z"] });
    check(&files, &names, "t.csv: line 1: found no feature `z`", "`categorical`");
    let twice = json!({ "kind": "csv", "file": "t.csv", "target": "y", "features": ["x", "y"] });
    check(&files, &twice, "t.csv: line 1: found `y` as feature and target", "each column in one part");
    let two = json!({ "kind": "csv", "file": "t.csv", "target": ["x", "y"] });
    check(&files, &two, "`data.target`: found 2 columns", "at least one");
    let separator = json!({ "kind": "csv", "file": "t.csv", "target": "y", "separator": "\"" });
    check(&files, &separator, "`data.separator`: found '\"'", "or a tab");
}

#[test]
fn wrong_array_files_are_refused() {
    let x = npy(&[4, 2], (0..8).map(|value| value as f32));
    let y = npy(&[4], [0_i64, 1, 0, 1]);
    let settings = json!({ "kind": "npy" });
    let case = |x: &[u8], y: &[u8], start: &str, end: &str| {
        check(&[("x.npy", x.to_vec()), ("y.npy", y.to_vec())], &settings, start, end);
    };
    let changed = |bytes: &[u8], from: &str, to: &str| {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1).chars().map(|c| c as u8).collect::<Vec<u8>>()
    };
    case(&x[..5], &y, "x.npy: byte 0: found the end of the file after 5", "`.npy` file");
    case(b"PK\x03\x04 and so on", &y, "x.npy: byte 0: found an archive of several arrays", "`FILE.npz:NAME`");
    case(
        &x[..x.len() - 1],
        &y,
        "x.npy: byte 128: found the end of the file after 31 of 32 bytes",
        "as the header says",
    );
    case(&[&x[..], &[0]].concat(), &y, "x.npy: byte 160: found more bytes", "the end of the file");
    case(&changed(&x, "<f4", "<c8"), &y, "x.npy: header: found elements `<c8`", "`astype(numpy.float64)`");
    case(&changed(&x, "(4, 2, )", "[4, 2, ]"), &y, "x.npy: header: found `{'descr'", "(n, ...), }`");
    case(&changed(&x, "(4, 2, )", "(4,-2, )"), &y, "x.npy: header: found `{'descr'", "(n, ...), }`");
    case(&changed(&x, "(4, 2, )", "(0, 2, )"), &y, "x.npy: header: found shape [0, 2]", "rows");
    let long = "(99999999999, 99999999999)";
    case(
        &changed(&x, "(4, 2, ), }                  ", &format!("{long}, }}")),
        &y,
        "x.npy: header: found shape [99999999999",
        "rows",
    );
    case(
        &npy(&[4, 2], [0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        &y,
        "x.npy: element 1: found NaN",
        "single precision",
    );
    case(
        &npy(&[8], (0..8).map(|value| value as f32)),
        &npy(&[8], [0_i64; 8]),
        "x.npy: shape: found [8]",
        "width)`",
    );
    case(&x, &npy(&[3], [0_i64, 1, 0]), "y.npy: shape: found 3 rows", "x.npy`");
    case(&x, &npy(&[4], [0_i64, 1, -1, 0]), "y.npy: element 2: found -1, expected a label", "9999");
    case(&x, &npy(&[4], [0.0_f32, 1.0, 0.5, 0.0]), "y.npy: element 2: found 0.5, expected a label", "9999");
    case(&x, &npy(&[4], [0_i64; 4]), "y.npy: all elements: found the label 0 everywhere", "two classes");
    case(&x, &npy(&[4, 2], [1_i64, 0, 0, 1, 1, 1, 0, 1]), "y.npy: row 2: found 2 ones", "`argmax(axis=1)`");
    case(&x, &npy(&[4, 1, 1], [0_i64; 4]), "y.npy: shape: found [4, 1, 1]", "rows of one 1 among zeros");
    let half = json!({ "kind": "npy", "test_x": "x.npy" });
    check(&[("x.npy", x), ("y.npy", y)], &half, "`data.test_x`: found some of them", "or none of them");
}
