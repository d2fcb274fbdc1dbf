//! Turns a config into a study. This module looks up names in the registries, opens files, and reports every
//! mistake that can be found before the run folder exists.

mod effort;
mod objectives;
mod priors;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use kiln_engines::{BuiltEngine, EngineRegistry};
use kiln_evaluator::data::{DataError, DataRegistry, DataSet, NamesFrom, Opening, ReadingRules};
use kiln_evaluator::{Built, Compressor, Context, EvaluatorRegistry, Workload, stated_task};
use kiln_export::ExporterRegistry;
use kiln_hw_models::{HardwareRegistry, HwError};
use kiln_search::{
    Constraint, CostSet, Domain, ENUMERABLE, Evaluator, Finisher, RunPaths, Strategy, StrategyRegistry,
    Study, StudyError, StudySettings, TableError, TableEvaluator,
};
use kiln_space::{SearchSpace, Settings, Shape, SpaceRegistry, Task, size};
use kiln_trackers::{Tracker, TrackerRegistry};
use serde_json::{Value, json};

use crate::config::{ConfigError, ENGINE, Part, READING_RULES, RESOLVED, RunConfig, TRACK};
use crate::jobs;
use crate::measuring::DeviceMeasurer;

/// Name of the evaluator that looks up published results. This evaluator trains nothing and needs no data
/// set.
pub(crate) const TABLE: &str = "table";
/// Name of the evaluator that may state shapes instead of data.
const COMMAND: &str = "command";

/// Registries of all parts that a config can name. You can register your own parts in every registry before
/// you build a study.
#[derive(Clone, Debug)]
pub struct Registries {
    /// Data sets, for `[data]`.
    pub data: DataRegistry,
    /// Search spaces, for `[space]`.
    pub spaces: SpaceRegistry,
    /// Cost models, for `[[hardware]]`.
    pub hardware: HardwareRegistry,
    /// Evaluators, for `[evaluator]`. The registry does not contain the evaluator `table`.
    pub evaluators: EvaluatorRegistry,
    /// Strategies, for `[search] strategy`.
    pub strategies: StrategyRegistry,
    /// Export formats, for `[finish] formats` and for `kiln export`.
    pub exporters: ExporterRegistry,
    /// Engines, for `[engine]`.
    pub engines: EngineRegistry,
    /// Trackers, for `[track]`.
    pub trackers: TrackerRegistry,
    /// Progress callback of the data readers. Its arguments are the number of data files read so far and the
    /// number of all data files.
    pub reading: fn(u64, u64),
}

/// Folders that the config does not name.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    /// Folder of data sets and tables, if the user named one.
    pub data: Option<&'a Path>,
    /// Folder that contains the run folders.
    pub runs: &'a Path,
}

/// All parts of a study. Building them trains nothing and writes nothing.
pub struct Assembly {
    /// The config, including the values that Kiln derived from the data.
    pub config: RunConfig,
    /// Paths in the run folder. The folder need not exist.
    pub paths: RunPaths,
    /// The data set, if the config has a table `[data]`.
    pub data: Option<Arc<DataSet>>,
    /// The context for evaluator builders. `None` if the evaluator is `table`.
    pub context: Option<Context>,
    /// The search space.
    pub space: Arc<dyn SearchSpace>,
    /// The cost models.
    pub costs: CostSet,
    /// The limits on costs.
    pub constraints: Vec<Constraint>,
    /// The evaluator.
    pub evaluator: Arc<dyn Evaluator>,
    /// The finisher, if the config has a `[finish]` table.
    pub finisher: Option<Arc<dyn Finisher>>,
    /// What measures finished networks, if `[finish] measure` asks for it: one for each device on which
    /// networks can run.
    pub measurers: Vec<Arc<DeviceMeasurer>>,
    /// Compresses finished networks, if the config has a `[finish]` table.
    pub compressor: Option<Arc<Compressor>>,
    /// The amount of computation that evaluator and finisher need.
    pub workload: Workload,
    /// The strategy.
    pub strategy: Box<dyn Strategy>,
    /// The engine, if the config has a table `[engine]`. The caller opens its jobs with
    /// [`jobs::open`].
    pub engine: Option<BuiltEngine>,
    /// The trackers. The caller gives them to a [`kiln_trackers::Tracking`] that observes the study.
    pub trackers: Vec<Box<dyn Tracker>>,
}

