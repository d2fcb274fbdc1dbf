//! All dependencies have licenses that are compatible with Kiln's licenses.

use std::process::Command;

/// Licenses that require nothing but attribution.
const ACCEPTED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// Crates with other accepted licenses, each with the reason.
const EXCEPTIONS: [(&str, &str); 1] = [
    // This license is a weak copyleft for each file. Kiln uses the crate unchanged.
    ("colored", "MPL-2.0"),
];

/// Whether every required part of the license expression has at least one accepted alternative.
fn is_accepted(expression: &str) -> bool {
    expression.split(" AND ").all(|part| {
        let part = part.trim().trim_start_matches('(').trim_end_matches(')').replace('/', " OR ");
        part.split(" OR ").any(|license| ACCEPTED.contains(&license.trim()))
    })
}

#[test]
fn dependencies_have_accepted_licenses() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--edges", "normal,build", "--prefix", "none"])
        .args(["--features", "https", "--format", "{p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo writes text");
    let mut crates = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (package, license) = line.split_once('|').expect("the format has a bar");
        let name = package.split(' ').next().unwrap_or_default();
        let license = license.trim_end_matches(" (*)");
        crates += 1;
        assert!(
            is_accepted(license) || EXCEPTIONS.contains(&(name, license)),
            "`{package}` is licensed under `{license}`, which is not among the accepted ones"
        );
    }
    assert!(crates > 50, "cargo names the dependencies");
}

#[test]
fn license_expressions_are_parsed() {
    for accepted in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(is_accepted(accepted), "{accepted}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR LGPL-3.0) AND MIT"] {
        assert!(!is_accepted(refused), "{refused}");
    }
}
