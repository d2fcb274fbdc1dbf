//! Names the commit that is built, for `kiln --version`. Outside a repository nothing is named.
//!
//! The script runs again when the commit changes. Cargo then compiles only this package again, because no
//! other crate depends on it.

// Cargo reads a build script's standard output.
#![allow(clippy::print_stdout)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else { return };
    if !is_root_of_repository(&package) {
        return;
    }
    // `HEAD` names the branch, whose own file contains the commit. Git sometimes moves that file into
    // `packed-refs`.
    let branch = git(&package, &["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD"].into_iter().chain(branch.as_deref()).chain(["packed-refs"]) {
        let file = git(&package, &["rev-parse", "--git-path", name]).map(|file| package.join(file));
        // Cargo runs the script in every build when a file that it watches is missing. The next commit makes
        // the file of a branch that Git has moved, so its folder is watched.
        let watched = file.and_then(|file| file.ancestors().find(|path| path.exists()).map(Path::to_owned));
        if let Some(watched) = watched.filter(|path| path.is_file() || name.starts_with("refs/")) {
            println!("cargo::rerun-if-changed={}", watched.display());
        }
    }
    if let Some(commit) = git(&package, &["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo::rustc-env=KILN_COMMIT={commit}");
    }
}

/// Whether the package is the root of a repository. A copy of the package inside another repository has no
/// commit of its own there.
fn is_root_of_repository(package: &Path) -> bool {
    let top = git(package, &["rev-parse", "--show-toplevel"]).map(PathBuf::from);
    let canonical = |path: &Path| path.canonicalize().ok();
    top.is_some_and(|top| canonical(&top).is_some() && canonical(&top) == canonical(package))
}

/// What Git answers, without the line end; nothing where it fails or is not installed.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(folder).args(arguments).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !answer.is_empty()).then_some(answer)
}
