//! Broken data files.

use super::{Case, changed, check, study};
use crate::sandbox::Sandbox;

/// Name of the case, content of the files, and parts of the expected message.
type Files<'a> = (&'a str, &'a str, Vec<(&'a str, Vec<u8>)>, &'a [&'a str]);

#[test]
fn broken_data_files_are_refused() {
    let data = |table: &str| changed(&study(), "kind = \"digits\"", table);
    let table = "kind = \"csv\"\nfile = \"t.csv\"\ntarget = \"y\"";
    let records = "kind = \"cifar\"\ntrain = [\"a.bin\"]\ntest = 0.2";
    let record = |label: u8| [vec![label], vec![0; 3072]].concat();
    let cases: [Files<'_>; 14] = [
        ("no table", table, vec![], &["study.toml:5: `data`: ", "t.csv: not found"]),
        (
            "a short line",
            table,
            vec![("t.csv", b"x,y\n1,a\n2\n".to_vec())],
            &["t.csv: line 3: found 1 column"],
        ),
        (
            "no number",
            table,
            vec![("t.csv", b"x,y\n1,a\nten,b\n".to_vec())],
            &["t.csv: 1 column needs a decision: `x` (numbers, but 1 text, the first `ten` in line 3"],
        ),
        (
            "an empty field",
            table,
            vec![("t.csv", b"x,y\n1,a\n,b\n".to_vec())],
            &["t.csv: 1 column needs a decision: `x` (1 missing, the first in line 3)", "missing = \"mean\""],
        ),
        (
            "no such column",
            table,
            vec![("t.csv", b"x,z\n1,a\n".to_vec())],
            &["t.csv: line 1: found no column `y`"],
        ),
        (
            "one class",
            table,
            vec![("t.csv", b"x,y\n1,a\n2,a\n".to_vec())],
            &["t.csv: all lines: found one class"],
        ),
        (
            "few lines",
            table,
            vec![("t.csv", b"x,y\n1,a\n2,b\n".to_vec())],
            &["`t.csv`: 2 training, 0 validation"],
        ),
        ("no target", "kind = \"csv\"\nfile = \"t.csv\"", vec![], &["study.toml:5: `data", "target"]),
        (
            "no packed file",
            table,
            vec![("t.csv.gz", b"x,y\n1,a\n".to_vec())],
            &["t.csv.gz: the packed bytes: found"],
        ),
        (
            "half a record",
            records,
            vec![("a.bin", record(1)[..100].to_vec())],
            &["a.bin: record 0 (byte 0): found the end"],
        ),
        (
            "an eleventh class",
            records,
            vec![("a.bin", record(10))],
            &["a.bin: record 0 (byte 0): found label 10"],
        ),
        ("no folders", "kind = \"images\"", vec![], &["train: cannot read"]),
        (
            "no image",
            "kind = \"images\"",
            vec![("train/a/1.png", vec![1]), ("train/b/1.png", vec![1])],
            &["2 of 2 files cannot be read: `train/a/1.png` (The image format could not be determined)"],
        ),
        (
            "no array",
            "kind = \"npy\"",
            vec![("x.npy", b"NUMPY".to_vec())],
            &["x.npy: byte 0: found the end of the file"],
        ),
    ];
    let sandbox = Sandbox::new(&study());
    let cases: Vec<Case<'_>> = cases
        .into_iter()
        .map(|(what, settings, mut files, expected)| {
            files.push(("study.toml", data(settings)));
            Case { what, arguments: vec!["search", "study.toml", "--data", "."], files, expected }
        })
        .collect();
    check(&sandbox, &cases);
    assert!(!sandbox.path("runs").exists());
}
