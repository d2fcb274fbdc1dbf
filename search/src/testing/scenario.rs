//! Simulated studies without a study loop, store or evaluator. Each consists of a space, objectives, and a
//! formula for the outcomes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use kiln_space::spaces::{Mlp, NasBench201};
use kiln_space::{Genotype, SearchSpace, Settings, Shape, Task};
use serde_json::{Map, Value, json};

use crate::contracts::{Ask, Strategy};
use crate::domain::{Constraint, CostSet, Domain};
use crate::trials::{Costs, FailureKind, Objectives, Outcome, Proposal, Trial, seed};

/// Number of trials in a large space.
pub(super) const TRIALS: usize = 40;
/// Maximum number of asks. It is enough to use up the small spaces.
const ASKS: u64 = 2_000;

/// A simulated study.
pub(super) struct Scenario {
    name: &'static str,
    space: Arc<dyn SearchSpace>,
    /// Names of the objectives.
    objectives: Vec<String>,
    constraints: Vec<Constraint>,
    /// One in this many genotypes fails. `None` if no genotype fails.
    fails: Option<u64>,
    in_flight: usize,
    /// Whether outcomes are reported in another order than the proposals. This happens with different
    /// fidelities.
    overtaking: bool,
    /// The formula for the measurements.
    outcomes: Outcomes,
}

/// The formula for the measurements of a scenario.
#[derive(Clone, Copy, PartialEq)]
enum Outcomes {
    /// The error decreases in steps towards one genotype.
    Slope,
    /// All values are equal, so nothing can be learned.
    Equal,
    /// The values are the smallest and the largest finite numbers.
    Extreme,
}

/// The record of a strategy's run.
#[derive(Debug, PartialEq)]
pub(super) struct Run {
    pub(super) proposals: Vec<Proposal>,
    pub(super) done: bool,
    pub(super) waited_for_nothing: bool,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, objectives {:?}, {} in flight", self.name, self.objectives, self.in_flight)
    }
}

fn mlp(settings: &Value) -> Arc<dyn SearchSpace> {
    let settings = settings.as_object().cloned().unwrap_or_default();
    let task = Task { input: Shape::vector(4), outputs: 3 };
    let space = Mlp::from_settings(&Settings::new("space", settings), Some(task));
    Arc::new(space.expect("the settings describe a space"))
}

/// Creates a scenario with a large space, without failures, and with one proposal at a time.
pub(super) fn large() -> Scenario {
    Scenario {
        name: "30 decisions, one at a time",
        space: mlp(&json!({ "layers": (1..=29).collect::<Vec<_>>(), "width": [4, 8, 12] })),
        objectives: vec!["error_percent".to_owned()],
        constraints: Vec::new(),
        fails: None,
        in_flight: 1,
        overtaking: false,
        outcomes: Outcomes::Slope,
    }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let cell: Map<String, Value> = Map::from_iter([("cells_per_stage".to_owned(), json!(1))]);
    let cell = NasBench201::from_settings(&Settings::new("space", cell), None);
    let cell: Arc<dyn SearchSpace> = Arc::new(cell.expect("the settings describe a space"));
    let widths: Vec<usize> = (1..=6).map(|width| 4 * width).collect();
    let kinds = ["relu", "silu", "gelu", "tanh"];
    let small = mlp(&json!({ "layers": 1, "width": widths, "activation": kinds }));
    let large = mlp(&json!({ "layers": (1..=29).collect::<Vec<_>>(), "width": widths }));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let (one, two) = (names(&["error_percent"]), names(&["error_percent", "parameters"]));
    let three = names(&["error_percent", "macs", "wobble"]);
    let scenario = |name, space: &Arc<dyn SearchSpace>, objectives: &[String]| Scenario {
        name,
        space: Arc::clone(space),
        objectives: objectives.to_vec(),
        constraints: Vec::new(),
        fails: None,
        in_flight: 1,
        overtaking: false,
        outcomes: Outcomes::Slope,
    };
    let at_most = |most: f64| vec![Constraint::new("parameters", most)];
    let lone = mlp(&json!({ "layers": 1, "width": 4 }));
    vec![
        scenario("1 architecture", &lone, &one),
        Scenario { in_flight: 8, ..scenario("1 architecture", &lone, &two) },
        scenario("2 architectures", &mlp(&json!({ "layers": 1, "width": [4, 8] })), &two),
        scenario("24 architectures", &small, &one),
        Scenario { in_flight: 8, fails: Some(3), ..scenario("24 architectures", &small, &two) },
        Scenario { constraints: at_most(100.0), ..scenario("12 of 24 architectures feasible", &small, &one) },
        Scenario { constraints: at_most(1.0), ..scenario("no architecture feasible", &small, &one) },
        scenario("30 decisions", &large, &one),
        Scenario { in_flight: 8, fails: Some(4), ..scenario("30 decisions", &large, &three) },
        Scenario {
            in_flight: 8,
            fails: Some(1),
            ..scenario("30 decisions, every trial fails", &large, &two)
        },
        Scenario { constraints: at_most(1_500.0), ..scenario("30 decisions, few feasible", &large, &two) },
        Scenario { fails: Some(5), ..scenario("cells", &cell, &two) },
        Scenario {
            in_flight: 5,
            overtaking: true,
            fails: Some(6),
            ..scenario("cells, answers out of order", &cell, &three)
        },
        Scenario { outcomes: Outcomes::Equal, ..scenario("cells that are all alike", &cell, &one) },
        Scenario {
            outcomes: Outcomes::Equal,
            in_flight: 8,
            ..scenario("30 decisions, all alike", &large, &three)
        },
        Scenario { outcomes: Outcomes::Extreme, ..scenario("cells with extreme results", &cell, &one) },
        Scenario { outcomes: Outcomes::Extreme, ..scenario("24 extreme results", &small, &two) },
    ]
}

