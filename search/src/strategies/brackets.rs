//! Runs brackets of successive halving, one after the other. A bracket first evaluates a number of genotypes
//! on its first rung. After all these trials were reported, the best genotypes are promoted to the next rung.
//! This repeats up to the highest rung.

use std::collections::BTreeSet;

use kiln_space::Genotype;
use rand::Rng;

use super::rungs::{Rungs, Told};
use super::unseen::Unseen;
use crate::contracts::{Ask, Needs, Strategy};
use crate::domain::Domain;
use crate::trials::{Fidelities, Fidelity, Origin, Proposal, Trial};

/// Chooses the genotypes with which a bracket starts.
pub(super) trait Sampler: Send {
    /// Returns a feasible genotype that is not known, and its origin.
    fn sample(
        &mut self,
        domain: &Domain<'_>,
        unseen: &mut Unseen,
        rng: &mut dyn Rng,
    ) -> Option<(Genotype, Origin)>;

    /// Learns from a trial on a rung.
    fn tell(&mut self, rung: usize, trial: &Trial);
}

/// Draws the genotypes of a bracket at random.
#[derive(Debug)]
pub(super) struct Uniform;

impl Sampler for Uniform {
    fn sample(
        &mut self,
        domain: &Domain<'_>,
        unseen: &mut Unseen,
        rng: &mut dyn Rng,
    ) -> Option<(Genotype, Origin)> {
        let origin = Origin::of("random", Vec::new());
        unseen.sample(domain, rng).map(|genotype| (genotype, origin))
    }

    fn tell(&mut self, _: usize, _: &Trial) {}
}

/// The first rung of a bracket, and the number of genotypes on this rung.
pub(super) type Shape = (usize, usize);

/// Runs brackets of several shapes in turn.
pub(super) struct Brackets {
    rungs: Rungs,
    /// Computes the shapes of the brackets from the rungs.
    shaped: fn(&Rungs) -> Vec<Shape>,
    shapes: Vec<Shape>,
    sampler: Box<dyn Sampler>,
    unseen: Unseen,
    /// Number of brackets that have started.
    begun: usize,
    /// Current rung of the running bracket.
    rung: usize,
    /// Number of genotypes that are still to be drawn for the bracket's first rung.
    to_draw: usize,
    /// Promoted genotypes that were not proposed yet. The last element is proposed next.
    to_promote: Vec<(Genotype, Origin)>,
    running: BTreeSet<Genotype>,
    told: Told,
    /// Whether there are no more genotypes to draw.
    used_up: bool,
}

impl Brackets {
    pub(super) fn new(rungs: Rungs, shaped: fn(&Rungs) -> Vec<Shape>, sampler: Box<dyn Sampler>) -> Self {
        let shapes = shaped(&rungs);
        let (rung, to_draw) = shapes[0];
        Self {
            rungs,
            shaped,
            shapes,
            sampler,
            unseen: Unseen::default(),
            begun: 1,
            rung,
            to_draw,
            to_promote: Vec::new(),
            running: BTreeSet::new(),
            told: Told::default(),
            used_up: false,
        }
    }

    /// Moves to the next rung or the next bracket, if all trials of the current rung were reported. Returns
    /// false if no rung and no bracket is left.
    fn advance(&mut self) -> bool {
        let go_on = self.told.len() / self.rungs.reduction;
        if self.rung + 1 < self.rungs.count() && go_on > 0 {
            let promoted = |(genotype, id): (&Genotype, _)| {
                let origin = Origin::of("promotion", vec![id]);
                (genotype.clone(), origin)
            };
            self.to_promote = self.told.best().into_iter().take(go_on).map(promoted).rev().collect();
            self.rung += 1;
        } else if self.used_up {
            return false;
        } else {
            (self.rung, self.to_draw) = self.shapes[self.begun % self.shapes.len()];
            self.begun += 1;
        }
        self.told = Told::default();
        true
    }

    fn next(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        if let Some(promoted) = self.to_promote.pop() {
            return Some(promoted);
        }
        if self.to_draw == 0 || self.used_up {
            return None;
        }
        let drawn = self.sampler.sample(domain, &mut self.unseen, rng);
        self.to_draw -= 1;
        self.used_up = drawn.is_none();
        drawn
    }
}

/// Computes the budget that brackets of these shapes need until one bracket reaches the highest rung. A
/// bracket continues as long as its rung has enough trials for one promotion.
fn needs(rungs: &Rungs, shapes: &[Shape], answered: Fidelities) -> Option<Needs> {
    let mut spent = Needs { trials: 0, epochs: 0 };
    for (first, begin) in shapes {
        let mut members = *begin;
        for (rung, fidelity) in rungs.fidelities().iter().enumerate().skip(*first) {
            let is_highest = rung + 1 == rungs.count();
            let judged = if is_highest { members.min(1) } else { members } as u64;
            spent.trials += judged;
            spent.epochs += judged * u64::from(answered.epochs(*fidelity));
            if is_highest && judged > 0 {
                return Some(spent);
            }
            members /= rungs.reduction;
        }
    }
    None
}

impl Strategy for Brackets {
    fn fidelities(&self, answered: Fidelities) -> Vec<Fidelity> {
        self.rungs.over(answered).fidelities().to_vec()
    }

    fn hear_fidelities(&mut self, answered: Fidelities) {
        self.rungs = self.rungs.over(answered);
        self.shapes = (self.shaped)(&self.rungs);
        (self.rung, self.to_draw) = self.shapes[0];
    }

    fn needs(&self, answered: Fidelities, _in_flight: usize) -> Option<Needs> {
        let rungs = self.rungs.over(answered);
        needs(&rungs, &(self.shaped)(&rungs), answered)
    }

    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        loop {
            if let Some((genotype, origin)) = self.next(domain, rng) {
                self.unseen.insert(&genotype);
                self.running.insert(genotype.clone());
                return Ask::Propose(Proposal { genotype, fidelity: self.rungs.fidelity(self.rung), origin });
            }
            if !self.running.is_empty() {
                return Ask::Wait;
            }
            if !self.advance() {
                return Ask::Done;
            }
        }
    }

    fn tell(&mut self, trial: &Trial) {
        let genotype = &trial.proposal.genotype;
        self.unseen.insert(genotype);
        if let Some(rung) = self.rungs.rung(trial.proposal.fidelity) {
            self.sampler.tell(rung, trial);
            if rung == self.rung && self.running.remove(genotype) {
                self.told.push(trial);
            }
        }
    }
}

/// Returns the brackets of Hyperband. The first bracket starts many genotypes on the lowest rung. The last
/// bracket starts few genotypes on the highest rung.
pub(super) fn hyperband_shapes(rungs: &Rungs) -> Vec<Shape> {
    let most = rungs.count() - 1;
    let shape = |first: usize| {
        let steps = most - first;
        let begin = rungs.reduction.saturating_pow(steps as u32).saturating_mul(most + 1);
        (first, begin.div_ceil(steps + 1).min(100_000))
    };
    (0..=most).map(shape).collect()
}
