//! `structured-0.5`: removes channels until a share of a cost is gone, and trains the smaller network.

use kiln_export::pruning::structured::{self, Norm, Plan, Rules, filter_norms, losses};
use kiln_export::pruning::{PruningError, target};
use kiln_space::channels::Coupling;
use kiln_space::{Architecture, Settings, SettingsError};
use serde::Deserialize;

use crate::compression::draft::Draft;
use crate::compression::error::CompressionError;
use crate::compression::recipe::{Recipe, RecipePart, number};
use crate::compression::retraining::{KEYS, Retraining};
use crate::compression::workshop::Workshop;
use crate::data::Split;
use crate::deploy::frozen::Frozen;
use crate::deploy::inference;
use crate::judging::judgement::Judgement;
use crate::training::pruning::PruningRules;

/// Share of the finish stage's learning rate. A network without half its channels has much to learn again.
const RATE: f64 = 0.5;
/// Shares of its units that each group loses when its sensitivity is measured.
const PROBES: [f64; 4] = [0.25, 0.5, 0.75, 0.9];
/// Runtimes are fastest with multiples of 8 channels. A network that cannot meet the target so has smaller
/// ones.
const MULTIPLES: [usize; 3] = [8, 4, 1];

pub(in crate::compression) const PART: RecipePart = RecipePart::new(
    "`structured-0.5`: removes channels with half of all MACs, and trains the smaller network",
    build,
)
.with_keys(&[KEYS, OWN_KEYS])
.tested_with(&["structured-0.5", "structured:latency=0.4;multiple=4", "structured:bytes=0.5;norm=l2"]);

const OWN_KEYS: &str = r##"
[macs]
"$ref" = "#/$defs/share"
description = "Share of the multiply-accumulates to remove; the same as the number after the name."

[bytes]
"$ref" = "#/$defs/share"
description = "Share of the bytes of weights to remove."

[latency]
"$ref" = "#/$defs/share"
description = "Share of the latency to remove, predicted for the first `[[hardware]]`."

[multiple]
"$ref" = "#/$defs/count"
description = "Layers that lose channels keep a multiple of it; else 8, or 4 or 1 if 8 cannot do."

[minimum]
"$ref" = "#/$defs/count"
description = "Channels that each layer keeps at least."
default = 4

[norm]
enum = ["l1", "l2"]
description = "How filters are scored."
default = "l1"

[sensitivity]
type = "boolean"
description = "Whether layers whose channels matter more on the validation split lose fewer of them."
default = true
"##;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct StructuredSettings {
    macs: Option<f64>,
    bytes: Option<f64>,
    latency: Option<f64>,
    multiple: Option<usize>,
    #[serde(default = "four")]
    minimum: usize,
    #[serde(default)]
    norm: Norm,
    #[serde(default = "yes")]
    sensitivity: bool,
    epochs: Option<u32>,
    learning_rate: Option<f64>,
}

const fn four() -> usize {
    4
}
const fn yes() -> bool {
    true
}

/// The cost of which a share is removed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Budget {
    Macs,
    Bytes,
    Latency,
}

impl Budget {
    const fn name(self) -> &'static str {
        match self {
            Self::Macs => "MACs",
            Self::Bytes => "bytes of weights",
            Self::Latency => "µs of predicted latency",
        }
    }

    /// The cost of an architecture. Not a number if the latency cannot be predicted.
    fn cost(self, architecture: &Architecture, workshop: &Workshop<'_>) -> f64 {
        match self {
            Self::Macs => architecture.counts().macs as f64,
            Self::Bytes => architecture.counts().weight_bytes as f64,
            Self::Latency => {
                let device = workshop.costs.devices().first();
                let predicted = device.and_then(|(_, model)| model.network(architecture).ok());
                predicted.map_or(f64::NAN, |estimate| estimate.latency_us.value)
            }
        }
    }
}

struct Structured {
    budget: Budget,
    share: f64,
    /// Tried one after another.
    multiples: Vec<usize>,
    minimum: usize,
    norm: Norm,
    sensitivity: bool,
    retraining: Retraining,
}

