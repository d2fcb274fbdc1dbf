//! A custom evaluator. It trains nothing: a formula computes the error of an architecture. Your evaluator may
//! call a simulator, a program on another machine, or another framework.
//!
//! ```console
//! $ cargo run --release --example own_evaluator
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use kiln::assembly::Registries;
use kiln_evaluator::{Built, Context, Workload};
use kiln_search::{EvalError, Evaluator, Fidelities, Outcome, Progress, Request};
use kiln_space::{Settings, SettingsError};
use serde::Deserialize;

const CONFIG: &str = r#"
    study = { name = "formula", seed = 1 }
    data = { kind = "digits" }
    space = { kind = "mlp", layers = [1, 2, 3], width = [8, 16, 32, 64] }
    hardware = [{ device = "cortex-m7", latency_max_us = 2000 }]
    evaluator = { kind = "formula", best_error_percent = 1.5 }

    [search]
    strategy = "regularized_evolution"
    trials = 40
    objectives = ["error_percent", "latency_us"]
"#;

/// `[evaluator]` with `kind = "formula"`.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Formula {
    /// Error of an infinitely large network.
    best_error_percent: f64,
}

/// Reads the settings. `main` registers this function. The context contains the study's data, space and seed.
fn build(settings: &Settings, _finish: Option<&Settings>, _context: Context) -> Result<Built, SettingsError> {
    let formula: Formula = settings.read()?;
    Ok(Built {
        evaluator: Arc::new(formula),
        // Nothing is trained, so nothing can be finished.
        finisher: None,
        compressor: None,
        workload: Workload::default(),
        metrics: vec!["error_percent".to_owned()],
        optional: Vec::new(),
    })
}

impl Evaluator for Formula {
    /// An evaluator that needs preparation would train a supernet here, or contact a remote machine.
    fn prepare(&self, _progress: &dyn Progress) -> Result<(), EvalError> {
        Ok(())
    }

    /// Names everything on which outcomes depend. A study cannot resume with a different fingerprint.
    fn fingerprint(&self) -> String {
        format!("formula/1 best_error_percent={}", self.best_error_percent)
    }

    /// Returns the fidelities that this evaluator supports. The default is full effort only, which is right
    /// here because a formula has no epochs. An evaluator that trains for 20 epochs and can stop earlier
    /// returns `Fidelities::of_schedule(20)`. Strategies such as `asha` then use the lower fidelities.
    fn fidelities(&self) -> Fidelities {
        Fidelities::full_only()
    }

    /// Equal requests must give equal outcomes. Derive everything random from `request.seed`.
    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.fidelities().check(request.fidelity)?;
        let parameters = request.architecture.counts().parameters as f64;
        let error = self.best_error_percent + 300.0 / parameters.sqrt();
        Ok(Outcome::from_metrics(BTreeMap::from([("error_percent".to_owned(), error)])))
    }
}

fn main() -> Result<()> {
    let mut registries = Registries::builtin();
    registries.evaluators.register("formula", "a formula of the parameters", build);
    run::study(&registries, CONFIG)
}
