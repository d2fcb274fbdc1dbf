//! Prepares an architecture for display: the chosen options, the layers, and the cost of each layer.

use std::sync::Arc;

use anyhow::Context;
use kiln_search::{CostSet, Trial};
use kiln_space::{Op, SearchSpace, variation};

/// A trial's architecture, for display.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inspection {
    /// Each active decision with its chosen option.
    pub(crate) decisions: Vec<(String, String)>,
    /// Names of the devices. Each layer's latencies have the same order.
    pub(crate) devices: Vec<String>,
    /// Layers in topological order.
    pub(crate) layers: Vec<LayerView>,
}

/// A layer, for display.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerView {
    pub(crate) name: String,
    pub(crate) operation: String,
    pub(crate) output: String,
    pub(crate) parameters: u64,
    pub(crate) macs: u64,
    /// Latency on each device, in microseconds.
    pub(crate) latency_us: Vec<f64>,
}

/// Decodes the architectures of trials for display.
pub(crate) trait Inspect: Send + Sync {
    /// Decodes a trial's architecture.
    ///
    /// # Errors
    /// If the architecture cannot be built, or if a cost model does not support one of its layers.
    fn inspect(&self, trial: &Trial) -> anyhow::Result<Inspection>;
}

/// Decodes architectures with a study's search space and cost models.
pub(crate) struct Inspector {
    pub(crate) space: Arc<dyn SearchSpace>,
    pub(crate) costs: CostSet,
}

impl Inspect for Inspector {
    fn inspect(&self, trial: &Trial) -> anyhow::Result<Inspection> {
        let decoded = self.space.decode(&trial.proposal.genotype);
        let architecture = decoded.with_context(|| format!("trial {} cannot be built", trial.id))?;
        let models = self.costs.devices();
        let mut layers = Vec::new();
        for id in architecture.ids() {
            let (layer, counts) = (architecture.layer(id), architecture.layer_counts(id));
            let latencies = models.iter().map(|(_, model)| Ok(model.layer(&architecture, id)?.latency_us));
            layers.push(LayerView {
                name: layer.name.clone(),
                operation: operation(&layer.op),
                output: layer.output.to_string(),
                parameters: counts.parameters,
                macs: counts.macs,
                latency_us: latencies.collect::<anyhow::Result<_>>()?,
            });
        }
        let devices = models.iter().map(|(device, _)| device.clone()).collect();
        Ok(Inspection { decisions: decisions(trial, self.space.as_ref()), devices, layers })
    }
}

/// Returns each active decision with its chosen option.
pub(crate) fn decisions(trial: &Trial, space: &dyn SearchSpace) -> Vec<(String, String)> {
    let (decisions, genes) = (space.decisions(), trial.proposal.genotype.genes());
    let active = variation::active(decisions, genes);
    let taken = decisions.iter().zip(genes).zip(active).filter(|(_, active)| *active);
    let option =
        |gene: u8, options: &[kiln_space::Choice]| options.get(usize::from(gene)).map(ToString::to_string);
    taken
        .filter_map(|((decision, gene), _)| Some((decision.name.clone(), option(*gene, &decision.options)?)))
        .collect()
}

/// Describes an operation with the properties that distinguish operations of the same kind.
pub(crate) fn operation(op: &Op) -> String {
    let window = |kernel: &[usize; 2], stride: &[usize; 2]| {
        let step =
            if stride.iter().any(|step| *step > 1) { format!(" /{}", stride[0]) } else { String::new() };
        format!("{}x{}{step}", kernel[0], kernel[1])
    };
    match op {
        Op::Conv2d { kernel, stride, groups, .. } => {
            let groups = if *groups > 1 { format!(" in {groups} groups") } else { String::new() };
            format!("{} {}{groups}", op.name(), window(kernel, stride))
        }
        Op::Pool { kernel, stride, .. } => format!("{} {}", op.name(), window(kernel, stride)),
        _ => op.name().to_owned(),
    }
}
