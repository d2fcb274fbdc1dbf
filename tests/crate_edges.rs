//! Compares the dependencies between crates, as cargo reports them, with the edges that ARCHITECTURE.md
//! shows.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// For each crate, the crates of this workspace that it may use outside tests.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("kiln-damage", &[]),
    ("kiln-files", &[]),
    ("kiln-processes", &[]),
    ("kiln-http", &["kiln-files"]),
    ("kiln-regression", &[]),
    ("kiln-space", &[]),
    ("kiln-kernels", &[]),
    ("kiln-hw-models", &["kiln-files", "kiln-processes", "kiln-regression", "kiln-space"]),
    ("kiln-export", &["kiln-files", "kiln-hw-models", "kiln-space"]),
    ("kiln-search", &["kiln-files", "kiln-hw-models", "kiln-regression", "kiln-space"]),
    (
        "kiln-evaluator",
        &[
            "kiln-export",
            "kiln-files",
            "kiln-hw-models",
            "kiln-kernels",
            "kiln-processes",
            "kiln-search",
            "kiln-space",
        ],
    ),
    ("kiln-engines", &["kiln-files", "kiln-http", "kiln-processes", "kiln-search", "kiln-space"]),
    ("kiln-trackers", &["kiln-files", "kiln-http", "kiln-search", "kiln-space"]),
    (
        "kiln",
        &[
            "kiln-engines",
            "kiln-evaluator",
            "kiln-export",
            "kiln-files",
            "kiln-hw-models",
            "kiln-search",
            "kiln-space",
            "kiln-trackers",
        ],
    ),
];

/// External crates (by the start of their names) that only some crates may use.
const OWNED: [(&str, &[&str]); 9] = [
    ("burn", &["kiln-evaluator", "kiln-kernels"]),
    ("sled", &["kiln-search"]),
    ("indicatif", &["kiln"]),
    ("ratatui", &["kiln"]),
    ("clap", &["kiln"]),
    ("ort", &["kiln"]),
    ("prost", &["kiln-export", "kiln-trackers"]),
    ("rustix", &["kiln-processes"]),
    ("ureq", &["kiln-http"]),
];

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo describes the workspace");
    metadata.workspace_packages().into_iter().cloned().collect()
}

/// Returns the names of a package's dependencies, except those for tests.
fn used(package: &Package) -> BTreeSet<String> {
    let normal =
        package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    normal.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn crates_use_only_allowed_crates() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert!(names.len() > 1, "cargo names the crates of the workspace");
    for name in &names {
        assert!(allowed.contains_key(name), "the new crate `{name}` needs its line in this test");
    }
    for package in &packages {
        for used in used(package).iter().filter(|used| names.contains(used.as_str())) {
            assert!(
                allowed[package.name.as_str()].contains(&used.as_str()),
                "`{}` must not use `{used}`",
                package.name
            );
        }
    }
}

#[test]
fn external_crates_are_used_only_by_their_owners() {
    for package in &packages() {
        for used in used(package) {
            for (owned, owners) in OWNED {
                let is_it = used == owned || used.starts_with(&format!("{owned}-"));
                assert!(
                    !is_it || owners.contains(&package.name.as_str()),
                    "`{}` must not use `{used}`: that is the part of `{}`",
                    package.name,
                    owners.join("`, `")
                );
            }
        }
    }
}

#[test]
fn owners_use_external_crates_listed_for_them() {
    // If a crate were renamed, the test above would check nothing.
    let packages = packages();
    for (owned, owners) in OWNED.iter().filter(|(owned, _)| *owned != "ratatui") {
        let uses =
            |package: &Package| owners.contains(&package.name.as_str()) && used(package).contains(*owned);
        assert!(packages.iter().any(uses), "`{owned}` is used by none of its owners");
    }
}
