use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

const CELL: &str = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|";

fn file(text: &str) -> (TempDir, MeasurementFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measured.csv");
    std::fs::write(&path, text).unwrap();
    let file = MeasurementFile {
        path,
        key: "arch".to_owned(),
        key_file: None,
        latency_column: "pi_ms".to_owned(),
        unit: LatencyUnit::Ms,
    };
    (folder, file)
}

/// Returns the error for a measurement file with this text, without the folder's name.
#[track_caller]
fn refused(text: &str) -> String {
    let (folder, file) = file(text);
    let error = file.read(&NasBench201::default()).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn read_accepts_cells_and_genes_and_counts_unmeasured_rows() {
    let text = format!(
        "pi_ms,arch\n2.5,{CELL}\n-1,0-0-0-0-0-0\n,0-0-0-0-0-1\n-1.0,0-0-0-0-0-2\n 4 , 3-0-4-1-2-1 \n"
    );
    let (_folder, file) = file(&text);
    let space = NasBench201::default();
    let found = file.read(&space).unwrap();
    assert_eq!(found.not_measured, 3);
    let expected = [([3, 0, 4, 1, 2, 0], 2500.0), ([3, 0, 4, 1, 2, 1], 4000.0)].map(|(genes, latency_us)| {
        let architecture = space.decode(&Genotype::new(genes)).unwrap();
        Measured { architecture, latency_us, standard_error: 0.0 }
    });
    assert_eq!(found.measured, expected);
    assert_eq!(found.repeats, None);
}

#[test]
fn read_combines_repeated_measurements_to_median_and_spread() {
    // The first network appears twice as a cell and once as genes. Its slowest measurement is 40 times its
    // fastest.
    let text = format!(
        "pi_ms,arch\n2,{CELL}\n9,0-0-0-0-0-0\n80,3-0-4-1-2-0\n4,{CELL}\n-1,{CELL}\n8,0-0-0-0-0-0\n\
         5,0-0-0-0-0-1\n"
    );
    let (_folder, file) = file(&text);
    let found = file.read(&NasBench201::default()).unwrap();
    let latencies: Vec<f64> = found.measured.iter().map(|network| network.latency_us).collect();
    assert_eq!(latencies, [4000.0, 8500.0, 5000.0]);
    assert_eq!(found.not_measured, 1);
    let repeats = found.repeats.unwrap();
    assert_eq!((repeats.networks, repeats.measurements), (2, 5));
    assert!(repeats.within_a_tenth_percent < 1e-9, "medians of halves: 3 and 80, 8 and 9");
    assert!((repeats.largest_spread_percent - 3900.0).abs() < 1e-9);
    assert!((repeats.median_spread_percent - f64::midpoint(3900.0, 12.5)).abs() < 1e-9);
    // For the latencies 8 and 9, the standard error of the mean logarithm is half the difference of their
    // logarithms.
    let errors: Vec<f64> = found.measured.iter().map(|network| network.standard_error).collect();
    assert!((errors[1] - (9.0_f64 / 8.0).ln() / 2.0).abs() < 1e-12, "{errors:?}");
    assert!(errors[0] > 1.0 && errors[2] <= 0.0, "{errors:?}");
}

#[test]
fn read_accepts_gzip_and_converts_units() {
    let (folder, mut file) = file("");
    file.path = folder.path().join("measured.csv.gz");
    let mut packed = GzEncoder::new(std::fs::File::create(&file.path).unwrap(), Compression::fast());
    write!(packed, "arch,pi_ms\n{CELL},7\n").unwrap();
    packed.finish().unwrap();
    file.unit = LatencyUnit::Us;
    let found = file.read(&NasBench201::default()).unwrap();
    assert!((found.measured[0].latency_us - 7.0).abs() < 1e-12);

    let bytes = std::fs::read(&file.path).unwrap();
    std::fs::write(&file.path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(file.read(&NasBench201::default()), Err(HwError::ReadMeasurements { .. })));
}

#[test]
fn read_joins_key_file() {
    let (folder, mut file) = file("index,pi_ms\n7,2\n9,3\n");
    let path = folder.path().join("cells.csv");
    std::fs::write(&path, format!("index,arch\n9,0-0-0-0-0-0\n7,{CELL}\n")).unwrap();
    file.key_file = Some(KeyFile { path: path.clone(), on: "index".to_owned() });
    let space = NasBench201::default();
    let found = file.read(&space).unwrap();
    assert_eq!(found.measured[0].architecture, space.decode(&Genotype::new([3, 0, 4, 1, 2, 0])).unwrap());

    std::fs::write(&path, format!("index,arch\n7,{CELL}\n")).unwrap();
    let error = file.read(&space).unwrap_err().to_string();
    assert!(
        error.ends_with("measured.csv:3: `index` is `9`, expected a value that cells.csv has"),
        "{error}"
    );
    std::fs::write(&path, "index,arch\n7,x\n7,y\n").unwrap();
    let error = file.read(&space).unwrap_err().to_string();
    assert!(error.ends_with("cells.csv:3: `index` is `7`, expected a value that occurs once"), "{error}");
}

#[test]
fn read_errors_name_file_line_and_column() {
    let latency = "expected a number above 0, or -1 or nothing if not measured";
    let cases = [
        ("arch,ms\n", "measured.csv: no column `pi_ms`; the columns are `arch`, `ms`".to_owned()),
        ("cell,pi_ms\n", "measured.csv: no column `arch`; the columns are `cell`, `pi_ms`".to_owned()),
        ("arch,pi_ms\n0-0-0-0-0-0,fast\n", format!("measured.csv:2: `pi_ms` is `fast`, {latency}")),
        ("arch,pi_ms\n0-0-0-0-0-0,0\n", format!("measured.csv:2: `pi_ms` is `0`, {latency}")),
        ("arch,pi_ms\n0-0-0-0-0-0,-2\n", format!("measured.csv:2: `pi_ms` is `-2`, {latency}")),
        ("arch,pi_ms\n0-0-0-0-0-0,inf\n", format!("measured.csv:2: `pi_ms` is `inf`, {latency}")),
        (
            "arch,pi_ms\n0-0-0-0-0-5,1\n",
            "measured.csv:2: `arch` is `0-0-0-0-0-5`, which is not a network of the space (gene 5 \
             (`edge2_3`) is 5, expected less than 5)"
                .to_owned(),
        ),
        (
            "arch,pi_ms\n0-0,1\n",
            "measured.csv:2: `arch` is `0-0`, which is not a network of the space (the genotype has 2 genes, \
             expected 6)"
                .to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), expected);
    }
    let notation = refused("arch,pi_ms\nresnet,1\n");
    assert!(
        notation.starts_with("measured.csv:2: `arch` is `resnet`, which is not a network of the space ("),
        "{notation}"
    );
    let fields = refused("arch,pi_ms\n0-0-0-0-0-0,1,2\n");
    assert!(
        fields.contains("not a table of comma-separated values")
            && fields.contains("line 2: found 3 fields, expected 2"),
        "{fields}"
    );
    let (folder, mut file) = file("");
    file.path = folder.path().join("none.csv");
    assert!(file.read(&NasBench201::default()).unwrap_err().to_string().contains("none.csv: cannot be read"));
}

