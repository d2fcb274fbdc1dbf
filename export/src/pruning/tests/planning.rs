//! Budgets: met as stated, with little loss, and refused if they cannot be met.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use kiln_space::channels::Coupling;
use kiln_space::{Architecture, ArchitectureBuilder, LayerId, Op, Shape, Sparsity};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::super::structured::{Norm, Plan, Rules, cut, filter_norms, losses, plan};
use super::super::{Best, PruningError, target, unstructured};
use crate::testing;

fn perceptron(widths: [usize; 4]) -> Architecture {
    let mut b = ArchitectureBuilder::new(Shape::vector(widths[0]));
    let x = b.linear("first", b.input(), widths[1]).unwrap();
    let x = b.linear("second", x, widths[2]).unwrap();
    b.linear("head", x, widths[3]).unwrap();
    b.finish().unwrap()
}

fn macs(architecture: &Architecture) -> f64 {
    architecture.counts().macs as f64
}

fn widths(architecture: &Architecture, plan: &Plan) -> [usize; 2] {
    let coupling = Coupling::new(architecture).unwrap();
    let smaller = coupling.shrink(architecture, &plan.removed).unwrap().architecture;
    [1, 2].map(|layer| smaller.layers[layer].output.channels)
}

/// Returns the losses of the units of the first two layers; the other units have no loss.
fn unit_losses(architecture: &Architecture, of: [&[f64]; 2]) -> Vec<f64> {
    let coupling = Coupling::new(architecture).unwrap();
    let mut losses = vec![0.0; coupling.units().len()];
    for (layer, of) in of.into_iter().enumerate() {
        for (channel, loss) in of.iter().enumerate() {
            losses[coupling.unit(LayerId(layer + 1), channel)] = *loss;
        }
    }
    losses
}

#[test]
fn the_unit_that_loses_least_for_each_saved_cost_goes_first() {
    // 10 x 4, 4 x 4, 4 x 2: 64 multiply-accumulates. A unit of `first` saves 14, one of `second` 6.
    let architecture = perceptron([10, 4, 4, 2]);
    let coupling = Coupling::new(&architecture).unwrap();
    let losses = unit_losses(&architecture, [&[9.0, 7.0, 1.4, 9.0], &[0.9, 5.0, 5.0, 5.0]]);
    let plan = |target| plan(&architecture, &coupling, &losses, Rules::default(), target, macs).unwrap();
    // 1.4 / 14 is less than 0.9 / 6.
    assert_eq!(plan(63.0).removed, BTreeSet::from([coupling.unit(LayerId(1), 2)]));
    // Now a unit of `second` saves 5, and the next unit of `first` would lose 7 / 14.
    let two = plan(49.0);
    assert_eq!(two.removed, [coupling.unit(LayerId(1), 2), coupling.unit(LayerId(2), 0)].into());
    assert!((two.cost - 45.0).abs() < 1e-9 && (two.loss - 2.3).abs() < 1e-9);
    assert!(plan(64.0).removed.is_empty(), "a budget that is met needs no pruning");
    let names = two.widths(&architecture, &coupling);
    assert_eq!(names, BTreeMap::from([("first".to_owned(), [3, 4]), ("second".to_owned(), [3, 4])]));
}

#[test]
fn groups_keep_multiples_and_a_minimum() {
    let architecture = perceptron([6, 13, 10, 3]);
    let coupling = Coupling::new(&architecture).unwrap();
    let losses = vec![1.0; coupling.units().len()];
    let rules = Rules { multiple: 4, minimum: 5 };
    for share in [0.05, 0.2, 0.35, 0.4] {
        let target = target(macs(&architecture), share).unwrap();
        let plan = plan(&architecture, &coupling, &losses, rules, target, macs).unwrap();
        let [first, second] = widths(&architecture, &plan);
        assert!([13, 12, 8].contains(&first) && [10, 8].contains(&second), "{first} and {second}");
        assert!(plan.cost <= target);
    }
    let error = plan(&architecture, &coupling, &losses, Rules { multiple: 0, minimum: 1 }, 1.0, macs);
    assert!(matches!(error, Err(PruningError::Multiple)));
}

#[test]
fn a_budget_that_cannot_be_met_is_an_error_with_the_best_plan() {
    let architecture = perceptron([6, 16, 16, 3]);
    let coupling = Coupling::new(&architecture).unwrap();
    let losses = vec![1.0; coupling.units().len()];
    let rules = Rules { multiple: 8, minimum: 8 };
    let error = plan(&architecture, &coupling, &losses, rules, 10.0, macs).unwrap_err();
    // 6 x 8, 8 x 8 and 8 x 3.
    assert_eq!(
        error.to_string(),
        "the budget is 10, but the smallest network that the rules allow costs 136"
    );
    let PruningError::Budget { best, .. } = error else { panic!("another error") };
    let Best::Channels(best) = *best else { panic!("no plan of channels") };
    assert_eq!(widths(&architecture, &best), [8, 8]);
}

