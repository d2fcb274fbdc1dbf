//! Checks which folder of a crate uses which other folder, and that files have no circular uses. The test
//! reads the paths in the source code.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod modules;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use modules::{Edge, Modules};

/// The rules for a crate's source code.
struct Rules {
    /// The folder of the crate's source code.
    sources: &'static str,
    /// The crate's modules. Each module may use only those before it in this list. An empty list allows every
    /// use.
    order: &'static [&'static str],
    /// Whether files must not use each other in a circle, directly or through other files.
    has_no_circles: bool,
}

const RULES: [Rules; 4] = [
    Rules { sources: "engines/src", order: &[], has_no_circles: true },
    Rules {
        sources: "evaluator/src",
        order: &[
            "seed",
            "devices",
            "data",
            "judging",
            "network",
            "deploy",
            "training",
            "compression",
            "evaluators",
        ],
        has_no_circles: true,
    },
    Rules {
        sources: "evaluator/kernels/src",
        order: &[
            "simd",
            "shared",
            "planes",
            "elementwise",
            "pooling",
            "linear",
            "dense",
            "depthwise",
            "convolution",
            "tensors",
            "measurement",
        ],
        has_no_circles: true,
    },
    Rules {
        sources: "search/src",
        order: &[
            "trials",
            "comparison",
            "domain",
            "contracts",
            "error",
            "persistence",
            "learning",
            "table",
            "strategies",
            "registry",
            "study",
            "bench",
            "testing",
        ],
        has_no_circles: true,
    },
];

impl Rules {
    /// Lists the broken rules, one on each line.
    fn broken(&self, modules: &Modules) -> Vec<String> {
        let edges = modules.edges();
        let mut broken = if self.order.is_empty() { Vec::new() } else { self.misplaced(modules, &edges) };
        if self.has_no_circles {
            broken.extend(circles(&edges));
        }
        broken
    }

    /// Lists modules that have no place in the order, and uses against the order.
    fn misplaced(&self, modules: &Modules, edges: &BTreeSet<Edge>) -> Vec<String> {
        // The root of the crate comes after all modules.
        let place =
            |file: &str| self.order.iter().position(|known| *known == room(file)).unwrap_or(self.order.len());
        let rooms: BTreeSet<&str> = modules.files().filter(|file| *file != "lib.rs").map(room).collect();
        let new = rooms.iter().filter(|room| !self.order.contains(room));
        let new = new.map(|room| format!("`{room}` needs its place in the order"));
        let gone = self.order.iter().filter(|known| !rooms.contains(*known));
        let gone = gone.map(|known| format!("`{known}` is no longer there"));
        let upwards = edges.iter().filter(|edge| place(&edge.from) < place(&edge.to));
        let upwards = upwards.map(|Edge { from, to, item }| {
            format!("{from} must not use `{item}` of {to}: `{}` comes after `{}`", room(to), room(from))
        });
        new.chain(gone).chain(upwards).collect()
    }
}

/// Returns the crate's top-level module to which a file belongs.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// Lists every use that is part of a circle.
fn circles(edges: &BTreeSet<Edge>) -> Vec<String> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Edge { from, to, .. } in edges {
        uses.entry(from).or_default().insert(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|file| (*file, reached(file, &uses))).collect();
    let leads = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
    let circular = edges.iter().filter(|edge| leads(&edge.to, &edge.from));
    circular.map(|Edge { from, to, item }| format!("{from} -> {to} (`{item}`) is part of a circle")).collect()
}

/// Returns all files that a file uses, directly or through other files.
fn reached<'a>(file: &str, uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        for used in uses.get(file).into_iter().flatten() {
            if reached.insert(*used) {
                open.push(used);
            }
        }
    }
    reached
}

