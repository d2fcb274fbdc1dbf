//! Checks the Markdown pages: links and anchors have targets, the guide's summary lists every page, and the
//! reference equals what the program generates. `KILN_BLESS=1 cargo test --test guide` rewrites the
//! reference.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod accepted;
mod commands;
mod config_keys;
mod links;

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a page of the guide with its expected text, or writes the page.
fn hold(page: &str, expected: &str) {
    let path = root().join("docs/guide/src").join(page);
    if std::env::var_os("KILN_BLESS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    let line = differs.unwrap_or_else(|| found.lines().count().min(expected.lines().count())) + 1;
    assert!(
        found == expected,
        "{page}, line {line}, is not what the program says of itself: KILN_BLESS=1 cargo test --test guide"
    );
}

/// Returns all Markdown pages below a folder, in order.
fn pages(folder: &Path) -> Vec<PathBuf> {
    const PASSED_OVER: [&str; 6] = ["target", "runs", "shared", "golden", "template", "fixtures"];
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !PASSED_OVER.contains(&name) && (!name.starts_with('.') || name == ".github") {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    found
}
