//! Users' own data: the notes of `check`, a trained network on other data, and networks and studies of builds
//! that had other reading rules.

use std::fs;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use kiln_export::TrainedModel;
use serde_json::Value;
use toml::Table;

use crate::sandbox::{Sandbox, set, tiny};

/// A study of a table. It trains long enough to learn the table.
fn learns(file: &str, name: &str) -> Table {
    let mut config = tiny(file, name);
    set(&mut config, "search", "trials", 4.into());
    set(&mut config, "evaluator", "epochs", 5.into());
    set(&mut config, "finish", "epochs", 20.into());
    config
}

/// Returns a table's columns by name, in the order of `columns`. The class depends on all columns except
/// `noise`.
fn soils(columns: &[&str], rows: std::ops::Range<usize>) -> String {
    let cell = |row: usize, column: &str| match column {
        "acid" => format!("{:.2}", (row % 3) as f64 * 2.0 + (row * 7 % 10) as f64 / 10.0),
        "wet" => format!("{}", 1000 + 300 * (row % 3) + row * 3 % 50),
        "noise" => (row * 31 % 17).to_string(),
        "soil" => ["sand", "clay", "loam"][row * 5 % 3].to_owned(),
        "kind" => ["bog", "heath", "meadow"][row % 3].to_owned(),
        _ => String::new(),
    };
    let line =
        |row: usize| columns.iter().map(|column| cell(row, column)).collect::<Vec<_>>().join(",") + "\n";
    columns.join(",") + "\n" + &rows.map(line).collect::<String>()
}

fn accuracy(said: &Value) -> f64 {
    said["metrics"]["test_accuracy_percent"].as_f64().unwrap()
}

#[test]
fn columns_categories_and_classes_match_by_name() {
    let mut config = learns("tabular.toml", "soils");
    let plain = ["acid", "wet", "noise", "soil", "kind"];
    let mixed = ["kind", "soil", "noise", "wet", "acid"];
    for (key, value) in [("file", "train.csv"), ("target", "kind")] {
        set(&mut config, "data", key, value.into());
    }
    config["data"].as_table_mut().unwrap().remove("test");
    set(&mut config, "data", "test_file", "test.csv".into());
    let sandbox = Sandbox::new(&config.to_string());
    fs::write(sandbox.path("train.csv"), soils(&plain, 0..240)).unwrap();
    fs::write(sandbox.path("test.csv"), soils(&plain, 240..300)).unwrap();
    let report = sandbox.search(&["--data", "."]);
    let model = format!("runs/soils/models/{}", report["finished"][0]["trial"]);
    let own = sandbox.kiln(&["eval", &model, "--data", ".", "--json"]).json();
    assert!(accuracy(&own) > 80.0, "{own}");

    let other = |name: &str, columns: &[&str], edit: &dyn Fn(String) -> String| {
        let mut other = config.clone();
        set(&mut other, "data", "file", format!("{name}-train.csv").into());
        set(&mut other, "data", "test_file", format!("{name}-test.csv").into());
        fs::write(sandbox.path(&format!("{name}-train.csv")), edit(soils(columns, 0..30))).unwrap();
        fs::write(sandbox.path(&format!("{name}-test.csv")), edit(soils(columns, 240..300))).unwrap();
        fs::write(sandbox.path(&format!("{name}.toml")), other.to_string()).unwrap();
        sandbox.kiln(&["eval", &model, "--config", &format!("{name}.toml"), "--data", ".", "--json"])
    };
    let reordered = other("reordered", &mixed, &|text| text);
    assert_eq!(reordered.code, 0, "{}", reordered.err);
    assert!((accuracy(&reordered.json()) - accuracy(&own)).abs() < 1e-9, "{} {own}", reordered.out);

    let peat = other("peat", &plain, &|text| text.replace("clay", "peat"));
    assert_eq!(peat.code, 0, "{}", peat.err);
    assert!(
        peat.err.contains(
            "column `soil`: 20 of 60 test examples have a name that the network was not trained on"
        ),
        "{}",
        peat.err
    );

    let lacking = other("lacking", &["acid", "noise", "soil", "kind"], &|text| text);
    assert_eq!(lacking.code, 2, "{}", lacking.err);
    for part in [
        "the network takes 7 (`acid`, `wet`, `noise`, `soil=clay`",
        "but the data have 6 (`acid`, `noise`",
        "the data lack `wet`",
    ] {
        assert!(lacking.err.contains(part), "{part}: {}", lacking.err);
    }
    let classes = other("classes", &plain, &|text| text.replace("bog", "fen"));
    assert_eq!(classes.code, 2, "{}", classes.err);
    assert!(
        classes.err.contains("(`bog`, `heath`, `meadow`), but the data have 3 (`fen`, `heath`, `meadow`)"),
        "{}",
        classes.err
    );
}

