//! Defines the context that an evaluator is built from, and the result of building it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_export::ExporterRegistry;
use kiln_search::{CostOrigin, CostSet, Evaluator, Finisher};
use kiln_space::{Registration, SearchSpace, Settings, SettingsError};

use crate::compression::compressor::Compressor;
use crate::data::DataSet;
use crate::evaluators::workload::Workload;

/// The parts of a study that an evaluator may use.
#[derive(Clone)]
pub struct Context {
    /// Name of the study.
    pub study: String,
    /// Seed of the study.
    pub seed: u64,
    /// The search space, which decodes genotypes into architectures.
    pub space: Arc<dyn SearchSpace>,
    /// The space's settings as text. The fingerprint includes them.
    pub space_settings: String,
    /// The data set on which networks are trained and evaluated.
    pub data: Arc<DataSet>,
    /// Names of the study's objectives. The evaluator also measures the optional metrics among them.
    pub objectives: Vec<String>,
    /// Maps the name of each cost to how the cost was obtained. Model cards state it.
    pub cost_origins: BTreeMap<String, CostOrigin>,
    /// Cost models of the study. Recipes that remove channels predict latencies with them.
    pub costs: CostSet,
    /// Formats in which finished networks can be written.
    pub exporters: ExporterRegistry,
    /// The run folder. Shared weights are stored in its subfolder `supernet`.
    pub folder: PathBuf,
}

/// An evaluator, and the finisher for the networks that it evaluates.
#[derive(Clone)]
pub struct Built {
    /// Evaluates architectures.
    pub evaluator: Arc<dyn Evaluator>,
    /// Finishes networks. It is `None` if the config has no finish stage.
    pub finisher: Option<Arc<dyn Finisher>>,
    /// Compresses finished networks. It is `None` if the config has no finish stage, or no examples.
    pub compressor: Option<Arc<Compressor>>,
    /// Amount of computation of the evaluator and the finisher.
    pub workload: Workload,
    /// Names of the metrics that the evaluator measures.
    pub metrics: Vec<String>,
    /// Names of the optional metrics. The evaluator measures one if an objective or the setting `metrics`
    /// names it.
    pub optional: Vec<String>,
}

/// Builds an evaluator from `[evaluator]` and `[finish]`.
pub type EvaluatorBuilder = fn(&Settings, Option<&Settings>, Context) -> Result<Built, SettingsError>;

/// An entry of the evaluator registry: a builder with its description and the schema of its settings.
pub type EvaluatorPart = Registration<EvaluatorBuilder>;