impl Scenario {
    pub(super) fn with_domain<T>(&self, then: impl FnOnce(&Domain<'_>) -> T) -> T {
        let costs = CostSet::default();
        then(&Domain::new(self.space.as_ref(), &costs, &self.constraints, &self.objectives))
    }

    /// Runs a strategy. The strategy is asked while fewer than `in_flight` proposals are running. Otherwise
    /// the oldest running proposal is reported to it, or a random one if `overtaking` is set.
    pub(super) fn run(&self, domain: &Domain<'_>, mut strategy: Box<dyn Strategy>) -> Run {
        let mut run = Run { proposals: Vec::new(), done: false, waited_for_nothing: false };
        let mut running: VecDeque<(u64, Proposal)> = VecDeque::new();
        for ask in 0..ASKS {
            let full = running.len() >= self.in_flight || run.proposals.len() >= TRIALS;
            let answer =
                if full { Ask::Wait } else { strategy.ask(domain, &mut seed::ask_generator(7, ask)) };
            run.done = answer == Ask::Done;
            let drawn = seed::derive(ask, "answer", &[]) as usize % running.len().max(1);
            let next = if self.overtaking { drawn } else { 0 };
            if let Ask::Propose(proposal) = answer {
                running.push_back((run.proposals.len() as u64, proposal.clone()));
                run.proposals.push(proposal);
            } else if let Some((id, proposal)) = running.remove(next) {
                strategy.tell(&self.trial(domain, id, proposal));
            } else {
                run.waited_for_nothing = !run.done && run.proposals.len() < TRIALS;
                break;
            }
        }
        run
    }

    fn trial(&self, domain: &Domain<'_>, id: u64, proposal: Proposal) -> Trial {
        let costs: Costs = domain.costs(&proposal.genotype).unwrap_or_default();
        let hash = seed::derive(0, "outcome", &[proposal.genotype.genes()]);
        if self.fails.is_some_and(|every| hash.is_multiple_of(every)) {
            let outcome =
                Outcome::Failed { kind: FailureKind::Diverged, reason: "the loss is NaN".to_owned() };
            return Trial { id, proposal, outcome, costs, objectives: Objectives::default(), violation: 0.0 };
        }
        let metrics = self.outcomes.metrics(&proposal.genotype);
        let value = |name: &String| metrics.get(name).or_else(|| costs.0.get(name)).copied();
        let objectives = Objectives(self.objectives.iter().filter_map(value).collect());
        Trial { id, proposal, outcome: Outcome::from_metrics(metrics), costs, objectives, violation: 0.0 }
    }
}

impl Outcomes {
    /// Returns an error, and a second metric that is meaningless.
    fn metrics(self, genotype: &Genotype) -> BTreeMap<String, f64> {
        let distance: f64 = genotype.genes().iter().map(|gene| (f64::from(*gene) - 3.0).abs()).sum();
        let wobble = (seed::derive(0, "wobble", &[genotype.genes()]) % 10) as f64;
        let (error, wobble) = match self {
            Self::Slope => (distance, wobble),
            Self::Equal => (7.0, 1.0),
            Self::Extreme if distance > 5.0 => (f64::MAX, f64::MIN),
            Self::Extreme => (f64::MIN_POSITIVE * distance, f64::MIN_POSITIVE * wobble),
        };
        [("error_percent".to_owned(), error), ("wobble".to_owned(), wobble)].into()
    }
}
