//! Tests that a damaged model file or card leads to an error or to a valid model, never to a panic. Exporting
//! a valid model must not panic either.

use kiln_damage::check_damaged;

use crate::{ExporterRegistry, ModelCard, TrainedModel, testing};

/// Reads a file. If that succeeds, every format must export the model without a panic.
fn read(mut bytes: &[u8]) {
    if let Ok(model) = TrainedModel::read(&mut bytes) {
        let exporters = ExporterRegistry::builtin();
        for (_, part) in exporters.entries() {
            drop((part.build)().export(&model, &mut Vec::new()));
        }
    }
}

fn model_files() -> Vec<Vec<u8>> {
    let written = |model: &TrainedModel| {
        let mut bytes = Vec::new();
        model.write(&mut bytes).expect("a sample is whole");
        bytes
    };
    let mut files: Vec<Vec<u8>> = testing::sample_models().values().map(written).collect();
    files.sort_by_key(Vec::len);
    files.truncate(4);
    files
}

#[test]
fn parser_of_damaged_model_files_never_panics() {
    check_damaged(&model_files(), read);
}

#[test]
fn parser_of_damaged_descriptions_with_valid_checksum_never_panics() {
    let files = model_files();
    let start = files[0][..12].to_vec();
    let descriptions: Vec<Vec<u8>> = files
        .into_iter()
        .map(|bytes| {
            let length = u64::from_le_bytes(bytes[12..20].try_into().expect("eight bytes")) as usize;
            bytes[20..20 + length].to_vec()
        })
        .collect();
    check_damaged(&descriptions, |description| {
        let mut bytes = start.clone();
        bytes.extend_from_slice(&(description.len() as u64).to_le_bytes());
        bytes.extend_from_slice(description);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        // Append as many values as the described arrays have (up to a limit), and their checksum.
        let text: serde_json::Value = serde_json::from_slice(description).unwrap_or_default();
        let count = |shape: &serde_json::Value| {
            let sizes = shape.as_array().map(Vec::as_slice).unwrap_or_default();
            sizes.iter().map(|size| size.as_u64().unwrap_or(0)).fold(1, u64::saturating_mul)
        };
        let arrays = text["arrays"].as_object();
        let values = arrays.map_or(0, |arrays| arrays.values().map(count).fold(0, u64::saturating_add));
        let values = 0.5_f32.to_le_bytes().repeat(values.min(1 << 16) as usize);
        bytes.extend_from_slice(&values);
        bytes.extend_from_slice(blake3::hash(&values).as_bytes());
        read(&bytes);
    });
}

#[test]
fn parser_of_damaged_cards_never_panics() {
    let mut card = Vec::new();
    testing::perceptron().card.write(&mut card).expect("a sample is whole");
    check_damaged(&[card], |mut bytes| drop(ModelCard::read(&mut bytes)));
}
