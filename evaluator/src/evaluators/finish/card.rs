//! The model card of a finished network.

use std::collections::BTreeMap;

use kiln_export::{
    CardVersion, MetricRecord, ModelCard, PredictedBy, Prediction, Preprocessing, QuantizationPlan,
    SplitSizes,
};
use kiln_search::{CostPredictor, Trial};
use kiln_space::Architecture;

use super::NetworkFinisher;
use super::settings::Mode;
use crate::data::Split;
use crate::deploy::provenance;
use crate::judging::metrics::Score;

impl NetworkFinisher {
    /// Describes how the network was trained, for its model card.
    fn describe_training(&self, trial: &Trial, architecture: &Architecture) -> String {
        if let Some(outside) = &self.outside {
            return outside.describe();
        }
        let inherits = self.source.is_some() && self.settings.mode != Some(Mode::Scratch);
        format!(
            "{} epochs of batch {} from {} weights on the training{} split; {:?}, learning rate {}, \
             momentum {}, weight decay {}, label smoothing {}{}{}{}",
            self.training.epochs,
            self.training.batch,
            if inherits { "the supernet's" } else { "new" },
            if self.settings.train_on_validation { " and validation" } else { "" },
            self.training.optimizer.kind,
            self.training.optimizer.learning_rate,
            self.training.optimizer.momentum,
            self.training.optimizer.weight_decay,
            self.training.label_smoothing,
            self.training.describe_options(),
            if QuantizationPlan::new(architecture).is_empty() {
                ""
            } else {
                "; rounded to 8 bits at the end"
            },
            trial
                .proposal
                .fidelity
                .qualifier(self.full_epochs)
                .map(|judged| format!("; the search judged the architecture {judged}"))
                .unwrap_or_default(),
        )
    }

    pub(super) fn card(
        &self,
        trial: &Trial,
        architecture: &Architecture,
        score: Option<&Score>,
        reported: &BTreeMap<String, f64>,
    ) -> ModelCard {
        let (data, space) = (&self.context.data, &self.context.space);
        let genotype = &trial.proposal.genotype;
        let decisions = space.decisions().iter().zip(genotype.genes()).enumerate();
        let decisions = decisions
            .filter(|(index, _)| {
                kiln_space::variation::is_active(space.decisions(), genotype.genes(), *index)
            })
            .map(|(_, (decision, gene))| {
                (decision.name.clone(), decision.options[usize::from(*gene)].to_string())
            })
            .collect();
        let counts = architecture.counts();
        let tested = format!("{} examples of the test split, measured once", data.split(Split::Test).len());
        let mut metrics: Vec<MetricRecord> = score
            .map_or(&[][..], |score| &score.metrics)
            .iter()
            .map(|(name, value)| MetricRecord {
                name: (*name).to_owned(),
                value: *value,
                how: if name.contains("deviations") {
                    format!("{tested}; in deviations of the training split")
                } else {
                    tested.clone()
                },
                predicted_by: None,
            })
            .collect();
        let measured: Vec<String> = metrics.iter().map(|metric| metric.name.clone()).collect();
        let reported = reported.iter().filter(|(name, _)| !measured.contains(name));
        metrics.extend(reported.map(|(name, value)| MetricRecord {
            name: name.clone(),
            value: *value,
            how: "reported by the command".to_owned(),
            predicted_by: None,
        }));
        let predicted = || "predicted by the study's cost models from the architecture".to_owned();
        metrics.extend(trial.costs.0.iter().map(|(name, value)| {
            let origin = self.context.cost_origins.get(name);
            MetricRecord {
                name: name.clone(),
                value: *value,
                how: origin.map_or_else(predicted, |origin| origin.how.clone()),
                predicted_by: origin.and_then(|origin| origin.predictor.as_ref()).map(predicted_by),
            }
        }));
        let size = |split: Split| data.split(split).len() as u64;
        let (mean, deviation) = data.normalization();
        ModelCard {
            version: CardVersion::CURRENT,
            name: format!("{}/{}", self.context.study, trial.id),
            decisions,
            genotype: genotype.to_string(),
            parameters: counts.parameters,
            macs: counts.macs,
            predicts: if data.is_regression() { Prediction::Values } else { Prediction::Classes },
            classes: data.targets().names().to_vec(),
            data: data.describe(),
            training: self.describe_training(trial, architecture),
            preprocessing: Preprocessing {
                input: data.input().to_owned(),
                mean: mean.to_vec(),
                deviation: deviation.to_vec(),
                inputs: data.inputs().to_vec(),
                target_offsets: data.target_offsets().to_vec(),
                reading: data.reading().clone(),
                reading_rules: data.reading_rules().number(),
            },
            metrics,
            seed: self.context.seed,
            versions: BTreeMap::from([
                ("kiln".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                ("burn".to_owned(), "0.22.1".to_owned()),
            ]),
            fidelity: trial.proposal.fidelity.to_string(),
            split: data.has_examples().then(|| SplitSizes {
                seed: data.split_seed(),
                training: size(Split::Train),
                validation: size(Split::Validation),
                test: size(Split::Test),
            }),
            class_weights: self.training.class_weights.by_name(data),
            test: score.map(|score| score.results.clone()),
            optimization: BTreeMap::new(),
            compressed: Vec::new(),
            date: provenance::today(),
            machine: provenance::machine(&self.device_class),
        }
    }
}

fn predicted_by(predictor: &CostPredictor) -> PredictedBy {
    let conditions = predictor.conditions;
    PredictedBy {
        device: predictor.device.clone(),
        model: predictor.model.clone(),
        batch: conditions.map(|conditions| conditions.batch),
        threads: conditions.map(|conditions| conditions.threads),
    }
}