fn build(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let read: StructuredSettings = settings.read()?;
    let expected = "a share between 0 and 1, such as `structured-0.5`";
    let stated = value.map(|value| number(value, settings, (0.0, 1.0), expected)).transpose()?;
    let shares = [(Budget::Macs, read.macs), (Budget::Bytes, read.bytes), (Budget::Latency, read.latency)];
    let given = shares.into_iter().filter_map(|(budget, share)| Some((budget, share?)));
    let all: Vec<(Budget, f64)> =
        stated.map(|share| (Budget::Macs, share)).into_iter().chain(given).collect();
    let [(budget, share)] = all[..] else {
        let found = format!("{} shares to remove", all.len());
        let expected = "one: a share after the name, or `macs`, `bytes` or `latency`";
        return Err(SettingsError::value(settings.key("value"), found, expected));
    };
    if !(share > 0.0 && share < 1.0) {
        return Err(SettingsError::value(settings.key("value"), share, "a share between 0 and 1"));
    }
    if read.multiple == Some(0) {
        return Err(SettingsError::value(settings.key("multiple"), 0, "at least 1"));
    }
    let retraining = Retraining {
        epochs: read.epochs,
        learning_rate: read.learning_rate,
        share_of_rate: RATE,
        clip_norm: None,
    };
    retraining.check(settings)?;
    let StructuredSettings { norm, sensitivity, multiple, minimum, .. } = read;
    let multiples = multiple.map_or_else(|| MULTIPLES.to_vec(), |multiple| vec![multiple]);
    Ok(Box::new(Structured { budget, share, multiples, minimum, norm, sensitivity, retraining }))
}

impl Recipe for Structured {
    fn apply(&self, mut draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        draft.require_single_precision(workshop.recipe)?;
        let unfit = |problem: String| CompressionError::Unfit { recipe: workshop.recipe.to_owned(), problem };
        if draft.is_sparse() {
            return Err(unfit("the network has zeros by design; remove channels first".to_owned()));
        }
        let architecture = &draft.model.architecture;
        let before = self.budget.cost(architecture, workshop);
        if !before.is_finite() {
            let problem = "the config has no `[[hardware]]` that predicts this network's latency";
            return Err(unfit(problem.to_owned()));
        }
        let plan = self.plan(&draft, before, workshop)?;
        let after = plan.cost;
        let card = draft.model.card.clone();
        draft.model = structured::cut(&draft.model, &plan).map_err(|error| unfit(error.to_string()))?;
        let counts = draft.model.architecture.counts();
        draft.model.card = card;
        draft.model.card.parameters = counts.parameters;
        draft.model.card.macs = counts.macs;
        draft.describe(&format!("channels removed: from {before:.0} to {after:.0} {}", self.budget.name()));
        self.retraining.run(workshop, draft, PruningRules::default())
    }

    fn epochs(&self, epochs: u32) -> u32 {
        self.retraining.passes(epochs)
    }
}

impl Structured {
    /// Chooses the channels to remove.
    fn plan(&self, draft: &Draft, before: f64, workshop: &Workshop<'_>) -> Result<Plan, CompressionError> {
        let unfit = |error: &PruningError| CompressionError::Unfit {
            recipe: workshop.recipe.to_owned(),
            problem: format!("{error}"),
        };
        let model = &draft.model;
        let coupling = Coupling::new(&model.architecture)?;
        let scores = filter_norms(model, &coupling, self.norm).map_err(|error| unfit(&error))?;
        let loss = |smaller: &kiln_export::TrainedModel| {
            let frozen = Frozen::unrounded(smaller, workshop.device);
            let judged = inference::judge(&frozen, workshop.data, Split::Validation, workshop.device);
            judged.as_ref().map_or(f64::NAN, Judgement::loss)
        };
        let sensitivity = if self.sensitivity {
            workshop.progress.report("channels", 0, coupling.groups().len() as u64, "");
            let found = structured::sensitivity(model, &coupling, &scores, &PROBES, loss);
            Some(found.map_err(|error| unfit(&error))?)
        } else {
            None
        };
        let losses = losses(&coupling, &scores, sensitivity.as_ref()).map_err(|error| unfit(&error))?;
        let target = target(before, self.share).map_err(|error| unfit(&error))?;
        let cost = |architecture: &Architecture| self.budget.cost(architecture, workshop);
        let mut best = f64::INFINITY;
        for multiple in &self.multiples {
            let rules = Rules { multiple: *multiple, minimum: self.minimum };
            match structured::plan(&model.architecture, &coupling, &losses, rules, target, cost) {
                Ok(plan) => return Ok(plan),
                Err(PruningError::Budget { reached, .. }) => best = best.min(reached),
                Err(error) => return Err(unfit(&error)),
            }
        }
        Err(CompressionError::Unreachable {
            recipe: workshop.recipe.to_owned(),
            target: format!("at most {target:.0} {}", self.budget.name()),
            reached: format!("{best:.0}"),
        })
    }
}
