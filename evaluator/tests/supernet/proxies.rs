//! Tests zero-cost proxies: as evaluators, as the lowest fidelity, and in comparison with published scores.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use kiln_evaluator::{Built, EvaluatorRegistry};
use kiln_search::{Fidelity, Outcome, Request, tau_b};
use kiln_space::spaces::NasBench201;
use kiln_space::{Genotype, SearchSpace, Settings, SpaceRegistry, variation};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde_json::json;

use crate::parts::{build, context, data, never, settings, space};

const KINDS: [(&str, &str); 2] = [("naswot", "negative_naswot"), ("synflow", "negative_log_synflow")];

fn proxy(kind: &str, space: &Arc<dyn SearchSpace>) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &data(), space);
    EvaluatorRegistry::builtin().build(kind, &Settings::empty("evaluator"), None, context).unwrap()
}

fn score(built: &Built, space: &dyn SearchSpace, genotype: &Genotype, fidelity: Fidelity) -> (String, f64) {
    let architecture = space.decode(genotype).unwrap();
    let request = Request { genotype, architecture: &architecture, fidelity, seed: 1 };
    let Outcome::Measured(measured) = built.evaluator.evaluate(&request).unwrap() else {
        panic!("{genotype} has no score")
    };
    assert_eq!(measured.metrics().len(), 1);
    measured.metrics().iter().map(|(name, value)| (name.clone(), *value)).next().unwrap()
}

#[test]
fn proxy_is_evaluator_and_lowest_fidelity_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let space = space(&data());
    let genotype = variation::sample(space.as_ref(), &mut Pcg64::seed_from_u64(2));
    for (kind, metric) in KINDS {
        let built = proxy(kind, &space);
        built.evaluator.prepare(&never()).unwrap();
        assert_eq!(built.metrics, [metric]);
        let found = score(&built, space.as_ref(), &genotype, Fidelity::Full);
        assert_eq!(found.0, metric);
        assert_eq!(found, score(&built, space.as_ref(), &genotype, Fidelity::Full), "it is pure");
        let (supernet, ..) = build(folder.path(), &json!({ "proxy": kind, "epochs": 1 }));
        supernet.evaluator.prepare(&never()).unwrap();
        assert_eq!(found, score(&supernet, space.as_ref(), &genotype, Fidelity::Proxy));
    }
}

#[test]
fn finishing_after_proxy_requires_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let data = data();
    let context = context(folder.path(), &data, &space(&data));
    let (evaluator, finish) = (Settings::empty("evaluator"), settings("finish", &json!({ "batch": 32 })));
    let built = EvaluatorRegistry::builtin().build("naswot", &evaluator, Some(&finish), context);
    let error = built.err().unwrap().to_string();
    assert!(error.contains("`finish.epochs`"), "{error}");
}

/// Reads two columns of a gzipped table, by row number.
fn columns(path: &Path, names: [&str; 2]) -> BTreeMap<String, String> {
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path).unwrap()));
    let header = reader.headers().unwrap().clone();
    let [key, value] = names.map(|name| header.iter().position(|column| column == name).unwrap());
    reader.records().map(|row| row.unwrap()).map(|row| (row[key].to_owned(), row[value].to_owned())).collect()
}

/// The published scores were computed on CIFAR-10 and with other initial weights, so the rankings are similar
/// but not equal.
#[test]
#[ignore = "needs KILN_DATA: NAS-Bench-201 and its zero-cost scores"]
fn proxy_scores_correlate_with_published_scores() {
    let data_folder = env::var_os("KILN_DATA").expect("`KILN_DATA` names the folder of real data");
    let folder = PathBuf::from(data_folder).join("nasbench201");
    let cells = columns(&folder.join("nasbench201.csv.gz"), ["index", "arch"]);
    let task = data().task();
    let space = SpaceRegistry::builtin().build("nasbench201", &Settings::empty("space"), Some(task)).unwrap();
    for ((kind, _), published) in KINDS.into_iter().zip(["naswot_cifar10", "synflow_cifar10"]) {
        let built = proxy(kind, &space);
        let published = columns(&folder.join("zero_cost_freerea.csv.gz"), ["index", published]);
        let mut scores = (Vec::new(), Vec::new());
        for index in (0..15_625).step_by(521).map(|index: u32| index.to_string()) {
            let genotype = NasBench201::genotype_from_arch(&cells[&index]).unwrap();
            let (_, found) = score(&built, space.as_ref(), &space.canonical(&genotype), Fidelity::Full);
            scores.0.push(-found);
            scores.1.push(published[&index].parse::<f64>().unwrap());
        }
        let tau = tau_b(&scores.0, &scores.1).unwrap();
        eprintln!("{kind}: tau {tau:.3} over {} cells", scores.0.len());
        assert!(tau > 0.6, "{kind}: {tau}");
    }
}
