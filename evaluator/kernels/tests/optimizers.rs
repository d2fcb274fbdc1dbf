//! Compares optimizer steps with burn's optimizers, and between numbers of threads.

use burn::module::{Module, Param, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData};
use kiln_kernels::{InstructionSet, UpdateRule, update};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::ThreadPoolBuilder;

/// Largest accepted difference, relative to the largest expected value.
const TOLERANCE: f32 = 1e-5;

const STEPS: u64 = 5;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sgd,
    AdamW,
}

/// One parameter and how it is trained.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: Kind,
    len: usize,
    rate: f32,
    momentum: f32,
    decay: f32,
}

impl Case {
    fn rule(&self, time: u32) -> UpdateRule {
        let Self { rate, momentum, decay, .. } = *self;
        match self.kind {
            Kind::Sgd => UpdateRule::Sgd { rate, momentum, decay },
            Kind::AdamW => UpdateRule::AdamW { rate, betas: [momentum, 0.99], epsilon: 1e-5, decay, time },
        }
    }

    fn by_burn(&self) -> ModuleOptimizer {
        match self.kind {
            Kind::Sgd => {
                let momentum =
                    MomentumConfig::new().with_momentum(f64::from(self.momentum)).with_dampening(0.0);
                let config = SgdConfig::new().with_momentum(Some(momentum.with_nesterov(true)));
                config.with_weight_decay(Some(WeightDecayConfig::new(self.decay))).init()
            }
            Kind::AdamW => {
                let config = AdamWConfig::new().with_beta_1(self.momentum).with_beta_2(0.99);
                config.with_epsilon(1e-5).with_weight_decay(self.decay).init()
            }
        }
    }
}

/// A module with one parameter, for burn's optimizers.
#[derive(Module, Debug)]
struct Weight {
    values: Param<Tensor<1>>,
}

fn tensor(seed: u64, len: usize) -> Tensor<1> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let values: Vec<f32> = (0..len).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_data(TensorData::new(values, [len]), &Device::flex())
}

fn read(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("a tensor of `f32`")
}

/// The weight after each step. Each step has another gradient.
fn ours(case: &Case) -> Vec<f32> {
    let mut weight = tensor(0, case.len);
    let mut memory = vec![Tensor::<1>::zeros([case.len], &Device::flex()); case.rule(1).memories()];
    let mut all = Vec::new();
    for step in 1..=STEPS {
        let rule = case.rule(u32::try_from(step).expect("a few steps"));
        weight = update(rule, weight, tensor(step, case.len), &mut memory);
        all.extend(read(weight.clone()));
    }
    all
}

fn by_burn(case: &Case) -> Vec<f32> {
    let id = ParamId::from(1);
    let autodiff = Device::flex().autodiff();
    let weight = Tensor::from_data(tensor(0, case.len).into_data(), &autodiff).require_grad();
    let mut module = Weight { values: Param::initialized(id, weight) };
    let mut optimizer = case.by_burn();
    let mut all = Vec::new();
    for step in 1..=STEPS {
        let mut gradients = GradientsParams::new();
        gradients.register(id, tensor(step, case.len));
        module = optimizer.step(f64::from(case.rate), module, gradients);
        all.extend(read(module.values.val().inner()));
    }
    all
}

fn supported() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.is_supported())
}

fn check(case: &Case) {
    let expected = by_burn(case);
    let size = expected.iter().fold(1e-2f32, |size, value| size.max(value.abs()));
    for set in supported() {
        let found = set.force(|| ours(case));
        assert_eq!(found.len(), expected.len());
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let close = (found - expected).abs() <= TOLERANCE * size;
            assert!(close, "{} {case:?} at {place}: {found}, not {expected}", set.name());
        }
    }
}

prop_compose! {
    fn case()(
        kind in prop::sample::select(vec![Kind::Sgd, Kind::AdamW]),
        len in 1..=67usize,
        rate in 1e-4..0.2f32,
        momentum in 0.0..0.95f32,
        decay in prop_oneof![Just(0.0f32), 1e-5..0.1f32],
    ) -> Case {
        Case { kind, len, rate, momentum, decay }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn update_equals_the_step_of_burns_optimizer(case in case()) {
        check(&case);
    }
}

#[test]
fn update_of_a_large_parameter_on_any_number_of_threads_gives_the_same_bits() {
    for kind in [Kind::Sgd, Kind::AdamW] {
        let case = Case { kind, len: 70_001, rate: 0.05, momentum: 0.9, decay: 1e-3 };
        check(&case);
        for set in supported() {
            let bits = |threads| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let all = pool.install(|| set.force(|| ours(&case)));
                all.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
            };
            let one = bits(1);
            assert!(one == bits(2), "{} {kind:?}: two threads differ from one", set.name());
            assert!(one == bits(4), "{} {kind:?}: four threads differ from one", set.name());
        }
    }
}