impl Registries {
    /// Registers the parts that come with Kiln.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            data: DataRegistry::builtin(),
            spaces: SpaceRegistry::builtin(),
            hardware: HardwareRegistry::builtin(),
            evaluators: EvaluatorRegistry::builtin(),
            strategies: StrategyRegistry::builtin(),
            exporters: ExporterRegistry::builtin(),
            engines: EngineRegistry::builtin(),
            trackers: TrackerRegistry::builtin(),
            reading: |_, _| (),
        }
    }

    /// Builds the study that a config describes.
    ///
    /// # Errors
    /// [`ConfigError`] with the file, the line and the key of an unusable value.
    pub fn build(&self, config: RunConfig, folders: Folders<'_>) -> Result<Assembly, ConfigError> {
        let paths = RunPaths::of_study(folders.runs, &config.study.name)
            .map_err(|error| part_error(&config, "study.name", error))?;
        self.build_at(config, folders.data, paths)
    }

    /// Builds the study for the run folder at `paths`. The folder's name may differ from the study's name.
    ///
    /// # Errors
    /// The same as for [`Registries::build`].
    pub fn build_at(
        &self,
        mut config: RunConfig,
        data_folder: Option<&Path>,
        paths: RunPaths,
    ) -> Result<Assembly, ConfigError> {
        let document = &config.document;
        let kinds = self.evaluators.names().chain([TABLE]);
        check_known(&config, "evaluator.kind", &config.evaluator.kind, kinds)?;
        let (costs, constraints) = self.costs(&config)?;
        let measurers = measurers(&config, &costs)?;
        let Part { kind, settings } = &config.search.strategy;
        let key = if settings.table().is_empty() { "search.strategy" } else { "search.strategy.kind" };
        check_known(&config, key, kind, self.strategies.names())?;
        let trackers = self.trackers.build(&config.track).map_err(|error| document.explain(&error))?;
        let engine = jobs::engine(self, &config)?;
        let strategy = self.strategies.build(kind, settings).map_err(|error| document.explain(&error))?;
        let stated = stated_data(&config);
        let data = if stated.is_some() { None } else { self.data(&config, data_folder)? };
        // What an evaluator sees: the data, or shapes alone.
        let seen = data.clone().or(stated);
        let space = self.space(&config, seen.as_ref().map(|data| data.task()))?;
        check_end(&config, space.as_ref())?;
        priors::check_journals(&config)?;
        let context = seen.as_ref().map(|data| self.context(&config, &space, data, &costs, &paths));
        let Built { evaluator, finisher, compressor, workload, metrics, optional } =
            self.evaluator(&config, context.clone(), data_folder)?;
        objectives::choose(&mut config, &metrics)?;
        objectives::check(&config, &costs, &metrics, &optional)?;
        let answered = evaluator.fidelities();
        effort::check_fidelities(&config, strategy.as_ref(), answered)?;
        effort::check_budget(&config, strategy.as_ref(), answered)?;
        let domain = Domain::new(space.as_ref(), &costs, &constraints, &config.search.objectives);
        strategy.fits(&domain).map_err(|error| config.document.explain(&error))?;
        if let Some(data) = &seen {
            resolve(&mut config, data);
        }
        Ok(Assembly {
            config,
            paths,
            data,
            context,
            space,
            costs,
            constraints,
            evaluator,
            finisher,
            measurers,
            compressor,
            workload,
            strategy,
            engine,
            trackers,
        })
    }

    /// Builds a config's search space for data with this task. If `task` is `None`, the task comes from the
    /// config, which must be a run folder's config.
    ///
    /// # Errors
    /// [`ConfigError`] for an unknown kind or impossible settings.
    pub fn space(&self, config: &RunConfig, task: Option<Task>) -> Result<Arc<dyn SearchSpace>, ConfigError> {
        let Part { kind, settings } = &config.space;
        let task = task.or_else(|| resolved_task(config));
        self.spaces.build(kind, settings, task).map_err(|error| config.document.explain(&error))
    }

    /// Builds the cost models and constraints of a config.
    ///
    /// # Errors
    /// [`ConfigError`] for unknown devices and models, and for a device that is named twice.
    pub fn costs(&self, config: &RunConfig) -> Result<(CostSet, Vec<Constraint>), ConfigError> {
        let mut devices = Vec::new();
        for table in &config.hardware {
            let model = self.hardware.build(&table.settings).map_err(|error| match error {
                HwError::Settings(error) => config.document.explain(&error),
                other => part_error(config, table.settings.path(), other),
            })?;
            devices.push((model.device().to_owned(), model));
        }
        let names: Vec<String> = devices.iter().map(|(device, _)| device.clone()).collect();
        let costs = CostSet::new(devices).map_err(|error| part_error(config, "hardware", error))?;
        let confident = config.hardware.iter().zip(&names).filter(|(table, _)| table.is_confident);
        let costs = confident.fold(costs, |costs, (_, device)| costs.with_upper_ends(device));
        let counted = config.search.limits.iter().map(|(cost, max)| Constraint::new(*cost, *max));
        let predicted = config.hardware.iter().zip(&names).flat_map(|(table, device)| {
            let limited = |cost: &str| costs.qualified(costs.limited(cost, device), device);
            let limits = table.limits.iter().map(|(cost, max)| Constraint::new(limited(cost), *max));
            limits.collect::<Vec<_>>()
        });
        let constraints = counted.chain(predicted).collect();
        Ok((costs, constraints))
    }

    /// Opens the config's data set. Every evaluator except `table` needs a data set.
    ///
    /// # Errors
    /// [`ConfigError`] for an unknown kind, impossible settings, and files that are missing or damaged.
    pub fn data(
        &self,
        config: &RunConfig,
        folder: Option<&Path>,
    ) -> Result<Option<Arc<DataSet>>, ConfigError> {
        self.data_by(config, folder, (ReadingRules::CURRENT, NamesFrom::Training))
    }

    /// Opens the data set with which an existing network is used. `rules` are the reading rules of the
    /// network's own data. `names` determines which category names become inputs.
    ///
    /// # Errors
    /// The same as for [`Registries::data`].
    pub fn data_by(
        &self,
        config: &RunConfig,
        folder: Option<&Path>,
        (rules, names): (ReadingRules, NamesFrom),
    ) -> Result<Option<Arc<DataSet>>, ConfigError> {
        let Some(Part { kind, settings }) = &config.data else {
            return match config.evaluator.kind.as_str() {
                TABLE => Ok(None),
                kind => {
                    let expected = match kind {
                        COMMAND => "a table `[data]`, or `input` and `outputs` in `[evaluator]`".to_owned(),
                        kind => format!("a table `[data]`, for the evaluator `{kind}` to train on"),
                    };
                    Err(config.document.missing("data", &expected))
                }
            };
        };
        let opening = Opening { rules, names, progress: &self.reading, ..Opening::new(settings, folder) };
        self.data.open(kind, &opening).map(Some).map_err(|error| match error {
            DataError::Settings(error) => config.document.explain(&error),
            other => part_error(config, "data", other),
        })
    }

    fn context(
        &self,
        config: &RunConfig,
        space: &Arc<dyn SearchSpace>,
        data: &Arc<DataSet>,
        costs: &CostSet,
        paths: &RunPaths,
    ) -> Context {
        Context {
            study: config.study.name.clone(),
            seed: config.study.seed,
            space: Arc::clone(space),
            space_settings: config.document.root()["space"].to_string(),
            data: Arc::clone(data),
            objectives: config.search.objectives.clone(),
            cost_origins: costs.origins(),
            costs: costs.clone(),
            exporters: self.exporters.clone(),
            folder: paths.root().to_owned(),
        }
    }

    fn evaluator(
        &self,
        config: &RunConfig,
        context: Option<Context>,
        data_folder: Option<&Path>,
    ) -> Result<Built, ConfigError> {
        let Part { kind, settings } = &config.evaluator;
        let finish = config.finish.as_ref().map(|finish| &finish.settings);
        if kind == TABLE {
            if finish.is_some() {
                let expected = "no such table: the evaluator `table` trains nothing that could be finished";
                return Err(config.document.value("finish", "a table", expected));
            }
            return table(config, settings, data_folder);
        }
        let context = context.expect("an evaluator other than the table has data");
        self.evaluators
            .build(kind, settings, finish, context)
            .map_err(|error| config.document.explain(&error))
    }
}

