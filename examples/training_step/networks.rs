//! The networks that are timed.

use anyhow::{Context, Result};
use kiln_space::spaces::{NasBench201, Stages};
use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, Op, ParameterSpec, PoolKind, SearchSpace,
    Settings, Shape, SpaceError, WeightRef, variation,
};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use serde::Serialize;
use serde_json::{Value, json};

/// A benchmark case: one network, or the subnets of one training step. Contains everything that another
/// program needs to run the same networks.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) batch: usize,
    pub(crate) optimizer: &'static str,
    pub(crate) parameters: Vec<ParameterSpec>,
    pub(crate) subnets: Vec<Architecture>,
}

/// A cell of NAS-Bench-201 with all operations except `none`. Most are convolutions.
const CELL: &str =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|";

/// Number of subnets that are timed one by one. `TOGETHER` is the number of subnets in one step.
const ALONE: usize = 3;
const TOGETHER: usize = 4;

/// Returns all benchmark cases.
pub(crate) fn all() -> Result<Vec<Case>> {
    let stand_alone = |name: &str, architecture: Architecture| Case {
        name: name.to_owned(),
        batch: 64,
        optimizer: "sgd",
        parameters: ParameterSpec::covering([&architecture]),
        subnets: vec![architecture],
    };
    let mut cases = vec![
        stand_alone("lenet", lenet()?),
        stand_alone("nas_bench_201", nas_bench_201()?),
        stand_alone("mobilenet", mobilenet()?),
        stand_alone("mlp", mlp()?),
        Case { optimizer: "adamw", ..stand_alone("mobilenet_adamw", mobilenet()?) },
    ];
    let supernet = mobilenet_like(&json!([16, 24]), &json!([3, 5]), &json!([1, 2]), &json!([2, 4]))?;
    let mut rng = Pcg64::seed_from_u64(1);
    let mut draw = |count: usize| -> Result<Vec<Architecture>, SpaceError> {
        (0..count).map(|_| supernet.decode(&variation::sample(&supernet, &mut rng))).collect()
    };
    let parameters = supernet.parameters();
    let sliced = |name: String, subnets| Case {
        name,
        batch: 64,
        optimizer: "sgd",
        parameters: parameters.clone(),
        subnets,
    };
    for (number, subnet) in draw(ALONE)?.into_iter().enumerate() {
        cases.push(sliced(format!("subnet_{}", number + 1), vec![subnet]));
    }
    cases.push(sliced("supernet_step".to_owned(), draw(TOGETHER)?));
    Ok(cases)
}

/// A sequence of layers.
struct Chain {
    builder: ArchitectureBuilder,
    last: LayerId,
    count: usize,
}

impl Chain {
    fn new(input: Shape) -> Self {
        Self { builder: ArchitectureBuilder::new(input), last: LayerId(0), count: 0 }
    }

    fn add(&mut self, op: Op, weights: Option<[usize; 2]>) -> Result<(), SpaceError> {
        self.count += 1;
        let name = format!("{}{}", op.name(), self.count);
        let weights = weights.map(|[outputs, inputs]| WeightRef::leading(name.clone(), outputs, inputs));
        self.last = self.builder.add(name, op, &[self.last], weights)?;
        Ok(())
    }

    fn relu(&mut self) -> Result<(), SpaceError> {
        self.add(Op::Activation { kind: ActivationKind::Relu }, None)
    }

    fn convolve(&mut self, out_channels: usize, padding: usize) -> Result<(), SpaceError> {
        let inputs = self.builder.shape(self.last).channels;
        let (kernel, padding) = ([5, 5], [padding; 2]);
        let op = Op::Conv2d { out_channels, kernel, stride: [1, 1], padding, groups: 1, bias: true };
        self.add(op, Some([out_channels, inputs]))
    }

    fn connect(&mut self, out_features: usize) -> Result<(), SpaceError> {
        let inputs = self.builder.shape(self.last).channels;
        self.add(Op::Linear { out_features, bias: true }, Some([out_features, inputs]))
    }
}

/// LeNet-5 in its usual modern form, with `relu` and max pooling.
fn lenet() -> Result<Architecture, SpaceError> {
    let mut chain = Chain::new(Shape::new(1, 28, 28));
    for (channels, padding) in [(6, 2), (16, 0)] {
        chain.convolve(channels, padding)?;
        chain.relu()?;
        chain.add(Op::Pool { kind: PoolKind::Max, kernel: [2, 2], stride: [2, 2], padding: [0, 0] }, None)?;
    }
    chain.add(Op::Flatten, None)?;
    for features in [120, 84] {
        chain.connect(features)?;
        chain.relu()?;
    }
    chain.connect(10)?;
    chain.builder.finish()
}

/// Fully connected layers: 784-256-256-10.
fn mlp() -> Result<Architecture, SpaceError> {
    let mut chain = Chain::new(Shape::new(1, 28, 28));
    chain.add(Op::Flatten, None)?;
    for features in [256, 256] {
        chain.connect(features)?;
        chain.relu()?;
    }
    chain.connect(10)?;
    chain.builder.finish()
}

fn nas_bench_201() -> Result<Architecture> {
    let space =
        NasBench201::from_settings(&settings(&json!({ "channels": 16, "cells_per_stage": 1 })), None)?;
    Ok(space.decode(&NasBench201::genotype_from_arch(CELL)?)?)
}

/// Returns the only network of a space without options.
fn mobilenet() -> Result<Architecture> {
    let space = mobilenet_like(&json!(24), &json!(3), &json!(2), &json!(4))?;
    let genotype = variation::sample(&space, &mut Pcg64::seed_from_u64(1));
    Ok(space.decode(&genotype)?)
}

/// Inverted residuals in three stages for images of 3 x 32 x 32. `width` is the first stage's width.
fn mobilenet_like(width: &Value, kernel: &Value, depth: &Value, expansion: &Value) -> Result<Stages> {
    let scaled = |by: usize| match width {
        Value::Array(widths) => {
            json!(widths.iter().filter_map(Value::as_u64).map(|w| w * by as u64).collect::<Vec<_>>())
        }
        other => json!(other.as_u64().map(|width| width * by as u64)),
    };
    let stage = |width: Value, stride: usize| {
        json!({
            "blocks": "mbconv", "depth": depth, "width": width, "kernel": kernel, "expansion": expansion,
            "activation": "relu6", "stride": stride,
        })
    };
    let table = json!({
        "input": [3, 32, 32],
        "outputs": 10,
        "stem": { "width": 16, "activation": "relu6" },
        "head": { "width": 128, "activation": "relu6" },
        "stages": [stage(scaled(1), 1), stage(scaled(2), 2), stage(scaled(4), 2)],
    });
    Stages::from_settings(&settings(&table), None).context("the space of the supernet")
}

fn settings(table: &Value) -> Settings {
    Settings::new("space", table.as_object().cloned().unwrap_or_default())
}
