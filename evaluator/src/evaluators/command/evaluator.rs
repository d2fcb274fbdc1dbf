//! Evaluates each architecture by running a program of the user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kiln_export::{Arrays, ExportError, Exporter, Onnx, Safetensors};
use kiln_search::{
    EvalError, Evaluator, Fidelities, Fidelity, Outcome, Progress, Request, RunPaths, Silent, Trial, Watch,
    results_part, seed,
};
use kiln_space::{Architecture, Genotype};

use super::course::Course;
use super::description::{About, description};
use super::kept::Kept;
use super::message::Metrics;
use super::training::{Asked, Command, Reported};
use super::weights;
use super::work::Work;
use crate::deploy::random;
use crate::evaluators::context::Context;
use crate::evaluators::finish::outside::{OutsideTraining, Returned};
use crate::network::stand_alone::stand_alone;

/// Name of the folder that keeps states until the search ends.
const STATES: &str = "milestones";
/// Name of the folder that keeps weights until networks are finished. Folders of networks that are being
/// finished have names that begin like this.
const WEIGHTS: &str = "network-weights";
/// Interval between two looks at the stop flag of the finish stage.
const POLL: Duration = Duration::from_millis(100);

/// Evaluates and finishes networks with a program.
pub(super) struct CommandEvaluator {
    pub(super) command: Command,
    /// Files that results depend on, with their hashes.
    pub(super) depends: Vec<String>,
    pub(super) context: Context,
    /// Whether weights of whole trainings are kept for the finish stage.
    pub(super) keeps_weights: bool,
}

/// A network and how long it is trained.
struct Question<'a> {
    genotype: &'a Genotype,
    architecture: &'a Architecture,
    seed: u64,
    epochs: u32,
    progress: &'a dyn Progress,
}

/// A training that was run.
struct Trained {
    reported: Reported,
    /// The trained weights, if the program returned them and they fit.
    weights: Option<Result<Arrays, String>>,
}

impl Evaluator for CommandEvaluator {
    fn prepare(&self, _progress: &dyn Progress) -> Result<(), EvalError> {
        Ok(())
    }

    fn fingerprint(&self) -> String {
        let settings = serde_json::to_string(&self.command.settings).expect("settings are plain data");
        let Context { space_settings, data, seed, .. } = &self.context;
        let mut hasher = blake3::Hasher::new();
        let seed = seed.to_string();
        let parts = [settings.as_str(), space_settings, data.hash(), &seed];
        for part in parts.into_iter().chain(self.depends.iter().map(String::as_str)) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        format!("{}{}", self.fingerprint_start(), &hasher.finalize().to_hex()[..32])
    }

    fn fingerprint_start(&self) -> String {
        // Another program computes the results, so they do not depend on Kiln's device class.
        format!("command/{}/", results_part())
    }

    fn fidelities(&self) -> Fidelities {
        let schedule = Fidelities::of_schedule(self.command.settings.epochs);
        Fidelities { shorter: self.command.arguments.mentions("epochs"), ..schedule }
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.evaluate_watched(request, Watch { trial: None, progress: &Silent })
    }

    fn evaluate_watched(&self, request: &Request<'_>, watch: Watch<'_>) -> Result<Outcome, EvalError> {
        let question = self.question(request, watch.progress)?;
        let kept = self.kept(&question, STATES);
        if let Some(metrics) = self.known(&kept, question.epochs) {
            return Ok(Outcome::from_metrics(metrics));
        }
        let place = self.place(&question, request.fidelity);
        let Trained { reported, .. } = self.train(&question, &place, Some(&kept), &AtomicBool::new(false))?;
        Ok(reported.outcome())
    }

    fn try_out(&self, request: &Request<'_>) -> Result<(Outcome, Vec<String>), EvalError> {
        let question = self.question(request, &Silent)?;
        let kept = self.kept(&question, STATES);
        let place = self.place(&question, request.fidelity);
        let trained = self.train(&question, &place, Some(&kept), &AtomicBool::new(false))?;
        let Trained { reported, weights } = &trained;
        let mut lines = vec![format!("it ran for {:.1} s", reported.took.as_secs_f64())];
        if reported.course.epochs().is_empty() {
            lines.push(
                "it printed no line of JSON with `epoch`: there are no intermediate results".to_owned(),
            );
        }
        lines.extend(
            reported
                .course
                .epochs()
                .iter()
                .map(|(epoch, metrics)| format!("epoch {epoch}: {}", listed(metrics))),
        );
        lines.extend(match weights {
            Some(Ok(arrays)) => {
                Some(format!("it returned weights: {} arrays, which fit the network", arrays.len()))
            }
            Some(Err(problem)) => Some(format!("it {problem}")),
            None => None,
        });
        Ok((reported.outcome(), lines))
    }
}