#[test]
fn read_errors_count_lines_as_an_editor_does() {
    for (text, line) in [
        ("arch,pi_ms\r\n0-0-0-0-0-0,1\r\n0-0-0-0-0-1,x\r\n", 3),
        ("arch,pi_ms\r0-0-0-0-0-0,1\r0-0-0-0-0-1,x\r", 3),
        ("arch,pi_ms\n\n0-0-0-0-0-0,1\n\n\n0-0-0-0-0-1,x\n", 6),
        ("arch,pi_ms\n\"0-0-0-0-0-0\n\",1\n0-0-0-0-0-1,x\n", 4),
    ] {
        let said = refused(text);
        assert!(said.starts_with(&format!("measured.csv:{line}: `pi_ms` is `x`")), "{text:?}: {said}");
    }
    let short = refused("arch,pi_ms\r\n0-0-0-0-0-0,1\r\n\r\n1\r\n");
    assert!(short.contains("line 4: found 1 fields, expected 2"), "{short}");
}

#[test]
fn draw_is_repeatable_and_splits_all_networks() {
    let architecture = NasBench201::default().decode(&Genotype::new([0; 6])).unwrap();
    let measured = |i: u32| Measured {
        architecture: architecture.clone(),
        latency_us: f64::from(i),
        standard_error: 0.0,
    };
    let all = Measurements { measured: (0..50).map(measured).collect(), not_measured: 0, repeats: None };
    let latencies = |measured: &[Measured]| measured.iter().map(|m| m.latency_us as u32).collect::<Vec<_>>();
    let (drawn, rest) = all.clone().draw(20, 3);
    assert_eq!((drawn.len(), rest.len()), (20, 30));
    assert_eq!(all.clone().draw(20, 3), (drawn.clone(), rest.clone()));
    assert_ne!(all.clone().draw(20, 4).0, drawn);
    let mut together = [latencies(&drawn), latencies(&rest)].concat();
    together.sort_unstable();
    assert_eq!(together, (0..50).collect::<Vec<_>>());
    assert_eq!(all.draw(80, 3).0.len(), 50);
}
