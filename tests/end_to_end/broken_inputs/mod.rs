//! A list of broken inputs. Each input causes one message with file and place, and exit code 2. It changes
//! nothing.

mod configs;
mod data_files;
mod devices;
mod oddities;
mod places;
mod runs;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::sandbox::{Sandbox, SmallStudy};

/// A broken input, and parts of the message that it must cause.
struct Case<'a> {
    what: &'a str,
    arguments: Vec<&'a str>,
    /// Files in the folder of the config, which is `study.toml`.
    files: Vec<(&'a str, Vec<u8>)>,
    expected: &'a [&'a str],
}

/// Returns every file below a folder with its content, except the locks and logs of run folders.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "lock" && name != "kiln.log") {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Runs every case in `sandbox`, and reports all that fail.
fn check(sandbox: &Sandbox, cases: &[Case<'_>]) {
    let mut wrong = Vec::new();
    for case in cases {
        let put: Vec<_> = case.files.iter().map(|(name, bytes)| (sandbox.path(name), bytes)).collect();
        let before: Vec<Option<Vec<u8>>> = put.iter().map(|(path, _)| fs::read(path).ok()).collect();
        for (path, bytes) in &put {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let whole = contents(&sandbox.path(""));
        let said = sandbox.kiln(&case.arguments);
        let is_clear = said.code == 2
            && said.err.starts_with("error: ")
            && said.err.lines().count() == 1
            && said.out.is_empty()
            && case.expected.iter().all(|part| said.err.contains(part));
        if !is_clear {
            wrong.push(format!(
                "{}: exit code {}, {}\n  expected {:?}",
                case.what, said.code, said.err, case.expected
            ));
        }
        if contents(&sandbox.path("")) != whole {
            wrong.push(format!("{}: files have changed", case.what));
        }
        for ((path, _), before) in put.iter().zip(before) {
            match before {
                Some(before) => fs::write(path, before).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The config that the cases break.
fn study() -> String {
    SmallStudy { name: "broken", ..SmallStudy::default() }.text()
}

fn changed(text: &str, from: &str, to: &str) -> Vec<u8> {
    assert!(text.contains(from), "`{from}` is there");
    text.replacen(from, to, 1).into_bytes()
}
