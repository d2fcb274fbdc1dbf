use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

use serde_json::{Map, json};

use super::*;
use crate::size;

/// Slow tests decode only every `STRIDE`-th cell to a full network.
const STRIDE: usize = 16;

fn op(cell: Cell, edge: usize) -> EdgeOp {
    cell.0[edge]
}

fn all_cells() -> impl Iterator<Item = Cell> {
    size::enumerate(&NasBench201::default())
        .map(|genotype| Cell::from_genotype(&genotype).unwrap())
        .collect::<Vec<_>>()
        .into_iter()
}

fn count_of(cell: Cell, wanted: EdgeOp) -> u64 {
    cell.0.iter().filter(|op| **op == wanted).count() as u64
}

#[test]
fn counts_follow_the_published_formulas() {
    let space = NasBench201::default();
    for cell in all_cells().step_by(STRIDE) {
        let counts = space.decode(&cell.genotype()).unwrap().counts();
        let (small, large) = (count_of(cell, EdgeOp::Conv1x1), count_of(cell, EdgeOp::Conv3x3));
        assert_eq!(counts.parameters, 73_306 + 28_000 * small + 243_040 * large, "{cell}");
        assert_eq!(counts.macs, 7_783_040 + 3_932_160 * small + 35_389_440 * large, "{cell}");
    }
}

#[test]
#[ignore = "needs KILN_DATA: the table of NAS-Bench-201"]
fn counts_equal_the_published_table_for_all_cells() {
    let Some(folder) = std::env::var_os("KILN_DATA").map(PathBuf::from) else {
        eprintln!("skipped: KILN_DATA does not name the folder with nasbench201/nasbench201.csv.gz");
        return;
    };
    let cifar10 = NasBench201::default();
    let hundred = Map::from_iter([("outputs".to_owned(), json!(100))]);
    let cifar100 = NasBench201::from_settings(&Settings::new("space", hundred), None).unwrap();
    let file = File::open(folder.join("nasbench201/nasbench201.csv.gz")).unwrap();
    let mut rows = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let header = rows.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|known| known == name).unwrap();
    let arch = column("arch");
    let tables = [
        (&cifar10, column("params_cifar10"), column("flops_cifar10")),
        (&cifar100, column("params_cifar100"), column("flops_cifar100")),
    ];
    let mut seen = BTreeSet::new();
    for row in rows.records() {
        let row = row.unwrap();
        let genotype = NasBench201::genotype_from_arch(&row[arch]).unwrap();
        assert_eq!(NasBench201::arch_string(&genotype).unwrap(), row[arch]);
        for (space, parameters, macs) in tables {
            let counts = space.decode(&genotype).unwrap().counts();
            assert_eq!(counts.parameters, row[parameters].parse::<u64>().unwrap(), "{}", &row[arch]);
            assert_eq!(counts.macs, row[macs].parse::<u64>().unwrap(), "{}", &row[arch]);
        }
        seen.insert(genotype);
    }
    assert_eq!(seen.len(), 15_625);
}

#[test]
fn genotype_from_arch_refuses_other_notations() {
    for text in [
        "",
        "|none~0|",
        "|none~0|+|none~0|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~3|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|",
        "|none~0|none~1|+|none~0|+|none~0|none~1|none~2|",
        "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "none~0+none~0none~1+none~0none~1none~2",
    ] {
        assert!(NasBench201::genotype_from_arch(text).is_err(), "{text}");
    }
    let short = NasBench201::arch_string(&Genotype::new([0, 1]));
    assert_eq!(short, Err(SpaceError::GenotypeLength { found: 2, expected: 6 }));
}

#[test]
fn space_without_merging_keeps_every_cell() {
    let table = Map::from_iter([("merge_equal".to_owned(), json!(false))]);
    let space = NasBench201::from_settings(&Settings::new("space", table), None).unwrap();
    assert_eq!(size::enumerate_canonical(&space).count(), 15_625);
}

#[test]
fn canonical_merges_swapped_nodes() {
    let space = NasBench201::default();
    let canonical = |text| space.canonical(&NasBench201::genotype_from_arch(text).unwrap());
    assert_eq!(
        canonical("|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|none~0|nor_conv_1x1~1|skip_connect~2|"),
        canonical("|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2|"),
    );
    // Node 1 equals node 0 here, so edges may start from either.
    assert_eq!(
        canonical("|skip_connect~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|"),
        canonical("|skip_connect~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|skip_connect~2|"),
    );
}

/// Computes the output of a cell for one number as input. Each edge has one weight, and each operation has
/// its own nonlinearity.
fn output(cell: Cell, weights: &[f64; 6], input: f64) -> f64 {
    let mut nodes = [input, 0.0, 0.0, 0.0];
    for (edge, (from, to)) in EDGES.iter().enumerate() {
        let x = nodes[*from];
        nodes[*to] += match op(cell, edge) {
            EdgeOp::None => 0.0,
            EdgeOp::Skip => x,
            EdgeOp::Conv1x1 => (weights[edge] * x + 0.3).sin(),
            EdgeOp::Conv3x3 => (weights[edge] * x - 0.7).cos(),
            EdgeOp::Pool3x3 => x.tanh(),
        };
    }
    nodes[3]
}

/// Whether some permutation of the weights makes both cells compute the same outputs.
fn compute_the_same(a: Cell, b: Cell) -> bool {
    const WEIGHTS: [f64; 6] = [0.83, 1.37, 2.11, 0.59, 1.73, 3.07];
    let is_conv = |cell: Cell, edge: usize| matches!(op(cell, edge), EdgeOp::Conv1x1 | EdgeOp::Conv3x3);
    let (from, to): (Vec<usize>, Vec<usize>) =
        ((0..6).filter(|e| is_conv(a, *e)).collect(), (0..6).filter(|e| is_conv(b, *e)).collect());
    let mut assigned: Vec<Vec<usize>> = vec![Vec::new()];
    for edge in &to {
        assigned = assigned
            .into_iter()
            .flat_map(|taken| {
                let free = from.iter().filter(|e| !taken.contains(e) && op(a, **e) == op(b, *edge));
                free.map(|e| [&taken[..], &[*e]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    from.len() == to.len()
        && assigned.iter().any(|sources| {
            let mut weights = [0.0; 6];
            for (edge, source) in to.iter().zip(sources) {
                weights[*edge] = WEIGHTS[*source];
            }
            [-0.9, 0.4, 1.6].iter().all(|x| (output(a, &WEIGHTS, *x) - output(b, &weights, *x)).abs() < 1e-9)
        })
}

#[test]
fn canonical_cell_computes_the_same_function() {
    // There are 11,395 equivalence classes. Published counts are smaller because they ignore the cost of idle
    // edges and zeros.
    let mut classes = BTreeSet::new();
    for cell in all_cells() {
        let canonical = cell.canonical();
        assert_eq!(canonical.canonical(), canonical, "{cell}");
        if canonical != cell {
            assert!(compute_the_same(cell, canonical), "{cell} is not {canonical}");
        }
        classes.insert(canonical);
    }
    assert_eq!(classes.len(), 11_395);
}