#[test]
fn wrong_numbers_are_refused() {
    let architecture = perceptron([2, 3, 3, 2]);
    let coupling = Coupling::new(&architecture).unwrap();
    let count = coupling.units().len();
    let run = |losses: &[f64], target, cost: f64| {
        plan(&architecture, &coupling, losses, Rules::default(), target, |_| cost).unwrap_err().to_string()
    };
    assert_eq!(
        run(&[1.0], 1.0, 2.0),
        format!("there are 1 scores for the units of channels, expected {count}")
    );
    let mut losses = vec![1.0; count];
    assert_eq!(run(&losses, 1.0, f64::NAN), "the cost of the network is NaN, expected a finite number");
    assert_eq!(run(&losses, f64::NAN, 1.0), "the budget of the network is NaN, expected a finite number");
    losses[2] = f64::NAN;
    assert_eq!(run(&losses, 1.0, 2.0), "score 2 of the units of channels is NaN, expected a finite number");
}

#[test]
fn costs_with_steps_are_followed_to_the_next_step() {
    // A runtime that computes channels in blocks of 8: no single unit saves anything.
    let architecture = perceptron([4, 24, 8, 2]);
    let coupling = Coupling::new(&architecture).unwrap();
    let losses = unit_losses(&architecture, [&[1.0; 24], &[0.5; 8]]);
    let calls = Cell::new(0);
    let cost = |architecture: &Architecture| {
        calls.set(calls.get() + 1);
        let blocks = |layer: usize| architecture.layers[layer].output.channels.div_ceil(8);
        (blocks(1) * 8 + blocks(2)) as f64
    };
    let found = plan(&architecture, &coupling, &losses, Rules::default(), 17.0, cost).unwrap();
    assert!((found.cost - 17.0).abs() < 1e-9);
    assert_eq!(widths(&architecture, &found), [16, 8], "the cheap units of the second layer save nothing");
    assert!(calls.get() < 50, "{} costs were computed", calls.get());
}

#[test]
fn costs_that_only_two_layers_together_lower_are_found() {
    let architecture = perceptron([4, 6, 6, 2]);
    let coupling = Coupling::new(&architecture).unwrap();
    let losses = vec![1.0; coupling.units().len()];
    let widest = |architecture: &Architecture| {
        architecture.layers.iter().map(|layer| layer.output.channels).max().unwrap_or(0) as f64
    };
    let found = plan(&architecture, &coupling, &losses, Rules::default(), 5.0, widest).unwrap();
    assert!((found.cost - 5.0).abs() < 1e-9);
    let error = plan(&architecture, &coupling, &losses, Rules::default(), 3.0, widest).unwrap_err();
    assert!(matches!(error, PruningError::Budget { reached, .. } if (reached - 4.0).abs() < 1e-9));
}

#[test]
fn the_loss_is_close_to_the_smallest_possible_one() {
    let (mut sum, mut worst) = (0.0, 1.0_f64);
    for seed in 0..40 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let architecture = perceptron([rng.random_range(2..12), 7, 8, rng.random_range(2..12)]);
        let coupling = Coupling::new(&architecture).unwrap();
        let mut draw = |count: usize| -> Vec<f64> {
            let scale = rng.random_range(0.5..2.0);
            let mut losses: Vec<f64> = (0..count).map(|_| scale * rng.random_range(0.0..1.0)).collect();
            losses.sort_by(f64::total_cmp);
            losses
        };
        let (first, second) = (draw(7), draw(8));
        let losses = unit_losses(&architecture, [&first, &second]);
        let target = target(macs(&architecture), 0.5).unwrap();
        let found = plan(&architecture, &coupling, &losses, Rules::default(), target, macs).unwrap();
        assert_eq!(found, plan(&architecture, &coupling, &losses, Rules::default(), target, macs).unwrap());
        // All pairs of widths.
        let mut best = f64::INFINITY;
        for (a, b) in (0..7).flat_map(|a| (0..8).map(move |b| (a, b))) {
            let [inputs, outputs] = [architecture.input.channels, architecture.output().channels];
            if (inputs * (7 - a) + (7 - a) * (8 - b) + (8 - b) * outputs) as f64 <= target {
                best = best.min(first[..a].iter().sum::<f64>() + second[..b].iter().sum::<f64>());
            }
        }
        assert!(found.loss >= best - 1e-9, "the search over all pairs has the smallest loss");
        sum += found.loss / best;
        worst = worst.max(found.loss / best);
    }
    assert!(sum / 40.0 < 1.15 && worst < 1.8, "on average {}, at worst {worst}", sum / 40.0);
}

