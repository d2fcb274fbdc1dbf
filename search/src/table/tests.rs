use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::*;

fn settings(table: Value) -> Settings {
    let Value::Object(mut table) = table else { panic!("a table") };
    for (key, value) in [("file", "t.csv"), ("key", "genes"), ("key_format", "genotype"), ("signal", "acc")] {
        table.entry(key).or_insert(json!(value));
    }
    Settings::new("evaluator", table)
}

fn open(content: &[u8], table: Value) -> Result<TableEvaluator, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.csv"), content).unwrap();
    TableEvaluator::open(&settings(table), Some(folder.path())).map_err(|error| {
        let place = format!("{}/", folder.path().display());
        error.to_string().replace(&place, "")
    })
}

#[track_caller]
fn assert_refused(content: &str, table: Value, message: &str) {
    assert_eq!(open(content.as_bytes(), table).unwrap_err(), message);
}

#[test]
fn damaged_tables_are_refused_with_the_place() {
    let ask = || json!({});
    assert_refused("genes,top\n0,1\n", ask(), "t.csv: no column `acc`; there are `genes`, `top`");
    assert_refused("genes,acc\n0,1\n1,x\n", ask(), "t.csv:3: `acc` is `x`, expected a finite number");
    assert_refused("genes,acc\n0,NaN\n", ask(), "t.csv:2: `acc` is `NaN`, expected a finite number");
    assert_refused(
        "genes,acc\n0-1,1\n0-1,2\n",
        ask(),
        "t.csv:3: `0-1` stands on line 2 already; keep one of them",
    );
    assert_refused(
        "genes,acc\n0-300,1\n",
        ask(),
        "t.csv:2: `genes` is `0-300`, expected option indices joined by `-`, such as `0-2-1`",
    );
    assert_refused("genes,acc\n0,\n", ask(), "t.csv: no row has a value in column `acc`");
    assert_refused(
        "genes,acc\n0\n",
        ask(),
        "t.csv: not a table of comma-separated values (line 2: found 1 fields, expected 2 as in the first \
         line)",
    );
    assert_refused(
        "genes,acc\n",
        json!({ "sginal": 1 }),
        "`evaluator.sginal`: unknown field `sginal`, expected one of \
        `file`, `key`, `key_format`, `signal`, `direction`, `metric`, `report`",
    );
    let report = json!({ "report": { "error_percent": "acc" } });
    assert!(
        open(b"genes,acc\n0,1\n", report).unwrap_err().starts_with("`evaluator.report.error_percent`: found")
    );
}

#[test]
fn line_numbers_count_like_an_editor() {
    for (text, line) in
        [("genes,acc\r\n0,1\r\n1,x\r\n", 3), ("genes,acc\r0,1\r1,x\r", 3), ("genes,acc\n\n0,1\n\n1,x\n", 5)]
    {
        assert_refused(text, json!({}), &format!("t.csv:{line}: `acc` is `x`, expected a finite number"));
    }
}

#[test]
fn missing_or_truncated_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = TableEvaluator::open(&settings(json!({})), Some(folder.path())).unwrap_err();
    assert!(matches!(missing, TableError::File { .. }), "{missing}");
    let homeless = TableEvaluator::open(&settings(json!({})), None).unwrap_err();
    assert!(homeless.to_string().starts_with("`evaluator.file`: found `t.csv`"), "{homeless}");
    let packed = gzip(b"genes,acc\n0,1\n1,2\n");
    assert!(open(&packed, json!({})).is_ok());
    assert!(open(&packed[..packed.len() - 9], json!({})).is_err());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn values_are_minimized_and_empty_fields_left_out() {
    let content = b"genes,acc,test\n0-1,90,80\n1-1,70,\n2-1,,60\n";
    let table = open(content, json!({ "report": { "test_error_percent": "test" } })).unwrap();
    let metrics = |genes: [u8; 2]| {
        table.get(&Genotype::new(genes)).map(|found| BTreeMap::from(found.metrics().clone()))
    };
    let pairs =
        |pairs: &[(&str, f64)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect::<BTreeMap<_, _>>();
    assert_eq!(metrics([0, 1]), Some(pairs(&[("error_percent", 10.0), ("test_error_percent", 20.0)])));
    assert_eq!(metrics([1, 1]), Some(pairs(&[("error_percent", 30.0)])));
    assert_eq!(metrics([2, 1]), None);
    let minimized = open(content, json!({ "direction": "minimize", "metric": "latency_ms" })).unwrap();
    assert_eq!(minimized.get(&Genotype::new([0, 1])).and_then(|found| found.get("latency_ms")), Some(90.0));
    assert_ne!(table.fingerprint(), minimized.fingerprint());
    assert_ne!(table.fingerprint(), open(b"genes,acc\n0,1\n", json!({})).unwrap().fingerprint());
}

#[test]
fn genotype_without_an_entry_is_an_error() {
    let table = open(b"genes,acc\n0-1,90\n", json!({})).unwrap();
    let genotype = Genotype::new([1, 1]);
    let architecture = kiln_space::Architecture { input: kiln_space::Shape::vector(1), layers: Vec::new() };
    let request = Request {
        genotype: &genotype,
        architecture: &architecture,
        fidelity: crate::trials::Fidelity::Full,
        seed: 0,
    };
    let error = table.evaluate(&request).unwrap_err();
    assert!(error.to_string().ends_with("t.csv: no entry for `1-1`"), "{error}");
}
