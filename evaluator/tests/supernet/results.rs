//! Tests that results are bitwise equal to the stored results of each device class. A change that affects any
//! bit must raise `RESULTS_VERSION`.

use std::fs;

use kiln_evaluator::EvaluatorRegistry;
use kiln_export::TrainedModel;
use kiln_search::{Costs, Fidelity, Objectives, Origin, Outcome, Proposal, RESULTS_VERSION, Trial};
use kiln_space::{Genotype, variation};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::json;

use crate::parts::{build, context, data, evaluate, never, settings};

/// Each line is `version class what hash`.
const PINNED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supernet/results.txt");

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

/// Returns the bits of every measured value.
fn bits(outcome: &Outcome) -> String {
    let measured = outcome.measurement().expect("nothing diverges here").metrics();
    let lines = measured.iter().map(|(name, value)| format!("{name} {:016x}", value.to_bits()));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the weights of a network without its model card, because the card contains the version of the
/// package.
fn weights(model: &TrainedModel) -> String {
    let mut bytes = Vec::new();
    for (name, array) in &model.arrays {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend(array.data.iter().flat_map(|value| value.to_le_bytes()));
    }
    hash(&bytes)
}

/// Computes the results of this build: the class of its device, and a hash of each kind of result.
fn computed() -> (String, Vec<(&'static str, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let (built, space, _) = build(folder.path(), &json!({ "ema": 0.5 }));
    built.evaluator.prepare(&never()).unwrap();
    let mut rng = Pcg64::seed_from_u64(7);
    let genotypes: Vec<Genotype> = (0..3).map(|_| variation::sample(space.as_ref(), &mut rng)).collect();
    let mut estimates = String::new();
    for genotype in &genotypes {
        estimates += &bits(&evaluate(&built, space.as_ref(), genotype));
    }
    let genotype = genotypes[0].clone();
    let outcome = evaluate(&built, space.as_ref(), &genotype);
    let proposal =
        Proposal { genotype: genotype.clone(), fidelity: Fidelity::Full, origin: Origin::default() };
    let (costs, objectives) = (Costs::default(), Objectives::default());
    let trial = Trial { id: 4, proposal, outcome, costs, objectives, violation: 0.0 };
    let into = tempfile::tempdir().unwrap();
    built.finisher.as_ref().unwrap().finish(&trial, into.path(), &never()).unwrap();
    let model = TrainedModel::load(&into.path().join("model.kiln")).unwrap();

    let anchored = tempfile::tempdir().unwrap();
    let (corrected, ..) = build(anchored.path(), &json!({ "anchors": { "networks": 6, "batch": 32 } }));
    corrected.evaluator.prepare(&never()).unwrap();
    let corrected = bits(&evaluate(&corrected, space.as_ref(), &genotype));

    let alone = tempfile::tempdir().unwrap();
    let context = context(alone.path(), &data(), &space);
    let table = json!({ "epochs": 2, "batch": 32, "calibration": 64 });
    let scratch =
        EvaluatorRegistry::builtin().build("scratch", &settings("evaluator", &table), None, context);
    let scratch = scratch.unwrap();
    scratch.evaluator.prepare(&never()).unwrap();
    let scratch = bits(&evaluate(&scratch, space.as_ref(), &genotype));

    let class = built.evaluator.fingerprint();
    let class = class.trim_start_matches("supernet/").split("/results-").next().unwrap().to_owned();
    let results = vec![
        ("estimates", hash(estimates.as_bytes())),
        ("corrected", hash(corrected.as_bytes())),
        ("finished", weights(&model)),
        ("scratch", hash(scratch.as_bytes())),
    ];
    (class, results)
}

#[test]
fn results_match_pinned_hashes_of_their_version() {
    let (class, results) = computed();
    let pinned = fs::read_to_string(PINNED).unwrap();
    let start = format!("{RESULTS_VERSION} {class} ");
    let known: Vec<&str> = pinned.lines().filter_map(|line| line.strip_prefix(&start)).collect();
    let now: Vec<String> = results.iter().map(|(what, hash)| format!("{what} {hash}")).collect();
    if std::env::var_os("KILN_BLESS").is_some() {
        let others = pinned.lines().filter(|line| !line.starts_with(&start));
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        lines.extend(now.iter().map(|line| format!("{start}{line}")));
        fs::write(PINNED, lines.join("\n") + "\n").unwrap();
        return;
    }
    if known.is_empty() {
        eprintln!(
            "skipped: no results of version {RESULTS_VERSION} are pinned for `{class}`; KILN_BLESS=1 pins \
             them"
        );
        return;
    }
    assert_eq!(
        now, known,
        "the bits of results have changed: raise `RESULTS_VERSION` (search/src/trials/results.rs), then run this \
         test with KILN_BLESS=1"
    );
}