#[test]
fn random_networks_meet_half_their_macs() {
    let mut met = 0;
    for seed in 0..30 {
        let model = testing::random_blocks(seed);
        let coupling = Coupling::new(&model.architecture).unwrap();
        let scores = filter_norms(&model, &coupling, Norm::L2).unwrap();
        let losses = losses(&coupling, &scores, None).unwrap();
        let target = target(macs(&model.architecture), 0.5).unwrap();
        match plan(&model.architecture, &coupling, &losses, Rules::default(), target, macs) {
            Ok(plan) => {
                let smaller = cut(&model, &plan).unwrap();
                assert!(macs(&smaller.architecture) <= target);
                assert!((macs(&smaller.architecture) - plan.cost).abs() < 1e-9);
                met += 1;
            }
            // A network whose channels are all tied to its input.
            Err(PruningError::Budget { reached, .. }) => assert!(reached > target),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(met >= 28, "{met} networks met the budget");
}

#[test]
fn plans_survive_json() {
    let plan = Plan { removed: [3, 1].into(), cost: 2.5, loss: 0.1 };
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

fn bytes(architecture: &Architecture) -> f64 {
    let weights = |id| {
        let layer = architecture.layer(id);
        let kernel = match layer.op {
            Op::Linear { .. } => layer.output.channels * architecture.layer(layer.inputs[0]).output.channels,
            _ => 0,
        };
        4.0 * kernel as f64 * (1.0 - layer.sparsity.zeros())
    };
    architecture.ids().map(weights).sum()
}

#[test]
fn zeros_go_where_they_lose_least() {
    // 100, 100 and 20 weights. The first layer is ten times as sensitive as the others.
    let architecture = perceptron([10, 10, 10, 2]);
    let scores: BTreeMap<String, Vec<f64>> = [("first", 100), ("second", 100), ("head", 20)]
        .map(|(name, count)| (name.to_owned(), vec![1.0; count]))
        .into();
    let sensitivity = BTreeMap::from([("first".to_owned(), 10.0)]);
    let shares = [0.25, 0.5, 0.75];
    let plan = |target| unstructured::plan(&architecture, &scores, &sensitivity, &shares, target, bytes);
    let permille =
        |plan: &BTreeMap<String, Sparsity>, name: &str| (plan[name].zeros() * 1000.0).round() as u32;
    // 880 bytes. The second layer saves 100 bytes for each step.
    let found = plan(600.0).unwrap();
    assert_eq!(["first", "second", "head"].map(|name| permille(&found, name)), [0, 750, 0]);
    let error = plan(100.0).unwrap_err();
    let PruningError::Budget { reached, best, .. } = error else { panic!("another error") };
    assert!((reached - 220.0).abs() < 1e-9);
    let Best::Zeros(best) = *best else { panic!("no sparsity") };
    assert_eq!(["first", "second", "head"].map(|name| permille(&best, name)), [750; 3]);

    let wrong = BTreeMap::from([("first".to_owned(), vec![1.0; 99])]);
    let error = unstructured::plan(&architecture, &wrong, &sensitivity, &shares, 1.0, bytes).unwrap_err();
    assert_eq!(error.to_string(), "there are 99 scores for the weights of layer `first`, expected 100");
    let unknown = BTreeMap::from([("input".to_owned(), vec![])]);
    assert!(matches!(unstructured::ranked(&architecture, &unknown, 0.5), Err(PruningError::Layer { .. })));
    assert!(unstructured::plan(&architecture, &scores, &sensitivity, &[1.0], 1.0, bytes).is_err());
}

#[test]
fn ranking_the_whole_network_prunes_the_layers_with_low_scores() {
    let architecture = perceptron([10, 10, 10, 2]);
    let scores: BTreeMap<String, Vec<f64>> = [("first", 1.0, 100), ("second", 2.0, 100), ("head", 3.0, 20)]
        .map(|(name, score, count)| (name.to_owned(), vec![score; count]))
        .into();
    // 110 of 220 weights: nearly all of the first layer, and 10 of the second.
    let found = unstructured::ranked(&architecture, &scores, 0.5).unwrap();
    let unstructured = |permille| Sparsity::Unstructured { permille };
    assert_eq!(
        found,
        BTreeMap::from([
            ("first".to_owned(), unstructured(999)),
            ("head".to_owned(), Sparsity::Dense),
            ("second".to_owned(), unstructured(100)),
        ])
    );
    assert!(unstructured::ranked(&architecture, &scores, 1.0).is_err());
}
