//! Tests a warm start by published zero-cost scores of NAS-Bench-201. The best cells by these scores must be
//! far better than random cells.
//!
//! The environment variable `KILN_DATA` must contain the path of the folder with the tables.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use kiln_search::bench::{EqualCells, NasBench201Settings, Problem, Protocol};
use kiln_search::{
    Ask, CheckChain, CostSet, Costs, Domain, Event, Fidelity, JOURNAL_VERSION, JournalEntry, Objectives,
    Origin, Outcome, Proposal, Seconds, StrategyRegistry, Trial, seed,
};
use kiln_space::{Genotype, SearchSpace, Settings, size};
use serde_json::json;

/// Number of scored cells. The space contains 15,625 cells.
const SCORED: usize = 300;
const KEPT: usize = 10;

/// Reads scores by the index of the cell. Cells without a path from input to output have no score, because
/// the logarithm of their score is not a number.
fn scores(file: &Path, column: &str) -> BTreeMap<u64, f64> {
    let file = std::fs::File::open(file).expect("the scores can be opened");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the scores are text");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let place =
        reader.headers().expect("a header").iter().position(|name| name == column).expect("the column");
    let row = |row: csv::StringRecord| Some((row[0].parse().ok()?, row[place].parse().ok()?));
    let all = reader.records().filter_map(|found| row(found.expect("a row")));
    all.filter(|(_, score): &(u64, f64)| score.is_finite()).collect()
}

/// Writes the journal of a study whose evaluator is a proxy.
fn journal(file: &Path, name: &str, scored: &[(Genotype, f64)]) {
    let mut chain = CheckChain::default();
    let line = |(id, (genotype, score)): (usize, &(Genotype, f64))| {
        let proposal =
            Proposal { genotype: genotype.clone(), fidelity: Fidelity::Full, origin: Origin::default() };
        let outcome = Outcome::from_metrics([(name.to_owned(), -score)].into());
        let objectives = Objectives(vec![-score]);
        let trial =
            Trial { id: id as u64, proposal, outcome, costs: Costs::default(), objectives, violation: 0.0 };
        let (unix_s, elapsed_s, seconds) = (Seconds::ZERO, Seconds::ZERO, Seconds::ZERO);
        let event = Event::Trial { trial, known: false, seconds, worker: 0 };
        chain.line(&JournalEntry { version: JOURNAL_VERSION, unix_s, elapsed_s, event })
    };
    let lines: String = scored.iter().enumerate().map(line).collect();
    std::fs::write(file, lines).expect("the journal can be written");
}

fn error(problem: &Problem, genotype: &Genotype) -> f64 {
    let answer = problem.oracle.answer(genotype, Fidelity::Full).expect("the cell is in the table");
    answer.expect("the table has this effort").objectives[0]
}

fn first_error(problem: &Problem, journals: &[&Path]) -> f64 {
    let settings = json!({ "proxies": { "journals": journals, "keep": KEPT } });
    let settings = Settings::new("search", settings.as_object().cloned().expect("a table"));
    let mut strategy =
        StrategyRegistry::builtin().build("random", &settings).expect("the settings are allowed");
    let costs = CostSet::default();
    let domain = Domain::new(problem.space.as_ref(), &costs, &[], &problem.objectives);
    let mut first = || match strategy.ask(&domain, &mut seed::ask_generator(1, 0)) {
        Ask::Propose(proposal) if proposal.origin.operator == "prior" => error(problem, &proposal.genotype),
        other => panic!("{other:?}"),
    };
    (0..KEPT).map(|_| first()).sum::<f64>() / KEPT as f64
}

#[test]
#[ignore = "needs KILN_DATA: NAS-Bench-201 and its zero-cost scores"]
fn first_cells_by_published_proxies_are_better_than_random_cells() {
    let Some(data) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        eprintln!("skipped: the environment variable `KILN_DATA` does not name a folder with tables");
        return;
    };
    let settings = NasBench201Settings {
        file: data.join("nasbench201/nasbench201.csv.gz"),
        signal: "e200_cifar10_valid_valid_acc_mean".to_owned(),
        report: "e200_cifar10_test_acc_mean".to_owned(),
        protocol: Protocol::Queries,
        budget: 100.0,
        fidelities: Vec::new(),
        full_epochs: 200,
        equal_cells: EqualCells::Apart,
    };
    let problem = settings.problem().expect("the table is readable");
    let file = data.join("nasbench201/zero_cost_freerea.csv.gz");
    let (naswot, synflow) = (scores(&file, "naswot_cifar10"), scores(&file, "logsynflow_cifar10"));
    let cells: BTreeMap<u64, Genotype> = indices(&data, problem.space.as_ref());
    let step = cells.len() / SCORED;
    let drawn: Vec<(u64, Genotype)> = cells.into_iter().step_by(step).take(SCORED).collect();
    let scored = |scores: &BTreeMap<u64, f64>| -> Vec<(Genotype, f64)> {
        drawn.iter().filter_map(|(index, cell)| Some((cell.clone(), *scores.get(index)?))).collect()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["naswot", "synflow"].map(|name| folder.path().join(name));
    journal(&files[0], "negative_naswot", &scored(&naswot));
    journal(&files[1], "negative_log_synflow", &scored(&synflow));
    let mean = drawn.iter().map(|(_, cell)| error(&problem, cell)).sum::<f64>() / drawn.len() as f64;
    let both = first_error(&problem, &[&files[0], &files[1]]);
    let alone = files.each_ref().map(|file| first_error(&problem, &[file]));
    eprintln!(
        "mean error: drawn {mean:.2} %, naswot {:.2} %, synflow {:.2} %, both {both:.2} %",
        alone[0], alone[1]
    );
    // The mean error of all cells is high because some cells learn nothing. The best tenth of the cells has
    // errors of about 10 %.
    assert!(both < 12.0 && both < mean - 3.0, "{both} of {mean}");
}

/// Reads the table's cells. Returns the cell of each index.
fn indices(data: &Path, space: &dyn SearchSpace) -> BTreeMap<u64, Genotype> {
    let file =
        std::fs::File::open(data.join("nasbench201/nasbench201.csv.gz")).expect("the table can be opened");
    let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let header = reader.headers().expect("a header").clone();
    let place = |name: &str| header.iter().position(|column| column == name).expect("the column");
    let (index, arch) = (place("index"), place("arch"));
    let cell = |row: csv::StringRecord| {
        let genotype = kiln_space::spaces::NasBench201::genotype_from_arch(&row[arch]).expect("a cell");
        (row[index].parse().expect("a number"), genotype)
    };
    let cells: BTreeMap<u64, Genotype> = reader.records().map(|row| cell(row.expect("a row"))).collect();
    assert_eq!(size::count(space), cells.len().into());
    cells
}
