//! What an evaluator is built from, and the result of building it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_export::ExporterRegistry;
use kiln_search::{CostOrigin, Evaluator, Finisher};
use kiln_space::{Registration, SearchSpace, Settings, SettingsError};

use crate::data::DataSet;
use crate::evaluators::workload::Workload;

/// Everything about the study that an evaluator may use.
#[derive(Clone)]
pub struct Context {
    /// Name of the study.
    pub study: String,
    /// Seed of the study.
    pub seed: u64,
    /// Where architectures come from.
    pub space: Arc<dyn SearchSpace>,
    /// The space's settings as text; part of the fingerprint.
    pub space_settings: String,
    /// Data to train and judge on.
    pub data: Arc<DataSet>,
    /// The study's objectives. The evaluator measures optional metrics among them.
    pub objectives: Vec<String>,
    /// How each cost of a trial is obtained, by its name; for cards.
    pub cost_origins: BTreeMap<String, CostOrigin>,
    /// Formats in which finished networks can be written.
    pub exporters: ExporterRegistry,
    /// The run folder. Shared weights are written to its folder `supernet`.
    pub folder: PathBuf,
}

/// An evaluator, and the finisher of its best networks.
#[derive(Clone)]
pub struct Built {
    /// Judges architectures.
    pub evaluator: Arc<dyn Evaluator>,
    /// Finishes networks; `None` if the config has no finish stage.
    pub finisher: Option<Arc<dyn Finisher>>,
    /// How much both compute.
    pub workload: Workload,
    /// Names of the metrics that the evaluator measures.
    pub metrics: Vec<String>,
    /// Names of optional metrics: it measures those that an objective or its setting `metrics` names.
    pub optional: Vec<String>,
}

/// Builds an evaluator from `[evaluator]` and `[finish]`.
pub type EvaluatorBuilder = fn(&Settings, Option<&Settings>, Context) -> Result<Built, SettingsError>;

/// An evaluator as it is registered.
pub type EvaluatorPart = Registration<EvaluatorBuilder>;
