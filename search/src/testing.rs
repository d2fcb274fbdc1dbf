//! Checks that strategies obey the laws of [`Strategy`](crate::Strategy). Kiln runs these checks for every
//! registered strategy. You can run them for new strategies.

mod scenario;

use std::collections::BTreeSet;

use kiln_space::{Genotype, size};

use self::scenario::{Run, Scenario, TRIALS, scenarios};
use crate::contracts::Strategy;
use crate::domain::Domain;
use crate::trials::{Fidelities, Fidelity};

/// Checks a strategy in many scenarios. They include spaces with 0, 1, 2, 24 and very many feasible
/// architectures; one and several objectives; constraints, failed trials, and equal or extreme results; and
/// one or many proposals in flight, reported in order and out of order. Each call of `build` must return a
/// new strategy in the same initial state.
///
/// # Example
/// ```
/// use kiln_search::{StrategyRegistry, testing::check_strategy};
/// use kiln_space::Settings;
///
/// let registry = StrategyRegistry::builtin();
/// check_strategy(&|| registry.build("random", &Settings::empty("search")).expect("no settings are needed"));
/// ```
///
/// # Panics
/// If the strategy breaks a law:
/// - a proposal is infeasible, not canonical, does not decode, or repeats an earlier proposal;
/// - the strategy waits while no trial is running;
/// - its proposals differ between runs with equal seeds, or in a domain that was used before;
/// - the strategy does not use up a small space, or does not return `Done` afterwards;
/// - the strategy requests a fidelity that `fidelities` does not return, `fidelities` returns two fidelities
///   of equal effort, or the strategy reaches full fidelity with a smaller budget than `needs` returns.
pub fn check_strategy(build: &dyn Fn() -> Box<dyn Strategy>) {
    for scenario in scenarios() {
        let run = scenario.with_domain(|domain| {
            let run = scenario.run(domain, build());
            // The second run uses the filled caches of the domain. The caches must not change the proposals.
            assert_eq!(
                run,
                scenario.run(domain, build()),
                "{scenario}: equal seeds give different proposals"
            );
            run
        });
        check_proposals(&scenario, &run);
        check_end(&scenario, &run);
    }
    for answered in STATEMENTS {
        check_statement(build, answered);
    }
}

/// The evaluators' fidelities with which `check_statement` checks a strategy.
const STATEMENTS: [Fidelities; 4] = [
    Fidelities::full_only(),
    Fidelities::full_only().with_proxy(),
    Fidelities::of_schedule(3),
    Fidelities::of_schedule(20).with_proxy(),
];

/// Checks that a strategy requests only the fidelities that it states, and that it needs the stated budget to
/// reach full fidelity.
fn check_statement(build: &dyn Fn() -> Box<dyn Strategy>, answered: Fidelities) {
    let mut strategy = build();
    let (stated, needs) = (strategy.fidelities(answered), strategy.needs(answered, 1));
    assert!(
        stated.is_sorted_by(|a, b| a < b) && stated.last() == Some(&Fidelity::Full),
        "the fidelities that it states over {answered} are not ascending to full: {stated:?}"
    );
    let equal = |fidelity: &Fidelity| matches!(fidelity, Fidelity::Epochs(e) if *e == answered.full_epochs);
    assert!(!stated.iter().any(equal), "over {answered} it states full effort twice: {stated:?}");
    strategy.hear_fidelities(answered);
    assert_eq!(strategy.fidelities(answered), stated, "what it hears changes what it states");
    let scenario = scenario::large();
    let run = scenario.with_domain(|domain| scenario.run(domain, strategy));
    for proposal in &run.proposals {
        let fidelity = proposal.fidelity;
        assert!(
            stated.contains(&fidelity),
            "over {answered} it asks for `{fidelity}`, and states {stated:?}"
        );
    }
    let full = run.proposals.iter().position(|proposal| proposal.fidelity == Fidelity::Full);
    let spent = |trials: usize| -> u64 {
        run.proposals[..trials].iter().map(|one| u64::from(answered.epochs(one.fidelity))).sum()
    };
    match (full.map(|at| at + 1), needs) {
        // The strategy may need more trials than stated, since genotypes of a prior need not be in this
        // space.
        (Some(trials), Some(needs)) => assert!(
            needs.trials <= trials as u64 && needs.epochs <= spent(trials),
            "over {answered} it comes to full effort at trial {trials}, and says that it needs {needs:?}"
        ),
        (Some(trials), None) => panic!("it comes to full effort at trial {trials}, and says never"),
        (None, needs) => assert!(
            needs.is_none_or(|needs| needs.trials > TRIALS as u64),
            "over {answered} it does not come to full effort as it says"
        ),
    }
}