#[test]
fn check_notes_odd_columns_and_training_accepts_gaps() {
    let mut config = learns("tabular.toml", "gaps");
    set(&mut config, "data", "file", "t.csv".into());
    set(&mut config, "data", "target", "kind".into());
    set(&mut config, "data", "categorical", vec!["soil"].into());
    let sandbox = Sandbox::new(&config.to_string());
    let columns = ["acid", "wet", "noise", "soil", "kind"];
    let copies = soils(&columns, 0..40);
    let (_, copies) = copies.split_once('\n').unwrap();
    let whole = soils(&columns, 0..240) + copies;
    let gaps: String = whole
        .lines()
        .enumerate()
        .map(|(line, text)| match text.split_once(',') {
            Some((_, rest)) if line > 0 && line % 9 == 0 => format!("NA,{rest}\n"),
            _ => format!("{text}\n"),
        })
        .collect();
    fs::write(sandbox.path("t.csv"), gaps).unwrap();
    let said = sandbox.kiln(&["check", "study.toml", "--data", "."]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(
        said.err.contains("1 column needs a decision: `acid` (31 missing, the first in line 10)"),
        "{}",
        said.err
    );
    assert!(said.err.contains("settings that decide it: missing = \"mean\""), "{}", said.err);
    set(&mut config, "data", "missing", "mean".into());
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let said = sandbox.kiln(&["check", "study.toml", "--data", "."]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("note         "), "copies of lines lie in several splits: {}", said.out);
    let json = sandbox.kiln(&["check", "study.toml", "--data", ".", "--json"]).json();
    assert!(
        json["notes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|note| note.as_str().unwrap().contains("exactly the inputs")),
        "{json}"
    );

    let report = sandbox.search(&["--data", "."]);
    let finished = &report["finished"][0];
    let folder = format!("runs/gaps/models/{}", finished["trial"]);
    let card: Value =
        serde_json::from_slice(&fs::read(sandbox.path(&format!("{folder}/card.json"))).unwrap()).unwrap();
    let preprocessing = &card["preprocessing"];
    assert_eq!(preprocessing["reading_rules"], 2);
    let kinds: Vec<&str> = preprocessing["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| input["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["number", "missing", "number", "number", "category", "category", "category", "unseen"]
    );
    let measured = sandbox.kiln(&["eval", &folder, "--data", ".", "--json"]).json();
    assert!(
        (accuracy(&measured) - finished["test_accuracy_percent"].as_f64().unwrap()).abs() < 1e-9,
        "{measured}"
    );
}

/// Returns an image file whose right or upper half is white. If `turned`, the image is stored rotated, with
/// an EXIF orientation, as a camera held sideways stores it.
fn arrow(class: &str, shade: u8, turned: bool) -> Vec<u8> {
    let is_white = |x: u32, y: u32| if class == "right" { x >= 4 } else { y < 4 };
    let image = RgbImage::from_fn(8, 8, |x, y| {
        // The displayed image is the stored image rotated to the right: row x from below is column x of the
        // shown image.
        let (x, y) = if turned { (7 - y, x) } else { (x, y) };
        Rgb(if is_white(x, y) { [255 - shade; 3] } else { [shade; 3] })
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    let jpeg = bytes.into_inner();
    if !turned {
        return jpeg;
    }
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    [&jpeg[..2], &[0xFF, 0xE1], &(exif.len() as u16 + 2).to_be_bytes(), exif.as_slice(), &jpeg[2..]].concat()
}

fn put_arrows(folder: &Path, split: &str, count: u8, turned: bool) {
    for class in ["right", "up"] {
        let folder = folder.join(split).join(class);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..count {
            fs::write(folder.join(format!("{index}.jpg")), arrow(class, index, turned)).unwrap();
        }
    }
}

fn arrows(name: &str) -> Table {
    let mut config = learns("quickstart.toml", name);
    let images: Table = "kind = \"images\"".parse().unwrap();
    config.insert("data".to_owned(), images.into());
    config
}

#[test]
fn new_networks_apply_orientation_and_old_ones_do_not() {
    let sandbox = Sandbox::new(&arrows("arrows").to_string());
    put_arrows(&sandbox.path("flat"), "train", 60, false);
    put_arrows(&sandbox.path("flat"), "test", 20, false);
    put_arrows(&sandbox.path("phone"), "train", 20, true);
    put_arrows(&sandbox.path("phone"), "test", 20, true);
    let report = sandbox.search(&["--data", "flat"]);
    let model = format!("runs/arrows/models/{}", report["finished"][0]["trial"]);
    let phone = ["eval", &model, "--config", "study.toml", "--data", "phone", "--json"];
    let said = sandbox.kiln(&phone);
    assert!(accuracy(&said.json()) > 95.0, "{}", said.out);
    assert!(!said.err.contains("earlier build"), "{}", said.err);

    // The build that made this network ignored orientation. The network does not record reading rules.
    let file = sandbox.path(&format!("{model}/model.kiln"));
    let mut old = TrainedModel::load(&file).unwrap();
    old.card.preprocessing.reading_rules = 1;
    old.card.preprocessing.inputs.clear();
    old.save(&file).unwrap();
    let said = sandbox.kiln(&phone);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err
            .contains("an earlier build made this network; its data are read by the rules of that build (1)"),
        "{}",
        said.err
    );
    assert!(accuracy(&said.json()) < 60.0, "{}", said.out);
    old.card.preprocessing.reading_rules = 99;
    old.save(&file).unwrap();
    let said = sandbox.kiln(&phone);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("rules 99, which this build does not know; use a newer build"), "{}", said.err);
}

#[test]
fn study_with_other_reading_rules_is_refused_with_reason() {
    let sandbox = Sandbox::new(&arrows("before").to_string());
    put_arrows(&sandbox.path("flat"), "train", 10, false);
    sandbox.search(&["--data", "flat"]);
    let config = sandbox.run("before").config();
    let mut kept: Table = fs::read_to_string(&config).unwrap().parse().unwrap();
    assert_eq!(kept["resolved"]["reading_rules"].as_integer(), Some(2));
    // The run folder of that build has no reading rules, but it has the hash of the data that the build read.
    // If the rules make no difference for the data, the study resumes.
    kept["resolved"].as_table_mut().unwrap().remove("reading_rules");
    fs::write(&config, kept.to_string()).unwrap();
    assert_eq!(sandbox.kiln(&["search", "study.toml", "--data", "flat", "--plain"]).code, 0);
    kept["resolved"].as_table_mut().unwrap().remove("reading_rules");
    kept["resolved"].as_table_mut().unwrap().insert("data".to_owned(), "0123".into());
    fs::write(&config, kept.to_string()).unwrap();
    for command in [["search", "study.toml", "--data", "flat"], ["finish", "before", "--data", "flat"]] {
        let said = sandbox.kiln(&command);
        assert_eq!(said.code, 2, "{}", said.err);
        let reason = "another build started this study and read its data by rules 1; this build reads the \
                      same files by rules 2, which \
                      gives other values, classes or splits; choose another name for the study";
        assert!(said.err.contains(reason), "{}", said.err);
    }
}

#[test]
fn starter_config_fits_folders_with_test_split() {
    let sandbox = Sandbox::new("");
    assert_eq!(sandbox.kiln(&["init", "my.toml"]).code, 0);
    put_arrows(&sandbox.path("mine"), "train", 10, false);
    put_arrows(&sandbox.path("mine"), "test", 4, false);
    let starter = fs::read_to_string(sandbox.path("my.toml")).unwrap();
    fs::write(sandbox.path("my.toml"), starter.replace("kind = \"digits\"", "kind = \"images\"")).unwrap();
    let said = sandbox.kiln(&["check", "my.toml", "--data", "mine"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("8 test examples"), "{}", said.out);
    let stated =
        fs::read_to_string(sandbox.path("my.toml")).unwrap().replace("[data]\n", "[data]\ntest = 0.2\n");
    fs::write(sandbox.path("my.toml"), stated).unwrap();
    let said = sandbox.kiln(&["check", "my.toml", "--data", "mine"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("`data.test`") && said.err.contains("which is used instead"), "{}", said.err);
}