#[test]
fn folders_keep_their_order_and_files_make_no_circles() {
    let mut broken = Vec::new();
    for rules in &RULES {
        let modules = Modules::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(rules.sources));
        assert!(
            modules.files().count() > 8 && modules.edges().len() > 20,
            "{}: sources are read",
            rules.sources
        );
        broken.extend(rules.broken(&modules).into_iter().map(|what| format!("{}: {what}", rules.sources)));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Lists the rules that a synthetic crate with two folders breaks.
fn broken(sources: &[(&str, &str)]) -> Vec<String> {
    let rules = Rules { sources: "", order: &["low", "high"], has_no_circles: true };
    rules.broken(&Modules::of([LIB].iter().chain(sources).copied()))
}

const LIB: (&str, &str) = ("lib.rs", "mod high;\nmod low;\npub use low::Stone;");
const LOW: (&str, &str) = ("low/mod.rs", "mod stone;\nmod wall;\npub(crate) use stone::Stone;");
const STONE: (&str, &str) =
    ("low/stone.rs", "pub(crate) struct Stone;\nimpl Stone { fn new() -> Self { Self } }");
const HIGH: (&str, &str) = ("high.rs", "use crate::low::Stone;\nfn roof() { Stone::new(); }");

#[test]
fn a_crate_in_order_breaks_nothing() {
    // The wall uses an item that its parent only re-exports, so it does not use its parent.
    let wall = ("low/wall.rs", "use super::Stone;\nstruct Wall(Stone);");
    assert_eq!(broken(&[LOW, STONE, wall, HIGH]), [""; 0]);
}

#[test]
fn the_root_uses_all_and_is_used_by_none() {
    // A function may have the same name as a module.
    let lib = "mod high;\nmod low;\npub use low::stone::high;\npub fn sky() { high() }";
    let stone = "pub(crate) struct Stone;\npub(crate) fn high() { crate::sky() }";
    let sources = [("lib.rs", lib), ("low/mod.rs", "pub(crate) mod stone;"), ("low/stone.rs", stone)];
    let found = Rules { sources: "", order: &["low"], has_no_circles: false }.broken(&Modules::of(sources));
    assert_eq!(found, ["low/stone.rs must not use `sky` of lib.rs: `lib` comes after `low`"]);
}

#[test]
fn a_re_export_with_the_name_of_a_module_is_no_use() {
    let low = ("low/mod.rs", "mod stone;\nmod wall;\npub(crate) use wall::stone;\nfn lay() {}");
    let stone = ("low/stone.rs", "fn build() { super::lay() }");
    let wall = ("low/wall.rs", "pub(crate) fn stone() { super::lay() }");
    let high = ("high.rs", "use crate::low::stone;");
    assert_eq!(broken(&[low, stone, wall, high]), [""; 0]);
}

#[test]
fn uses_against_the_order_are_found_however_they_are_written() {
    let expected = "low/wall.rs must not use `roof` of high.rs: `high` comes after `low`";
    for wall in [
        "use crate::high::roof;",
        "use crate::{high::{self, roof as top}, low::Stone};",
        "use crate::high;\nfn build() { high::roof() }",
        "fn build() { vec![super::super::high::roof()]; }",
        "use crate::high::*;\nfn build() { roof() }",
        "fn build() { let (quote, lifetime) = ('\"', &'static str); crate::high::roof() }",
    ] {
        assert_eq!(broken(&[LOW, STONE, ("low/wall.rs", wall), HIGH]), [expected], "{wall}");
    }
}

#[test]
fn circles_are_found_also_by_way_of_a_parent() {
    let wall = ("low/wall.rs", "use super::stone::Stone;\npub(super) struct Wall(Stone);");
    let stone = ("low/stone.rs", "pub(crate) struct Stone;\nfn build() { super::wall::Wall; }");
    let expected = [
        "low/stone.rs -> low/wall.rs (`Wall`) is part of a circle",
        "low/wall.rs -> low/stone.rs (`Stone`) is part of a circle",
    ];
    assert_eq!(broken(&[LOW, stone, wall, HIGH]), expected);
    // Here the parent defines an item that its child uses, and the parent also uses the child.
    let low = ("low/mod.rs", "mod stone;\npub(crate) use stone::Stone;\npub(crate) fn lay(stone: Stone) {}");
    let stone = ("low/stone.rs", "pub(crate) struct Stone;\nfn build() { super::lay(Stone) }");
    let expected = [
        "low/mod.rs -> low/stone.rs (`Stone`) is part of a circle",
        "low/stone.rs -> low/mod.rs (`lay`) is part of a circle",
    ];
    assert_eq!(broken(&[low, stone, HIGH]), expected);
}

#[test]
fn comments_texts_tests_and_other_crates_are_not_uses() {
    let wall = "//! [`roof`](crate::high::roof)\n/* /* crate::high::roof */ */\nuse high::roof;\n\
                const TEXT: &str = \"\\\" crate::high::roof\";\nconst RAW: &str = r#\"\" crate::high::roof\"#;\n\
                #[cfg(test)]\nuse crate::high::{roof};\n#[cfg(test)]\nmod tests { use crate::high::roof; }\n\
                #[cfg(test)]\nmod testing;";
    let testing = ("low/wall/testing.rs", "use crate::high::roof;");
    assert_eq!(broken(&[LOW, STONE, ("low/wall.rs", wall), testing, HIGH]), [""; 0]);
}

#[test]
fn folders_without_a_place_and_places_without_a_folder_are_found() {
    let cellar = ("cellar.rs", "");
    let expected = ["`cellar` needs its place in the order", "`high` is no longer there"];
    assert_eq!(broken(&[LOW, STONE, ("low/wall.rs", ""), cellar]), expected);
}