fn check_proposals(scenario: &Scenario, run: &Run) {
    scenario.with_domain(|domain| {
        let mut known = BTreeSet::new();
        for proposal in &run.proposals {
            let genotype = &proposal.genotype;
            let canonical = domain.space().canonical(genotype);
            assert_eq!(&canonical, genotype, "{scenario}: `{genotype}` is not canonical");
            assert!(domain.space().decode(genotype).is_ok(), "{scenario}: `{genotype}` does not decode");
            assert!(domain.is_feasible(genotype), "{scenario}: `{genotype}` does not meet the constraints");
            let new = known.insert((genotype.clone(), proposal.fidelity));
            assert!(new, "{scenario}: `{genotype}` is proposed twice");
        }
    });
    assert!(!run.waited_for_nothing, "{scenario}: it waits although nothing is running");
}

fn check_end(scenario: &Scenario, run: &Run) {
    if let Some(feasible) = scenario.with_domain(feasible) {
        let proposed: BTreeSet<Genotype> =
            run.proposals.iter().map(|proposal| proposal.genotype.clone()).collect();
        assert_eq!(proposed, feasible, "{scenario}: not all architectures are proposed, or others");
        // With many rungs, the run may end before the last promotions.
        let is_cut = run.proposals.len() >= TRIALS;
        assert!(run.done || is_cut, "{scenario}: it does not say that it is done");
    } else {
        assert_eq!(run.proposals.len(), TRIALS, "{scenario}: it ends early");
    }
}

/// Returns all feasible genotypes of a small space; `None` for a large space.
fn feasible(domain: &Domain<'_>) -> Option<BTreeSet<Genotype>> {
    let small = size::count(domain.space()) <= 1000_u32.into();
    small.then(|| {
        size::enumerate_canonical(domain.space()).filter(|genotype| domain.is_feasible(genotype)).collect()
    })
}

#[cfg(test)]
mod tests {
    use kiln_space::Settings;
    use rand::Rng;

    use super::*;
    use crate::contracts::Ask;
    use crate::registry::StrategyRegistry;
    use crate::trials::{Origin, Proposal, RESULTS_VERSION, Trial};

    #[test]
    fn every_registered_strategy_keeps_the_laws() {
        let registry = StrategyRegistry::builtin();
        for (name, settings) in registry.samples("search") {
            eprintln!("{name} {:?}", settings.table());
            check_strategy(&|| registry.build(name, &settings).expect("the settings are allowed"));
        }
    }

    #[test]
    fn every_registered_strategy_has_a_line_of_documentation_and_works_by_default() {
        let registry = StrategyRegistry::builtin();
        for (name, part) in registry.entries() {
            assert!(!part.doc.is_empty(), "`{name}` needs a line of documentation");
            assert!(registry.build(name, &Settings::empty("search")).is_ok(), "`{name}` has no defaults");
        }
    }

    /// A file with lines of the form `version architecture strategy hash`.
    const PINNED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/proposals.txt");

