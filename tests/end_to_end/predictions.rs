//! `kiln predict` reads examples without a target, in the file formats on which networks are trained.

use std::fmt::Write;
use std::fs;

use image::{Rgb, RgbImage};
use serde_json::Value;
use toml::Table;

use crate::old_runs::copy;
use crate::sandbox::{Sandbox, set, tiny};

/// A study of a table. It trains long enough to learn the table.
fn learns(config: &str, name: &str) -> Table {
    let mut config = tiny(config, name);
    set(&mut config, "search", "trials", 4.into());
    set(&mut config, "evaluator", "epochs", 5.into());
    set(&mut config, "finish", "epochs", 20.into());
    config
}

fn lines(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Returns plants of three kinds as `length,soil,kind`. Every tenth length is missing.
fn plants(rows: std::ops::Range<usize>) -> Vec<[String; 3]> {
    let plant = |row: usize| {
        let length =
            if row.is_multiple_of(10) { "NA".to_owned() } else { format!("{}", row % 3 * 20 + row % 7) };
        [length, ["sand", "clay"][row % 2].to_owned(), ["bog", "heath", "10"][row % 3].to_owned()]
    };
    rows.map(plant).collect()
}

#[test]
fn predict_gives_class_probabilities_for_table_without_target() {
    let mut config = learns("tabular.toml", "plants");
    set(&mut config, "data", "file", "train.csv".into());
    set(&mut config, "data", "target", "kind".into());
    set(&mut config, "data", "missing", "mean".into());
    config["data"].as_table_mut().unwrap().remove("test");
    set(&mut config, "data", "test_file", "test.csv".into());
    let sandbox = Sandbox::new(&config.to_string());
    let whole = |rows| {
        let body: String = plants(rows).iter().map(|cells| cells.join(",") + "\n").collect();
        format!("length,soil,kind\n{body}")
    };
    fs::write(sandbox.path("train.csv"), whole(0..240)).unwrap();
    fs::write(sandbox.path("test.csv"), whole(240..300)).unwrap();
    let report = sandbox.search(&["--data", "."]);
    let model = format!("runs/plants/models/{}", report["finished"][0]["trial"]);
    let measured = sandbox.kiln(&["eval", &model, "--data", ".", "--json"]).json();

    // The columns have another order, one is unknown, the target is missing, and one soil was not in the
    // training data.
    let tested = plants(240..300);
    let mut new = "soil,note,length\n".to_owned();
    for [length, soil, _] in &tested {
        writeln!(new, "{soil},=1+1,{length}").unwrap();
    }
    fs::write(sandbox.path("new.csv"), &new).unwrap();
    let said = sandbox.kiln(&["predict", &model, "new.csv"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let rows = lines(&said.out);
    // Numeric classes precede others, as in every list of classes.
    let headings =
        ["file", "row", "class", "\"probability 10\"", "\"probability bog\"", "\"probability heath\""];
    assert_eq!(rows[0], headings);
    assert_eq!(rows.len(), 61);
    let mut right = 0;
    for (row, ([.., kind], number)) in rows[1..].iter().zip(tested.iter().zip(1..)) {
        assert_eq!((row[0].as_str(), row[1].as_str()), ("new.csv", number.to_string().as_str()));
        let shares: Vec<f64> = row[3..].iter().map(|share| share.parse().unwrap()).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let top = ["10", "bog", "heath"].iter().position(|name| *name == row[2]).unwrap();
        assert!(shares.iter().all(|share| *share <= shares[top]));
        right += usize::from(row[2] == *kind);
    }
    let accuracy = measured["metrics"]["test_accuracy_percent"].as_f64().unwrap();
    assert!((accuracy - 100.0 * right as f64 / 60.0).abs() < 1e-9, "{accuracy}: {right} of 60");

    fs::write(sandbox.path("peat.csv"), new.replace("sand", "peat")).unwrap();
    let said = sandbox.kiln(&["predict", &model, "new.csv", "peat.csv", "--json"]);
    let predictions = said.json()["predictions"].clone();
    assert_eq!(predictions.as_array().unwrap().len(), 120);
    assert_eq!(predictions[60]["file"], "peat.csv");
    assert_eq!(predictions[60]["row"], 1);
    assert!(predictions[60]["probabilities"]["10"].is_f64(), "{}", predictions[60]);
    let note = "peat.csv: column `soil`: 30 of 60 lines have a name that the network was not trained on";
    assert!(said.err.contains(note), "{}", said.err);

    for (text, expected) in [
        ("soil\nsand\n", "no column `length`"),
        ("soil,length\nsand,long\n", "line 2, column `length`: found `long`, expected a number"),
        ("soil,length\n\nsand,1\nNA,1\n", "line 4, column `soil`: found nothing, expected a value"),
    ] {
        fs::write(sandbox.path("bad.csv"), text).unwrap();
        let said = sandbox.kiln(&["predict", &model, "bad.csv"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{text}");
        assert!(said.err.contains("bad.csv") && said.err.contains(expected), "{text}: {}", said.err);
    }
}

#[test]
fn predict_gives_values_in_target_units() {
    let mut config = learns("tabular.toml", "heights");
    set(&mut config, "data", "file", "train.csv".into());
    set(&mut config, "data", "target", "north".into());
    set(&mut config, "data", "task", "regression".into());
    set(&mut config, "data", "categorical", toml::Value::Array(Vec::new()));
    set(&mut config, "search", "objectives", vec!["mean_squared_error", "latency_us"].into());
    let sandbox = Sandbox::new(&config.to_string());
    let north = |row: usize| 1.7e9 + 100.0 * (row % 10) as f64;
    let mut text = "step,north\n".to_owned();
    (0..200).for_each(|row| writeln!(text, "{},{}", row % 10, north(row)).unwrap());
    fs::write(sandbox.path("train.csv"), text).unwrap();
    let report = sandbox.search(&["--data", "."]);
    let model = format!("runs/heights/models/{}", report["finished"][0]["trial"]);
    fs::write(sandbox.path("new.csv"), "step\n2\n7\n").unwrap();
    let said = sandbox.kiln(&["predict", &model, "new.csv", "--json"]).json();
    for (index, row) in [2, 7].into_iter().enumerate() {
        let value = said["predictions"][index]["values"]["north"].as_f64().unwrap();
        assert!((value - north(row)).abs() < 150.0, "{said}");
    }
}

#[test]
fn predict_resizes_images_and_lists_unreadable_ones() {
    let mut config = learns("quickstart.toml", "halves");
    let images: Table = "kind = \"images\"\nsize = [8, 8]\nbackground = \"white\"".parse().unwrap();
    config.insert("data".to_owned(), images.into());
    let sandbox = Sandbox::new(&config.to_string());
    let image = |class: &str, side: u32, shade: u8| {
        RgbImage::from_fn(side, side, |x, y| {
            let is_white = if class == "right" { 2 * x >= side } else { 2 * y < side };
            Rgb(if is_white { [255 - shade; 3] } else { [shade; 3] })
        })
    };
    for class in ["right", "up"] {
        fs::create_dir_all(sandbox.path(&format!("data/train/{class}"))).unwrap();
        for index in 0..60_u8 {
            let path = sandbox.path(&format!("data/train/{class}/{index}.png"));
            image(class, 8, index).save(path).unwrap();
        }
    }
    let report = sandbox.search(&["--data", "data"]);
    let model = format!("runs/halves/models/{}", report["finished"][0]["trial"]);
    fs::create_dir(sandbox.path("new")).unwrap();
    image("right", 8, 3).save(sandbox.path("new/a.png")).unwrap();
    image("up", 40, 5).save(sandbox.path("new/b.bmp")).unwrap();
    fs::write(sandbox.path("new/Thumbs.db"), "x").unwrap();
    let said = sandbox.kiln(&["predict", &model, "new", "new/b.bmp"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let rows = lines(&said.out);
    let found: Vec<(&str, &str)> = rows[1..].iter().map(|row| (row[0].as_str(), row[2].as_str())).collect();
    assert_eq!(found, [("new/a.png", "right"), ("new/b.bmp", "up"), ("new/b.bmp", "up")]);

    fs::write(sandbox.path("cut.png"), &fs::read(sandbox.path("new/a.png")).unwrap()[..40]).unwrap();
    fs::write(sandbox.path("none.png"), "").unwrap();
    let said = sandbox.kiln(&["predict", &model, "new/a.png", "cut.png", "none.png", "missing.png"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    for part in
        ["3 of 4 files cannot be read", "`cut.png`", "`none.png` (the file is empty)", "`missing.png`"]
    {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
}

#[test]
fn predict_refuses_old_networks_with_advice() {
    let sandbox = Sandbox::new("");
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v0/scratch/runs");
    copy(&fixtures, &sandbox.path("runs"));
    let said = sandbox.kiln(&["predict", "runs/scratch/models/1", "x.png"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("does not say how files are read"), "{}", said.err);
}

/// Returns thirty columns like an export from a database: an index, numbers, gaps, names, dates, an empty
/// column.
fn survey() -> String {
    let mut text = String::new();
    let numbers: Vec<String> = (0..20).map(|column| format!("m{column}")).collect();
    writeln!(text, ",id,visited,{},soil,slope,note,empty,grazed,height,kind", numbers.join(",")).unwrap();
    for row in 0..300_usize {
        let class = row % 3;
        write!(text, "{row},P{row:04},2024-{:02}-{:02}", row % 12 + 1, row % 28 + 1).unwrap();
        for column in 0..20_usize {
            let value = (row * (column + 3) % 17) as f64 / 2.0 + (class * (column % 2)) as f64 * 9.0;
            if (row + column).is_multiple_of(23) {
                text.push_str(",NA");
            } else {
                write!(text, ",{value}").unwrap();
            }
        }
        let soil = if row.is_multiple_of(31) { "" } else { ["sand", "clay", "loam"][row * 7 % 3] };
        let slope = ["flat", "steep"][row % 2];
        let note = format!("seen {} times at {}", row * 37 % 1000, row);
        let grazed = row.is_multiple_of(2);
        let kind = ["bog", "heath", "meadow"][class];
        writeln!(text, ",{soil},{slope},{note},,{grazed},{},{kind}", 400 + row * 13 % 90).unwrap();
    }
    text
}

/// The settings `key = value` in a message, which can be pasted into the config.
fn settings(said: &str) -> Table {
    let (_, settings) = said.split_once("settings that decide it: ").unwrap_or_else(|| panic!("{said}"));
    let settings = settings.lines().next().unwrap().replace(" (or \"most_frequent\")", "");
    let lines = ["categorical = ", "ignore = ", "missing = "]
        .iter()
        .fold(settings, |text, key| text.replace(&format!(", {key}"), &format!("\n{key}")));
    lines.parse().unwrap_or_else(|error| panic!("{lines}: {error}"))
}

#[test]
fn table_of_thirty_columns_needs_two_config_edits() {
    let mut config = learns("tabular.toml", "survey");
    config["data"] =
        "kind = \"csv\"\nfile = \"survey.csv\"\ntarget = \"kind\"".parse::<Table>().unwrap().into();
    set(&mut config, "data", "validation", 0.2.into());
    let sandbox = Sandbox::new(&config.to_string());
    let text = survey();
    assert_eq!(text.lines().next().unwrap().split(',').count(), 30);
    fs::write(sandbox.path("survey.csv"), text).unwrap();
    // The first edit adds every setting that the single message requests.
    let said = sandbox.kiln(&["check", "study.toml", "--data", "."]);
    assert_eq!(said.code, 2, "{}", said.out);
    for part in
        ["`visited` (it holds times", "`m0` (", "`soil` (text", "`empty` (it is empty)", "has no name"]
    {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    for (key, value) in settings(&said.err) {
        set(&mut config, "data", &key, value);
    }
    fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    // The second edit adds what is still missing, if anything.
    let said = sandbox.kiln(&["check", "study.toml", "--data", "."]);
    if said.code != 0 {
        for (key, value) in settings(&said.err) {
            set(&mut config, "data", &key, value);
        }
        fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
        let said = sandbox.kiln(&["check", "study.toml", "--data", "."]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let report = sandbox.search(&["--data", "."]);
    let finished = &report["finished"][0];
    let folder = sandbox.path(&format!("runs/survey/models/{}", finished["trial"]));
    assert!(folder.join("model.onnx").metadata().unwrap().len() > 0);
    let card: Value = serde_json::from_slice(&fs::read(folder.join("card.json")).unwrap()).unwrap();
    let inputs = card["preprocessing"]["inputs"].as_array().unwrap();
    assert!(inputs.iter().any(|input| input["name"] == "m0 is missing"), "{inputs:?}");
    assert!(finished["test_accuracy_percent"].as_f64().unwrap() > 60.0, "{finished}");
}