/// Returns what a config without `[data]` states instead: the shapes in `input` and `outputs` of
/// `[evaluator]`, for an evaluator that reads no examples. Evaluators without these keys refuse them.
fn stated_data(config: &RunConfig) -> Option<Arc<DataSet>> {
    if config.data.is_some() || config.evaluator.kind == TABLE {
        return None;
    }
    stated_task(&config.evaluator.settings).map(|task| Arc::new(DataSet::without_examples(task)))
}

/// Checks that something ends the search: a budget, a target, or a space that is small enough to exhaust.
fn check_end(config: &RunConfig, space: &dyn SearchSpace) -> Result<(), ConfigError> {
    let search = &config.search;
    let budget = search.trials.is_some() || search.epochs.is_some() || search.hours.is_some();
    let ends = budget || !search.target.is_empty();
    if ends || size::count(space) <= ENUMERABLE.into() {
        return Ok(());
    }
    let expected = format!(
        "a number of trials, or `epochs`, `hours` or a `target`: nothing else ends a search in a space of \
         more than {ENUMERABLE} networks"
    );
    Err(config.document.missing("search.trials", &expected))
}

/// Returns what measures finished networks on each device on which networks can run. With `[finish] measure`,
/// there must be such a device.
fn measurers(config: &RunConfig, costs: &CostSet) -> Result<Vec<Arc<DeviceMeasurer>>, ConfigError> {
    let Some(finish) = config.finish.as_ref().and_then(|finish| finish.measure.as_ref()) else {
        return Ok(Vec::new());
    };
    let (mut measurers, mut problem) = (Vec::new(), None);
    for (table, (_, model)) in config.hardware.iter().zip(costs.devices()) {
        match DeviceMeasurer::of(finish, table, model.as_ref()) {
            Ok(measurer) => measurers.push(Arc::new(measurer)),
            // The config says that networks run there, so a problem is an error.
            Err(error) if table.measure.is_some() => {
                return Err(part_error(config, &format!("{}.measure", table.settings.path()), error));
            }
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    match (measurers.is_empty(), problem) {
        (false, _) => Ok(measurers),
        (true, Some(problem)) => Err(part_error(config, "finish.measure", problem)),
        (true, None) => Err(config
            .document
            .missing("hardware", "a device whose latency is measured (`[finish] measure`)")),
    }
}

/// Refuses a name that is not in a list of known names.
fn check_known<'a>(
    config: &RunConfig,
    key: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Result<(), ConfigError> {
    let known: Vec<&str> = known.collect();
    if known.contains(&name) {
        return Ok(());
    }
    let expected = format!("one of `{}`", known.join("`, `"));
    Err(config.document.value(key, format!("`{name}`"), &expected))
}

fn table(config: &RunConfig, settings: &Settings, folder: Option<&Path>) -> Result<Built, ConfigError> {
    let evaluator = TableEvaluator::open(settings, folder).map_err(|error| match error {
        TableError::Settings(error) => config.document.explain(&error),
        other => part_error(config, "evaluator", other),
    })?;
    let metrics: BTreeSet<&String> =
        evaluator.entries().flat_map(|(_, measured)| measured.metrics().keys()).collect();
    let metrics = metrics.into_iter().cloned().collect();
    let evaluator = Arc::new(evaluator);
    let (workload, optional) = (Workload::default(), Vec::new());
    Ok(Built { evaluator, finisher: None, compressor: None, workload, metrics, optional })
}

fn part_error(config: &RunConfig, key: &str, source: impl Error + Send + Sync + 'static) -> ConfigError {
    ConfigError::Part { place: config.document.place(key), source: Box::new(source) }
}

/// Records the properties of the data in the config. Commands can then read the run folder without the data,
/// and a study cannot resume with different data.
fn resolve(config: &mut RunConfig, data: &DataSet) {
    let Task { input, outputs } = data.task();
    let document = &mut config.document;
    document.set(RESOLVED, "input", json!([input.channels, input.height, input.width]));
    document.set(RESOLVED, "outputs", outputs.into());
    document.set(RESOLVED, "data", data.hash().into());
    document.set(RESOLVED, READING_RULES, data.reading_rules().number().into());
}

fn resolved_task(config: &RunConfig) -> Option<Task> {
    let resolved = config.document.root().get(RESOLVED)?;
    let size = |value: &Value| value.as_u64().map(|size| size as usize);
    let [channels, height, width] = resolved.get("input")?.as_array()?.as_slice() else {
        return None;
    };
    let input = Shape::new(size(channels)?, size(height)?, size(width)?);
    Some(Task { input, outputs: size(resolved.get("outputs")?)? })
}

impl Assembly {
    /// Creates the study with one worker and without observers. Callers can change both.
    #[must_use]
    pub fn into_study(self) -> Study {
        let RunConfig { study, search, finish, .. } = self.config;
        let settings = StudySettings {
            name: study.name,
            seed: study.seed,
            in_flight: search.in_flight,
            panics_in_a_row: search.panics_in_a_row,
            networks: finish.map_or(0, |finish| finish.networks),
            trials: search.trials,
            epochs: search.epochs,
            hours: search.hours,
            target: search.target,
            ..StudySettings::default()
        };
        Study {
            settings,
            space: self.space,
            strategy: self.strategy,
            evaluator: self.evaluator,
            finisher: self.finisher,
            measurers: self.measurers.into_iter().map(|measurer| measurer as _).collect(),
            costs: self.costs,
            constraints: self.constraints,
            objectives: search.objectives,
            store: None,
            observers: Vec::new(),
            stop: Arc::default(),
        }
    }

    /// Keys of the config that may change between two runs in the same run folder.
    ///
    /// The reading rules may change too. If a rule change alters the values that are read, the hash of the
    /// data reveals the change.
    pub const FREE_KEYS: [&'static str; 7] = [
        "search.trials",
        "search.epochs",
        "search.hours",
        "search.target",
        "resolved.reading_rules",
        ENGINE,
        TRACK,
    ];

    /// Whether the user can fix the error in the command, the config or the files. All other errors occur
    /// while the study runs.
    #[must_use]
    pub const fn is_callers(error: &StudyError) -> bool {
        if let StudyError::Files(error) = error {
            return error.is_callers();
        }
        matches!(
            error,
            StudyError::Setting { .. }
                | StudyError::UnknownCost { .. }
                | StudyError::Fidelity { .. }
                | StudyError::Budget { .. }
                | StudyError::NeverFull
                | StudyError::Held { .. }
                | StudyError::Config { .. }
                | StudyError::Changed { .. }
                | StudyError::KeptConfig { .. }
                | StudyError::NotAFolder { .. }
                | StudyError::Misplaced { .. }
                | StudyError::Linked { .. }
                | StudyError::NotARun { .. }
                | StudyError::JournalLine { .. }
                | StudyError::Contradiction { .. }
                | StudyError::Inconsistent { .. }
                | StudyError::Newer { .. }
                | StudyError::NothingFeasible { .. }
                | StudyError::Strategy(_)
                | StudyError::NotEnded { .. }
                | StudyError::NotATrial { .. }
                | StudyError::NoFinisher
        )
    }
}