fn listed(metrics: &Metrics) -> String {
    let listed: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
    listed.join(", ")
}

impl CommandEvaluator {
    fn question<'a>(
        &self,
        request: &Request<'a>,
        progress: &'a dyn Progress,
    ) -> Result<Question<'a>, EvalError> {
        let fidelities = self.fidelities();
        fidelities.check(request.fidelity)?;
        let Request { genotype, architecture, fidelity, seed } = *request;
        Ok(Question { genotype, architecture, seed, epochs: fidelities.epochs(fidelity), progress })
    }

    /// Everything that the trainings of a network depend on, except their length.
    fn identity(&self, question: &Question<'_>) -> String {
        let Question { genotype, architecture, seed, .. } = question;
        format!("{}\n{genotype}\n{architecture:?}\n{seed}", Evaluator::fingerprint(self))
    }

    fn kept(&self, question: &Question<'_>, folder: &str) -> Kept {
        let folder = RunPaths::new(&self.context.folder).trainings().join(folder);
        Kept::new(folder, self.identity(question), self.command.settings.kept_max_bytes)
    }

    /// Each fidelity has its own folder, because trainings of one network may run at the same time.
    fn place(&self, question: &Question<'_>, fidelity: Fidelity) -> PathBuf {
        let training = format!("{}\n{fidelity:?}", self.identity(question));
        let name = format!("trial-{}", &blake3::hash(training.as_bytes()).to_hex()[..16]);
        RunPaths::new(&self.context.folder).trainings().join(name)
    }

    /// The metrics of this training, if a longer training of the same network passed its epochs.
    fn known(&self, kept: &Kept, epochs: u32) -> Option<Metrics> {
        let settings = &self.command.settings;
        let answer = |course: Course| course.answer(epochs, &settings.metrics[0], settings.patience);
        let (longer, answer) = kept
            .courses()
            .filter(|(known, _)| *known >= epochs)
            .find_map(|(known, course)| Some((known, answer(course)?)))?;
        tracing::info!("answering {epochs} epochs from a training of {longer} epochs");
        Some(answer.metrics)
    }

    /// Runs the program, and keeps what later trainings need. `states` are those of other trainings of the
    /// network; the finish stage has none.
    fn train(
        &self,
        question: &Question<'_>,
        place: &Path,
        states: Option<&Kept>,
        stop: &AtomicBool,
    ) -> Result<Trained, EvalError> {
        let work = Work::open(place)?;
        let goes_on = work.was_begun();
        let course = work.begin(states, question.epochs)?;
        let (own, _) = stand_alone(question.architecture);
        let asked = Asked {
            progress: question.progress,
            epochs: question.epochs,
            seed: question.seed,
            files: self.files(&own, question)?,
        };
        let mut reported = self.command.run(&work, &asked, course, stop)?;
        if goes_on && reported.lacks_epochs {
            // Kiln was killed after the program stored its state, and before its line arrived.
            work.begin_again()?;
            reported = self.command.run(&work, &asked, work.begin(states, question.epochs)?, stop)?;
        }
        let is_whole = question.epochs == self.command.settings.epochs;
        let path = work.weights();
        let returns = self.command.arguments.mentions("weights") && (is_whole || path.exists());
        let weights = (returns && reported.result.is_ok()).then(|| weights::read(&path, &own));
        // A shorter training need not return weights, and those that it returns are not used.
        if let (Some(Err(problem)), true) = (&weights, is_whole) {
            reported.result = Err(format!("`{}` {problem}", self.command.settings.command()[0]));
        }
        if let Ok(metrics) = &reported.result {
            if is_whole && self.keeps_weights {
                let trained = Some((path.as_path(), metrics.clone()));
                self.kept(question, WEIGHTS).keep(question.epochs, &reported.course, None, trained);
            }
            // Nothing follows the whole schedule, but shorter trainings are answered from its course.
            let checkpoint = (!is_whole).then(|| work.checkpoint());
            if let Some(states) = states {
                states.keep(question.epochs, &reported.course, checkpoint.as_deref(), None);
            }
        }
        // A training that ran out of time goes on from its checkpoint if it is repeated with more time.
        if !reported.is_late {
            work.clear()?;
        }
        Ok(Trained { reported, weights })
    }

    /// The files that the program reads. Only those that the command mentions are made.
    fn files(
        &self,
        own: &Architecture,
        question: &Question<'_>,
    ) -> Result<BTreeMap<&'static str, (&'static str, Vec<u8>)>, EvalError> {
        let mentions = |place: &str| self.command.arguments.mentions(place);
        let mut files = BTreeMap::new();
        if mentions("architecture") {
            let about = About {
                study: &self.context.study,
                genotype: &question.genotype.to_string(),
                seed: question.seed,
                epochs: question.epochs,
                full_epochs: self.command.settings.epochs,
                data: &self.context.data,
            };
            let mut text =
                serde_json::to_vec_pretty(&description(own, &about)).expect("a description is plain data");
            text.push(b'\n');
            files.insert("architecture", ("architecture.json", text));
        }
        if mentions("onnx") || mentions("initial_weights") {
            let failed = |source: ExportError| EvalError::Program { source: Box::new(source) };
            let plain = weights::in_single_precision(own);
            let name = format!("{}/{}", self.context.study, question.genotype);
            let mut model = random::initial(&plain, &name, question.seed);
            let (mean, deviation) = self.context.data.normalization();
            self.context.data.input().clone_into(&mut model.card.preprocessing.input);
            model.card.preprocessing.mean = mean.to_vec();
            model.card.preprocessing.deviation = deviation.to_vec();
            model.card.classes = self.context.data.targets().names().to_vec();
            if mentions("onnx") {
                let mut bytes = Vec::new();
                Onnx::write_layers(&model, &mut bytes).map_err(failed)?;
                files.insert("onnx", ("network.onnx", bytes));
            }
            if mentions("initial_weights") {
                let mut bytes = Vec::new();
                Safetensors.export(&model, &mut bytes).map_err(failed)?;
                files.insert("initial_weights", ("initial.safetensors", bytes));
            }
        }
        Ok(files)
    }

    fn train_whole(
        &self,
        trial: &Trial,
        shared: &Architecture,
        stop: &AtomicBool,
    ) -> Result<Returned, EvalError> {
        let genotype = &trial.proposal.genotype;
        let (own, _) = stand_alone(shared);
        let question = Question {
            genotype,
            architecture: shared,
            seed: seed::trial_seed(self.context.seed, genotype),
            epochs: self.command.settings.epochs,
            progress: &Silent,
        };
        let kept = self.kept(&question, WEIGHTS);
        if let Some((path, trained)) = kept.trained(question.epochs)
            && let Ok(arrays) = weights::read(&path, &own)
        {
            return Ok(Returned { arrays, metrics: trained.metrics });
        }
        let place = RunPaths::new(&self.context.folder).training(trial.id).join("command");
        let Trained { reported, weights } = self.train(&question, &place, None, stop)?;
        match (&reported.result, weights) {
            (Ok(metrics), Some(Ok(arrays))) => Ok(Returned { arrays, metrics: metrics.clone() }),
            (Err(problem), _) => Err(EvalError::Untrained { problem: problem.clone() }),
            (Ok(_), Some(Err(problem))) => Err(EvalError::Untrained { problem }),
            (Ok(_), None) => Err(EvalError::Untrained { problem: "it returned no weights".to_owned() }),
        }
    }
}

impl OutsideTraining for CommandEvaluator {
    /// Takes the weights of the trial if they are kept, and otherwise trains the network again with the same
    /// seed.
    fn trained(
        &self,
        trial: &Trial,
        shared: &Architecture,
        progress: &dyn Progress,
    ) -> Result<Returned, EvalError> {
        let stop = AtomicBool::new(false);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            // The program knows nothing of the user's interrupt.
            let (stop, is_over) = (&stop, &ended);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if progress.stop_requested() {
                        stop.store(true, Ordering::SeqCst);
                    }
                    thread::sleep(POLL);
                }
            });
            let trained = self.train_whole(trial, shared, stop);
            ended.store(true, Ordering::Relaxed);
            trained
        })
    }

    fn describe(&self) -> String {
        let command = self.command.settings.command().join(" ");
        let epochs = self.command.settings.epochs;
        let s = if epochs == 1 { "" } else { "s" };
        format!("{epochs} epoch{s} by the command `{command}`; the search used the metrics that it reported")
    }

    fn fingerprint(&self) -> String {
        Evaluator::fingerprint(self)
    }
}
