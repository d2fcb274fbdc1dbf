//! Shows the compressed forms of finished networks, from the networks' cards.

use std::collections::{BTreeMap, BTreeSet};

use kiln_export::ModelCard;
use kiln_export::page::{Cell, Part, Section, Table};
use kiln_search::TrialId;

use crate::finished_files::CardError;
use crate::units;

/// Makes the section for these cards. Returns `None` if no network was compressed.
pub(super) fn section(cards: &BTreeMap<TrialId, Result<ModelCard, CardError>>) -> Option<Section> {
    let cards = cards.iter().filter_map(|(trial, card)| Some((*trial, card.as_ref().ok()?)));
    let cards: Vec<(TrialId, &ModelCard)> = cards.filter(|(_, card)| !card.compressed.is_empty()).collect();
    if cards.is_empty() {
        return None;
    }
    let entries = cards.iter().flat_map(|(_, card)| &card.compressed);
    // The others are in the card of each compressed network.
    let is_shown = |name: &&String| !(name.contains("balanced") || name.contains("f1"));
    let metrics: BTreeSet<&String> =
        entries.flat_map(|entry| entry.metrics.keys()).filter(is_shown).collect();
    let mut headings = vec!["trial".to_owned(), "recipe".to_owned()];
    headings.extend(metrics.iter().map(|name| units::shown(name, 0.0).0));
    headings.extend(["file", "weights", "MACs"].map(str::to_owned));
    let missing = || "–".to_owned();
    let bytes = |bytes: u64| Cell::Number(units::bytes(bytes as f64));
    let mut rows = Vec::new();
    for (trial, card) in cards {
        for entry in &card.compressed {
            let mut row = vec![Cell::Number(trial.to_string()), Cell::Text(entry.recipe.clone())];
            row.extend(metrics.iter().map(|name| {
                let value = entry.metrics.get(*name);
                Cell::Number(value.map_or_else(missing, |value| units::shown(name, *value).1))
            }));
            row.push(entry.file_bytes.map_or_else(|| Cell::Number(missing()), bytes));
            row.push(bytes(entry.weight_bytes));
            row.push(Cell::Number(units::count(entry.macs as f64)));
            rows.push(row);
        }
    }
    let text = "Each network was compressed by the recipes of [finish], and measured on the test split. \
                File and weights are in bytes.";
    let caption = "Compressed forms of finished networks".to_owned();
    let table = Part::Table(Table { caption: caption.clone(), headings, rows });
    Some(Section { title: caption, parts: vec![Part::Text(text.to_owned()), table] })
}
