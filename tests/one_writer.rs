//! Checks that only `kiln-files` writes and reads whole files. The test searches the source code of all other
//! crates.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Calls that write or read files directly.
const CALLS: [&str; 9] = [
    "File::create",
    "File::open",
    "File::options",
    "OpenOptions",
    "fs::write(",
    "fs::read(",
    "fs::read_to_string(",
    "fs::rename(",
    "fs::copy(",
];

/// Files that may open other files directly, each with the reason.
const OTHERS: [(&str, &str); 24] = [
    ("search/src/persistence/journal/", "a journal is written on, line by line"),
    ("search/src/persistence/run_folder/lock.rs", "the lock is held open"),
    ("search/src/persistence/run_folder/held.rs", "the lock is held open"),
    ("search/src/persistence/run_folder/journal_lock.rs", "the lock is held open"),
    ("search/examples/", "what a user writes"),
    ("evaluator/src/training/checkpoint.rs", "the first bytes of a checkpoint say of which training it is"),
    ("src/inherited.rs", "reads what the system says of its signals"),
    ("evaluator/src/deploy/provenance.rs", "reads what the system says of its processor"),
    ("processes/src/group.rs", "reads what the system says of processes"),
    ("engines/src/slurm.rs", "creates the log to which a job appends"),
    ("engines/src/worker.rs", "reads what the system says of its name"),
    ("processes/src/detached.rs", "the outputs of a program are appended"),
    ("src/memory.rs", "reads what the system says of its memory"),
    ("src/audit/records.rs", "`audit.jsonl` is written on, line by line, under a lock"),
    ("trackers/src/tensorboard.rs", "event files are written on, record by record"),
    ("src/logging.rs", "the log is written on"),
    ("src/config/document.rs", "a config may come through a pipe"),
    ("evaluator/src/evaluators/command/kept.rs", "moves and copies what another program wrote"),
    ("evaluator/src/data/", "data sets are read in pieces, with limits of their own"),
    ("evaluator/kernels/examples/", "reads what the system says of its threads"),
    ("damage/src/lib.rs", "reads what the system says of its memory"),
    ("export/src/rust_module/", "source code that is exported"),
    ("export/examples/", "samples for tests of other runtimes"),
    ("examples/", "what a user writes"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["target", "tests", "files"].contains(&name) && !name.starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Returns the code of a file without its tests, which are at the file's end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("mod tests {"));
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn only_kiln_files_writes_and_reads_whole_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(root, &mut files);
    assert!(files.len() > 200, "the sources are found");
    let mut unused: Vec<&str> = OTHERS.iter().map(|(place, _)| *place).collect();
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let calls: Vec<String> = code(&text)
            .filter(|(_, line)| CALLS.iter().any(|call| line.replace("WholeFile::create", "").contains(call)))
            .map(|(index, line)| format!("{name}:{}: {}", index + 1, line.trim()))
            .collect();
        let other = OTHERS.iter().find(|(place, _)| name.starts_with(place));
        match other {
            Some((place, _)) if !calls.is_empty() => unused.retain(|known| known != place),
            Some(_) => {}
            None => found.extend(calls),
        }
    }
    assert!(found.is_empty(), "use `kiln_files`, or say here why not:\n{}", found.join("\n"));
    assert!(unused.is_empty(), "no longer there: {unused:?}");
}