    /// Returns a hash of all proposals that a strategy with default settings makes in all scenarios.
    fn proposed(name: &str) -> String {
        let registry = StrategyRegistry::builtin();
        let mut hasher = blake3::Hasher::new();
        for scenario in scenarios() {
            let strategy = registry.build(name, &Settings::empty("search")).expect("the defaults work");
            let run = scenario.with_domain(|domain| scenario.run(domain, strategy));
            for Proposal { genotype, fidelity, .. } in &run.proposals {
                hasher.update(format!("{genotype} {fidelity:?}\n").as_bytes());
            }
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    #[test]
    fn proposals_change_only_with_the_version_of_the_results() {
        let start = format!("{RESULTS_VERSION} {} ", std::env::consts::ARCH);
        let pinned = std::fs::read_to_string(PINNED).expect("it is part of the sources");
        let registry = StrategyRegistry::builtin();
        let now: Vec<String> =
            registry.names().map(|name| format!("{start}{name} {}", proposed(name))).collect();
        if std::env::var_os("KILN_BLESS").is_some() {
            let others = pinned.lines().filter(|line| !line.starts_with(&start));
            let lines: Vec<&str> = others.chain(now.iter().map(String::as_str)).collect();
            std::fs::write(PINNED, lines.join("\n") + "\n").expect("the sources may be written");
            return;
        }
        let known: Vec<&str> = pinned.lines().filter(|line| line.starts_with(&start)).collect();
        if known.is_empty() {
            eprintln!("skipped: no proposals are pinned for `{start}`; KILN_BLESS=1 pins them");
            return;
        }
        // No study depends on the proposals of a new strategy yet, so they need not be pinned.
        let is_pinned = |line: &&String| {
            let (of, _) = line.rsplit_once(' ').expect("a line ends with its hash");
            known.iter().any(|known| known.rsplit_once(' ').is_some_and(|(name, _)| name == of))
        };
        let (held, new): (Vec<&String>, Vec<&String>) = now.iter().partition(is_pinned);
        for line in new {
            eprintln!("not pinned yet; KILN_BLESS=1 pins it: {line}");
        }
        assert_eq!(
            held, known,
            "a strategy proposes otherwise: raise `RESULTS_VERSION` (search/src/trials/results.rs), then run \
             this test with KILN_BLESS=1"
        );
    }

    /// A strategy that breaks the law after which it is named.
    struct Broken(&'static str, u32, BTreeSet<Genotype>);

    impl Strategy for Broken {
        fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
            self.1 += 1;
            let mut fresh = size::enumerate_canonical(domain.space());
            let drawn = match self.0 {
                "waits" => return Ask::Wait,
                "ends" if self.1 > 1 => return Ask::Done,
                "infeasible" => fresh.find(|genotype| !self.2.contains(genotype)),
                "unstated" | "states twice" => {
                    fresh.find(|genotype| !self.2.contains(genotype) && domain.is_feasible(genotype))
                }
                "unseeded" => fresh.filter(|genotype| !self.2.contains(genotype)).max_by_key(|_| unseeded()),
                _ => domain.sample(rng),
            };
            self.2.extend(drawn.clone());
            let fidelity = if self.0 == "unstated" { Fidelity::Epochs(2) } else { Fidelity::Full };
            drawn.map_or(Ask::Done, |genotype| {
                Ask::Propose(Proposal { genotype, fidelity, origin: Origin::default() })
            })
        }
        fn fidelities(&self, answered: Fidelities) -> Vec<Fidelity> {
            let twice = [Fidelity::Epochs(answered.full_epochs), Fidelity::Full];
            if self.0 == "states twice" { twice.to_vec() } else { vec![Fidelity::Full] }
        }
        fn tell(&mut self, _: &Trial) {}
    }

    /// Returns a different number at each call, for any seed.
    fn unseeded() -> u64 {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        crate::trials::seed::derive(NEXT.fetch_add(1, Ordering::Relaxed), "unseeded", &[])
    }

    #[test]
    fn broken_laws_are_found() {
        let faults = [
            ("waits", "waits although nothing is running"),
            ("ends", "not all architectures are proposed"),
            ("infeasible", "does not meet the constraints"),
            ("unseeded", "equal seeds give different proposals"),
            ("repeats", "is proposed twice"),
            ("unstated", "asks for `2 epochs`, and states [Full]"),
            ("states twice", "states full effort twice"),
        ];
        for (fault, law) in faults {
            let checked =
                std::panic::catch_unwind(|| check_strategy(&|| Box::new(Broken(fault, 0, BTreeSet::new()))));
            let message = checked.expect_err("a broken law is found");
            let message = message.downcast_ref::<String>().expect("a message");
            assert!(message.contains(law), "{fault}: {message}");
        }
    }
}
