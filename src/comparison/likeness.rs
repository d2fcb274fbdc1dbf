//! Determines whether two studies differ only in name, seed and budget.

use kiln::assembly::Assembly;
use kiln::config::{self, RunConfig};
use serde_json::{Value, json};

/// Keys that may differ between studies that count as seeds of one study. The keys of the budget may differ
/// too.
const FREE: [&str; 2] = ["study.name", "study.seed"];

/// Returns the part of a config that must be equal for studies to count as seeds of one study.
pub(crate) fn deciding(config: &RunConfig) -> Value {
    let mut root = config.document.root().clone();
    // `strategy = "name"` and `strategy = { kind = "name" }` mean the same.
    let strategy = &config.search.strategy;
    let mut table = strategy.settings.table().clone();
    table.insert("kind".to_owned(), json!(strategy.kind));
    if let Some(Value::Object(search)) = root.get_mut("search") {
        search.insert("strategy".to_owned(), table.into());
    }
    for key in FREE.iter().chain(&Assembly::FREE_KEYS) {
        match key.split_once('.') {
            Some((table, key)) => {
                if let Some(Value::Object(table)) = root.get_mut(table) {
                    table.remove(key);
                }
            }
            None => {
                root.remove(*key);
            }
        }
    }
    root.into()
}

/// Describes the first key at which two configs differ, with both values.
pub(super) fn difference(a: &Value, b: &Value) -> Option<String> {
    let config::Difference { key, there, here } = config::difference("", a, b)?;
    if key == "resolved.data" {
        return Some("the data or their splits differ".to_owned());
    }
    Some(format!("`{key}` is {there} there and {here} here"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kiln::config::Document;

    use super::*;

    fn config(evaluator: &str, search: &str) -> RunConfig {
        let text = format!(
            "[study]\nname = \"a\"\nseed = 1\n[space]\nkind = \"mlp\"\n[evaluator]\nkind = \
             \"scratch\"\n{evaluator}\n\
             [search]\ntrials = 3\n{search}\n"
        );
        RunConfig::from_document(Document::parse(Path::new("a.toml"), &text).unwrap(), None).unwrap()
    }

    #[test]
    fn only_name_seed_and_budget_may_differ() {
        let one = config("epochs = 9", "strategy = \"random\"");
        let mut other = config("epochs = 9", "hours = 2.0\nstrategy = { kind = \"random\" }");
        other.document.set("study", "name", "b".into());
        other.document.set("study", "seed", 7.into());
        other.document.set("search", "trials", 50.into());
        assert_eq!(difference(&deciding(&one), &deciding(&other)), None);

        let longer = config("epochs = 20", "strategy = \"random\"");
        let why = difference(&deciding(&one), &deciding(&longer)).unwrap();
        assert_eq!(why, "`evaluator.epochs` is `9` there and `20` here");
        let asked = config("epochs = 9", "strategy = { kind = \"random\", start = [[0]] }");
        let why = difference(&deciding(&one), &deciding(&asked)).unwrap();
        assert_eq!(why, "`search.strategy.start` is not set there and `[[0]]` here");
        other.document.set("resolved", "data", "beef".into());
        let why = difference(&deciding(&one), &deciding(&other)).unwrap();
        assert_eq!(why, "`resolved` is not set there and `{\"data\":\"beef\"}` here");
        let mut third = other.clone();
        third.document.set("resolved", "data", "cafe".into());
        let why = difference(&deciding(&third), &deciding(&other)).unwrap();
        assert_eq!(why, "the data or their splits differ");
    }
}
