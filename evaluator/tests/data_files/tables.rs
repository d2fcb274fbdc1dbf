//! Tests typical user tables with missing values, text, dates, indices, other separators and encodings, and
//! numbers far from zero.

use kiln_evaluator::data::{DataSet, Split, Targets};
use serde_json::{Value, json};

use crate::folder::Folder;

fn csv(extra: &Value) -> Value {
    let mut settings = json!({ "kind": "csv", "file": "t.csv", "target": "y" });
    settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    settings
}

/// A table of `rows` lines.
fn table(header: &str, rows: usize, row: impl Fn(usize) -> String) -> Folder {
    let folder = Folder::new();
    let lines: String = (0..rows).map(|index| row(index) + "\n").collect();
    folder.put("t.csv", format!("{header}\n{lines}"));
    folder
}

fn class(row: usize) -> &'static str {
    ["no", "yes"][row % 2]
}

#[test]
fn open_columns_are_listed_in_one_error_and_settled_in_two_edits() {
    // Thirty columns: an unnamed index, numbers, gaps, booleans, text, dates, an identifier, an empty column.
    let mut header = vec![String::new()];
    header.extend((0..20).map(|column| format!("x{column}")));
    header
        .extend(["gaps", "holes", "smoker", "color", "town", "seen", "key", "void", "y"].map(str::to_owned));
    let row = |row: usize| {
        let mut cells = vec![row.to_string()];
        cells.extend((0..20).map(|column| ((row * 7 + column * 3) % 11).to_string()));
        cells.push(if row.is_multiple_of(5) { "NA".to_owned() } else { (row % 4).to_string() });
        cells.push(if row % 7 == 3 { String::new() } else { format!("{}.5", row % 3) });
        cells.push(["True", "false"][row % 2].to_owned());
        cells.push(["red", "blue", "green"][row % 3].to_owned());
        cells.push(["Oslo", "Bergen", "?"][row % 3].to_owned());
        cells.push(format!("2024-05-{:02}T08:00", row % 28 + 1));
        cells.push(format!("id-{row}"));
        cells.push(String::new());
        cells.push(class(row / 3).to_owned());
        cells.join(",")
    };
    let folder = table(&header.join(","), 60, row);
    let said = folder.refused(&csv(&json!({})));
    for part in [
        "t.csv: 8 columns need a decision: ",
        "column 1 (it has no name, as the index of a data frame)",
        "`gaps` (12 missing, the first in line 2)",
        "`holes` (9 missing, the first in line 5)",
        "`color` (text, 3 different, such as `red`)",
        "`town` (text, 2 different, such as `Oslo`)",
        "`seen` (it holds times, such as `2024-05-01T08:00`)",
        "`key` (text that is different in almost every line, such as `id-0` in line 2)",
        "`void` (it is empty)",
        "settings that decide it: categorical = [\"color\", \"town\"], ignore = [\"\", \"seen\", \"key\", \
         \"void\"], missing = \"mean\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The settings in the message can be pasted into the config.
    let decided = csv(&json!({
        "categorical": ["color", "town"], "ignore": ["", "seen", "key", "void"], "missing": "mean"
    }));
    let data = folder.open(&decided).unwrap();
    let names: Vec<&str> = data.inputs().iter().map(|input| input.name.as_str()).collect();
    assert_eq!(
        names[20..],
        [
            "gaps",
            "gaps is missing",
            "holes",
            "holes is missing",
            "smoker",
            "color=blue",
            "color=green",
            "color=red",
            "color is unseen",
            "town=Bergen",
            "town=Oslo",
            "town is unseen",
            "town is missing"
        ]
    );
    assert_eq!(data.example(0)[24].to_bits(), 1_f32.to_bits(), "`True` is 1");
}

#[test]
fn gaps_are_filled_from_training_split_and_noted() {
    let row = |row: usize| {
        let x = ["3", "null", "1", "3", "?", "-99", "2"][row % 7];
        format!("{x},{row},{}", class(row))
    };
    let folder = table("x,n,y", 70, row);
    let settings = |missing: &str| {
        csv(&json!({ "missing": missing, "missing_values": ["-99"], "features": ["x", "n"] }))
    };
    for (missing, most_frequent) in [("mean", None), ("most_frequent", Some(3.0_f32))] {
        let data = folder.open(&settings(missing)).unwrap();
        let training = data.split(Split::Train);
        let known: Vec<f32> = training
            .iter()
            .filter(|row| data.example(**row)[1] == 0.0)
            .map(|row| data.example(*row)[0])
            .collect();
        let mean = known.iter().sum::<f32>() / known.len() as f32;
        let fill = most_frequent.unwrap_or(mean);
        for row in [1, 4, 5, 68] {
            let example = data.example(row);
            assert!(
                (example[0] - fill).abs() < 1e-5 && (example[1] - 1.0).abs() < 1e-6,
                "{example:?} {fill}"
            );
        }
        assert_eq!(data.example(0), [3.0, 0.0, 0.0]);
    }
    assert!(folder.refused(&settings("refuse")).contains("`x` (30 missing, the first in line 3)"));
    let gap = table("x,y", 9, |row| if row == 4 { "1,".to_owned() } else { format!("{row},{}", class(row)) });
    assert!(
        gap.refused(&csv(&json!({})))
            .contains("line 6, column `y`: found nothing, expected the name of a class")
    );
}

#[test]
fn unnamed_index_and_trailing_empty_column_are_refused() {
    let folder =
        table(",a,b,y", 40, |row| format!("{row},{},{},{}", row * 7 % 5, row * 3 % 4, ["u", "v"][row / 20]));
    let said = folder.refused(&csv(&json!({})));
    assert!(said.contains("column 1 (it has no name, as the index of a data frame)"), "{said}");
    assert!(said.contains("ignore = [\"\"]"), "{said}");
    assert_eq!(folder.open(&csv(&json!({ "ignore": [""] }))).unwrap().input(), "a, b");
    assert_eq!(folder.open(&csv(&json!({ "features": ["", "a"] }))).unwrap().task().input.channels, 2);
    let folder = table("a,y,", 40, |row| format!("{},{},", row * 7 % 5, class(row)));
    assert!(folder.refused(&csv(&json!({}))).contains("column 3 (it is empty)"));
    assert_eq!(folder.open(&csv(&json!({ "ignore": [""] }))).unwrap().input(), "a");
}

#[test]
fn suspicious_columns_are_noted_unless_listed_in_features() {
    let row = |row: usize| {
        let when = 1_700_000_000 + row * 37 % 3600;
        format!("{row},{},{when},{},{},{}", 100_000 + row * 7919 % 5003, row % 2, row * 5 % 13, class(row))
    };
    let folder = table("count,id,when,leak,x,y", 60, row);
    let notes = folder.open(&csv(&json!({}))).unwrap().notes().join("\n");
    for part in [
        "column `count` counts the lines",
        "column `id` holds a different whole number in every line",
        "column `when` ",
        "column `leak` alone determines the class; if it is not known where the network is used, leave it \
         out: `ignore = \
         [\"leak\"]`",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!notes.contains("`x`"), "{notes}");
    let stated = csv(&json!({ "features": ["count", "id", "when", "leak", "x"] }));
    assert_eq!(folder.open(&stated).unwrap().notes(), [] as [String; 0]);

    let folder =
        table("inches,x,y", 40, |row| format!("{},{},{}", row * row, row % 3, 2.54 * (row * row) as f64));
    let notes = folder.open(&csv(&json!({ "task": "regression" }))).unwrap().notes().join("\n");
    assert!(
        notes.contains("column `inches` alone determines a target") && !notes.contains("`x` alone"),
        "{notes}"
    );
}

#[test]
fn values_far_from_zero_keep_precision() {
    let of = |offset: f64| {
        let folder = table("t,y", 100, |row| {
            let x = (row * 37 % 100) as f64;
            format!("{},{}", offset + 36.0 * x, offset + 3.4 * x)
        });
        folder.open(&csv(&json!({ "task": "regression", "features": ["t"] }))).unwrap()
    };
    let standard = |data: &DataSet| -> Vec<f32> {
        let ((mean, deviation), (target, scale)) = (data.normalization(), data.target_normalization());
        let of_row = |row| {
            [(data.example(row)[0] - mean[0]) / deviation[0], (data.values(row)[0] - target[0]) / scale[0]]
        };
        (0..100).flat_map(of_row).collect()
    };
    let plain = standard(&of(0.0));
    for offset in [1.7e9, -6.7e6, 5e12] {
        let data = of(offset);
        assert_ne!(data.offset(0).to_bits(), 0);
        for (found, expected) in standard(&data).iter().zip(&plain) {
            // The decimal text in the file has an error of about 1e-7 standard deviations for the offset
            // 1.7e9, and 1e-5 for 5e12.
            assert!((found - expected).abs() < 1e-4, "{offset}: {found} {expected}");
        }
        assert!(
            data.notes().iter().any(|note| note.contains("varies too little around")),
            "{:?}",
            data.notes()
        );
    }
    let Targets::Values { offsets, .. } = of(1.7e9).targets().clone() else { panic!("values") };
    assert!((offsets[0] - 1.7e9).abs() < 1000.0, "{offsets:?}");
}

#[test]
fn headerless_table_with_decimal_commas_is_read() {
    let folder = Folder::new();
    let line = |row: usize| format!("{row},5;-1,25e1;{}\n", class(row));
    folder.put("t.csv", (0..20).map(line).collect::<String>());
    let settings = json!({
        "kind": "csv", "file": "t.csv", "target": "3", "header": false, "separator": ";", "decimal": ","
    });
    let data = folder.open(&settings).unwrap();
    assert_eq!((data.input(), data.targets().len()), ("1, 2", 20));
    assert_eq!(data.example(7), [7.5, -12.5]);
    folder.put("t.csv", "1,2,3\n4,5,6\n");
    let said = folder.refused(&csv(&json!({})));
    assert!(said.contains("for a file without a header line set `header = false`"), "{said}");
    let said = folder.refused(&csv(&json!({ "decimal": "," })));
    assert!(
        said.starts_with("`data.decimal`: found ',', expected `.` or `,`, and not the separator"),
        "{said}"
    );
}

#[test]
fn custom_and_escaped_quotes_are_read() {
    let expected = |data: &DataSet| {
        let names: Vec<&str> = data.inputs().iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["a, b=say \"0\"", "a, b=say \"1\"", "a, b is unseen", "x"]);
        assert_eq!((data.targets().len(), data.example(3)), (20, [0.0, 1.0, 0.0, 3.5].as_slice()));
    };
    let other = |row: usize| format!("'say \"{}\"','{row}.5',{}", row / 2 % 2, class(row));
    let folder = table("'a, b','x',y", 20, other);
    expected(&folder.open(&csv(&json!({ "quote": "'", "categorical": ["a, b"] }))).unwrap());
    let escaped = |row: usize| format!(r#""say \"{}\"",{row}.5,{}"#, row / 2 % 2, class(row));
    let folder = table("\"a, b\",x,y", 20, escaped);
    expected(&folder.open(&csv(&json!({ "escape": "\\", "categorical": ["a, b"] }))).unwrap());
    // The same cell without quotes.
    let bare = |row: usize| format!(r#"say \"{}\",{row}.5,{}"#, row / 2 % 2, class(row));
    let folder = table(r"a\, b,x,y", 20, bare);
    expected(&folder.open(&csv(&json!({ "escape": "\\", "categorical": ["a, b"] }))).unwrap());
    for (key, wrong, said) in [
        ("quote", "é", "`data.quote`: found 'é', expected one ASCII character that is neither a letter"),
        ("quote", ",", "`data.separator`: found ',', expected one ASCII character"),
        ("escape", "\"", "`data.escape`: found '\"', expected one ASCII character other than `quote`"),
    ] {
        let refused = folder.refused(&csv(&json!({ key: wrong })));
        assert!(refused.starts_with(said), "{refused}");
    }
}

#[test]
fn unicode_encodings_are_detected_and_others_configured() {
    let line = |row: usize| format!("{row},{}\n", class(row));
    let text = "größe,y\n".to_owned() + &(0..20).map(line).collect::<String>();
    let folder = Folder::new();
    let plain = {
        folder.put("t.csv", &text);
        folder.open(&csv(&json!({}))).unwrap().hash().to_owned()
    };
    let marked = "\u{FEFF}".to_owned() + &text;
    for (bytes, is_utf_16) in [
        (marked.clone().into_bytes(), false),
        (marked.encode_utf16().flat_map(u16::to_le_bytes).collect(), true),
        (marked.encode_utf16().flat_map(u16::to_be_bytes).collect(), true),
    ] {
        folder.put("t.csv", bytes);
        let data = folder.open(&csv(&json!({}))).unwrap();
        assert_eq!((data.hash(), data.input()), (plain.as_str(), "größe"));
        assert_eq!(data.notes().iter().any(|note| note.ends_with("the text is UTF-16")), is_utf_16);
    }
    let latin: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
    folder.put("t.csv", latin);
    let said = folder.refused(&csv(&json!({})));
    assert!(said.contains("`encoding = \"windows-1252\"` or `\"latin-1\"`"), "{said}");
    for encoding in ["latin-1", "windows-1252"] {
        assert_eq!(folder.open(&csv(&json!({ "encoding": encoding }))).unwrap().hash(), plain, "{encoding}");
    }
}

#[test]
fn numeric_classes_are_sorted_as_numbers() {
    let folder = table("x,y", 60, |row| format!("{},{}.0", row * 7 % 13, row % 12 + 1));
    let names = folder.open(&csv(&json!({}))).unwrap().targets().names().join(" ");
    assert_eq!(names, "1.0 2.0 3.0 4.0 5.0 6.0 7.0 8.0 9.0 10.0 11.0 12.0");
}

#[test]
fn unseen_categories_share_one_input_and_are_counted() {
    let folder = table("soil,y", 40, |row| format!("{},{}", ["clay", "sand"][row / 2 % 2], class(row)));
    folder.put("new.csv", "soil,y\nclay,no\npeat,yes\nloam,no\n");
    let settings = csv(&json!({ "categorical": ["soil"], "test_file": "new.csv" }));
    let data = folder.open(&settings).unwrap();
    let test: Vec<&[f32]> = data.split(Split::Test).iter().map(|row| data.example(*row)).collect();
    assert_eq!(test, [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]);
    let note = "column `soil`: 2 of 43 lines have a name that no training example has; they share one input";
    assert_eq!(data.notes(), [note]);
    let many = table("id,y", 1200, |row| format!("n{row},{}", class(row)));
    let said = many.refused(&csv(&json!({ "categorical": ["id"] })));
    assert!(
        said.starts_with("t.csv: line 1002, column `id`: found more than 1000 different names"),
        "{said}"
    );
}

#[test]
fn constant_targets_are_refused() {
    let folder = table("x,y", 40, |row| format!("{row},5"));
    let said = folder.refused(&csv(&json!({ "task": "regression" })));
    assert_eq!(
        said,
        "t.csv: all lines: found 5 in every line of column `y`, expected a target that varies; nothing can be \
         learned from a constant"
    );
    assert!(folder.refused(&csv(&json!({}))).contains("found one class `5` in column `y`"));
}

#[test]
fn error_lines_match_editor_lines() {
    let table = |end: &str| {
        let lines = (0..40)
            .map(|row| if row == 28 { format!("x,{}", class(row)) } else { format!("{row},{}", class(row)) });
        ["n,y".to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join(end)
    };
    let folder = Folder::new();
    // Line 1 is the header, so line 30 contains row 28.
    for (text, line) in [
        (table("\n"), 30),
        (table("\r\n"), 30),
        (table("\r"), 30),
        (table("\n").replacen("1,yes\n", "1,yes\n\n\n", 1), 32),
        (table("\r\n").replacen("\r\n1,yes", "\r\n\r\n1,yes", 1), 31),
        (table("\n").replacen("0,no", "\"0\n\",no", 1), 31),
    ] {
        folder.put("t.csv", &text);
        let said = folder.refused(&csv(&json!({})));
        assert!(said.contains(&format!("`n` (numbers, but 1 text, the first `x` in line {line};")), "{said}");
        let target =
            folder.refused(&csv(&json!({ "target": "n", "features": ["n2"], "task": "regression" })));
        assert!(target.contains("no column `n2`"), "{target}");
        folder.put("t.csv", text.replace("n,y", "y,n"));
        let said = folder.refused(&csv(&json!({ "task": "regression", "categorical": ["n"] })));
        assert!(said.starts_with(&format!("t.csv: line {line}, column `y`: found `x`")), "{text:?}: {said}");
    }
    for end in ["\n", "\r\n", "\r"] {
        folder.put("t.csv", table(end).replace("x,no", "28"));
        let said = folder.refused(&csv(&json!({})));
        assert!(said.starts_with("t.csv: line 30: found 1 column, expected 2"), "{end:?}: {said}");
    }
}

#[test]
fn endless_line_and_unclosed_quote_are_refused_early() {
    let folder = table("x,y", 40, |row| format!("{row},{}", class(row)));
    let long = "1,".repeat(9 << 20);
    folder.put("t.csv", &long);
    let said = folder.refused(&csv(&json!({})));
    assert!(said.starts_with("t.csv: line 1: found no end of the record within 16777216 bytes"), "{said}");
    let quoted = "x,y\n1,no\n2,\"yes\n".to_owned() + &"3,no\n".repeat(4 << 20);
    folder.put("t.csv", quoted);
    let said = folder.refused(&csv(&json!({})));
    assert!(said.starts_with("t.csv: line 3: found no end of the record"), "{said}");
    assert!(said.contains("a quote that is never closed"), "{said}");
}
