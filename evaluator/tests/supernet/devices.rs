//! Tests several devices. On the CPU, each device is one parallel worker, and the number of workers changes
//! no result.

use kiln_space::variation;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::parts::{build, evaluate, never};

#[test]
fn training_on_several_slots_equals_training_on_one() {
    // Each epoch has six steps. A fingerprint contains the hash of the weights, so equal fingerprints mean
    // equal weights.
    let trained = |extra: Value| {
        let folder = tempfile::tempdir().unwrap();
        let mut table = json!({ "epochs": 4, "subnets": 5 });
        for (key, value) in extra.as_object().unwrap() {
            table[key] = value.clone();
        }
        let (built, space, _) = build(folder.path(), &table);
        built.evaluator.prepare(&never()).unwrap();
        let genotype = variation::sample(space.as_ref(), &mut Pcg64::seed_from_u64(1));
        (built.evaluator.fingerprint(), evaluate(&built, space.as_ref(), &genotype))
    };
    let one = trained(json!({ "device": "cpu" }));
    assert_eq!(one, trained(json!({ "devices": ["cpu", "cpu"] })));
    assert_eq!(one, trained(json!({ "devices": ["cpu", "cpu", "cpu"] })));
    let single_path = json!({ "sampling": "single_path", "devices": ["cpu"] });
    let slots = json!({ "sampling": "single_path", "devices": ["cpu", "cpu"] });
    assert_eq!(trained(single_path), trained(slots));
}
