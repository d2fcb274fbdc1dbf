//! `unstructured-0.7` and `2:4`: trains a network while its least important weights become zero.

use std::collections::BTreeMap;

use kiln_export::pruning::scores::magnitude;
use kiln_export::pruning::unstructured::{LayerScores, plan};
use kiln_export::pruning::{Mask, Masking, PruningError, sparsity_of, target};
use kiln_space::{Architecture, LayerId, Op, Settings, SettingsError, Sparsity};
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
use crate::training::pruning::{Criterion, PruningRules};

/// Share of the finish stage's learning rate with which a network learns to do without its zeros.
const RATE: f64 = 0.5;
/// Shares of zeros that a layer may have if layers have different ones, in twentieths.
const TWENTIETHS: std::ops::Range<u32> = 1..20;

pub(in crate::compression) const UNSTRUCTURED: RecipePart = RecipePart::new(
    "`unstructured-0.7`: 70 % of the weights become zero while the network is trained; files store the zeros",
    unstructured,
)
.with_keys(&[KEYS, RULE_KEYS, SHARE_KEYS])
.tested_with(&[
    "unstructured-0.7",
    "unstructured-0.5:epochs=2;learning-rate=0.01;score=taylor;masks=soft;gradual=false",
    "unstructured:macs=0.5;layers=sensitivity;score=movement",
]);

pub(in crate::compression) const N_OF_M: RecipePart = RecipePart::new(
    "`2:4`: 2 of 4 neighboring input channels of each weight are kept; files store the zeros",
    n_of_m,
)
.with_keys(&[KEYS, RULE_KEYS])
.tested_with(&["2:4", "1:4:epochs=2;score=taylor"]);

const RULE_KEYS: &str = r#"
[score]
enum = ["magnitude", "taylor", "movement"]
description = "The weights that become zero: the smallest, or by change of the loss, or by movement."
default = "magnitude"

[masks]
enum = ["hard", "soft"]
description = "Whether zeros stay zero, or may come back until the masks are final, after half of the epochs."
default = "hard"

[gradual]
type = "boolean"
description = "Whether the number of zeros grows in the first half of the epochs (cubic)."
default = true
"#;

const SHARE_KEYS: &str = r##"
[layers]
enum = ["equal", "sensitivity"]
description = "Equal shares of zeros, or fewer where they harm more on the validation split."
default = "equal"

[macs]
"$ref" = "#/$defs/share"
description = "Share of the multiply-accumulates to set to zero; needs `layers=sensitivity`."
"##;

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleSettings {
    #[serde(default)]
    score: Criterion,
    #[serde(default)]
    masks: Masking,
    #[serde(default = "yes")]
    gradual: bool,
    epochs: Option<u32>,
    learning_rate: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UnstructuredSettings {
    #[serde(default)]
    layers: Layers,
    macs: Option<f64>,
    #[serde(default)]
    score: Criterion,
    #[serde(default)]
    masks: Masking,
    #[serde(default = "yes")]
    gradual: bool,
    epochs: Option<u32>,
    learning_rate: Option<f64>,
}

const fn yes() -> bool {
    true
}

/// Which layers have how many zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Layers {
    #[default]
    Equal,
    Sensitivity,
}

/// The zeros to reach.
enum Zeros {
    /// The same in every layer.
    Equal(Sparsity),
    /// A share of all weights, or of all multiply-accumulates, with more zeros in layers that bear them.
    ByLayer { share: f64, of_macs: bool },
}

struct Sparse {
    zeros: Zeros,
    rules: PruningRules,
    retraining: Retraining,
}

fn unstructured(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let UnstructuredSettings { layers, macs, score, masks, gradual, epochs, learning_rate } =
        settings.read()?;
    let expected = "a share of zeros between 0 and 1, such as `unstructured-0.7`";
    let share = match (value, macs) {
        (Some(_), Some(macs)) => {
            let expected = "either a share after the name or `macs`";
            return Err(SettingsError::value(settings.key("macs"), macs, expected));
        }
        (None, Some(macs)) if layers == Layers::Equal => {
            let expected = "with `layers=sensitivity` only: equal shares are stated after the name";
            return Err(SettingsError::value(settings.key("macs"), macs, expected));
        }
        (None, Some(macs)) => macs,
        (value, None) => number(value.unwrap_or("nothing"), settings, (0.0, 1.0), expected)?,
    };
    let permille = (share * 1000.0).round();
    if !(1.0..1000.0).contains(&permille) {
        let key = settings.key(if macs.is_some() { "macs" } else { "value" });
        return Err(SettingsError::value(key, format!("`{share}`"), "a share from 0.001 to 0.999"));
    }
    let zeros = match layers {
        Layers::Equal => Zeros::Equal(Sparsity::Unstructured { permille: permille as u16 }),
        Layers::Sensitivity => Zeros::ByLayer { share, of_macs: macs.is_some() },
    };
    build(zeros, RuleSettings { score, masks, gradual, epochs, learning_rate }, settings)
}

fn n_of_m(value: Option<&str>, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let found = value.unwrap_or("nothing");
    let parts = found.split_once(':').and_then(|(n, m)| Some((n.parse::<u8>().ok()?, m.parse::<u8>().ok()?)));
    let parts = parts.filter(|(n, m)| *n >= 1 && n < m && *m <= 16);
    let expected = "a pattern `n:m` with 1 <= n < m <= 16, such as `2:4`";
    let (n, m) =
        parts.ok_or_else(|| SettingsError::value(settings.key("value"), format!("`{found}`"), expected))?;
    build(Zeros::Equal(Sparsity::NOfM { n, m }), settings.read()?, settings)
}

fn build(zeros: Zeros, read: RuleSettings, settings: &Settings) -> Result<Box<dyn Recipe>, SettingsError> {
    let RuleSettings { score, masks, gradual, epochs, learning_rate } = read;
    let retraining = Retraining { epochs, learning_rate, share_of_rate: RATE, clip_norm: None };
    retraining.check(settings)?;
    let rules = PruningRules { criterion: score, masking: masks, one_shot: !gradual, keeps_zeros: false };
    if let Some(epochs) = epochs.filter(|epochs| *epochs < rules.fewest_epochs()) {
        let expected = "at least 2: this score is known after an epoch";
        return Err(SettingsError::value(settings.key("epochs"), epochs, expected));
    }
    Ok(Box::new(Sparse { zeros, rules, retraining }))
}

impl Recipe for Sparse {
    fn apply(&self, mut draft: Draft, workshop: &Workshop<'_>) -> Result<Draft, CompressionError> {
        draft.require_single_precision(workshop.recipe)?;
        let unfit = |problem: String| CompressionError::Unfit { recipe: workshop.recipe.to_owned(), problem };
        if self.epochs(workshop.training.epochs) < self.rules.fewest_epochs() {
            let problem = "this score needs a training of at least 2 epochs; state `epochs=2`";
            return Err(unfit(problem.to_owned()));
        }
        match self.zeros {
            Zeros::Equal(sparsity) => {
                draft.set_sparsity(sparsity);
                if !draft.is_sparse() {
                    return Err(unfit(format!(
                        "no layer has enough input channels for the pattern {sparsity}"
                    )));
                }
                draft.describe(&format!("zeros in weights: {sparsity}"));
            }
            Zeros::ByLayer { share, of_macs } => {
                let plan = by_layer(&draft, share, of_macs, workshop)?;
                for layer in &mut draft.model.architecture.layers {
                    if let Some(sparsity) = plan.get(&layer.name) {
                        layer.sparsity = *sparsity;
                    }
                }
                let of = if of_macs { "multiply-accumulates" } else { "weights" };
                let share = 100.0 * share;
                draft.describe(&format!("zeros in {share:.1} % of all {of}, fewer in sensitive layers"));
            }
        }
        self.retraining.run(workshop, draft, self.rules)
    }

    fn epochs(&self, epochs: u32) -> u32 {
        self.retraining.passes(epochs)
    }
}

/// Chooses the sparsity of each layer so that the zeros are this share of all weights, or of all
/// multiply-accumulates. Layers lose less where zeros in them alone raise the loss on the validation split
/// more.
fn by_layer(
    draft: &Draft,
    share: f64,
    of_macs: bool,
    workshop: &Workshop<'_>,
) -> Result<BTreeMap<String, Sparsity>, CompressionError> {
    let unfit = |error: &PruningError| CompressionError::Unfit {
        recipe: workshop.recipe.to_owned(),
        problem: error.to_string(),
    };
    let model = &draft.model;
    let loss = |model: &kiln_export::TrainedModel| {
        let frozen = Frozen::unrounded(model, workshop.device);
        let judged = inference::judge(&frozen, workshop.data, Split::Validation, workshop.device);
        judged.as_ref().map(Judgement::loss).ok_or(CompressionError::NotFinite { split: "validation" })
    };
    let sparsity = sparsity_of(share).map_err(|error| unfit(&error))?;
    let before = loss(model)?;
    let mut scores = LayerScores::new();
    let mut harms = BTreeMap::new();
    let live = model.architecture.live();
    let layers: Vec<&str> = model
        .architecture
        .layers
        .iter()
        .zip(live)
        .filter(|(layer, live)| *live && matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }))
        .map(|(layer, _)| layer.name.as_str())
        .collect();
    for (index, name) in layers.iter().enumerate() {
        workshop.check_stop()?;
        workshop.progress.report("sensitivity", index as u64, layers.len() as u64, name);
        let key = format!("{name}.weight");
        let Some(weight) = model.arrays.get(&key) else { continue };
        let score = magnitude(&weight.data);
        let mut without = model.clone();
        if let Some(array) = without.arrays.get_mut(&key) {
            Mask::new(sparsity, &array.shape, &score).apply(&mut array.data);
        }
        // A layer that seems to bear all zeros bears them only a little better than the most robust others.
        let harm = (loss(&without)? - before).max(LEAST_HARM);
        harms.insert((*name).to_owned(), harm);
        scores.insert((*name).to_owned(), score);
    }
    let cost = |architecture: &Architecture| left(architecture, of_macs);
    let goal = target(left(&model.architecture, of_macs), share).map_err(|error| unfit(&error))?;
    let shares: Vec<f64> = TWENTIETHS.map(|twentieths| f64::from(twentieths) / 20.0).collect();
    plan(&model.architecture, &scores, &harms, &shares, goal, cost).map_err(|error| match error {
        PruningError::Budget { target, reached, .. } => {
            let what = if of_macs { "MACs with a weight" } else { "weights" };
            CompressionError::Unreachable {
                recipe: workshop.recipe.to_owned(),
                target: format!("at most {target:.0} {what} that are not zero"),
                reached: format!("{reached:.0}"),
            }
        }
        error => unfit(&error),
    })
}

/// Smallest rise of the validation loss that counts, in nats.
const LEAST_HARM: f64 = 1e-3;

/// Returns how many weights of convolutions and fully connected layers, or multiply-accumulates with them,
/// are left without those that are zero by design.
fn left(architecture: &Architecture, of_macs: bool) -> f64 {
    let of_layer = |id: LayerId| {
        let (layer, counts) = (architecture.layer(id), architecture.layer_counts(id));
        let (Op::Conv2d { bias, .. } | Op::Linear { bias, .. }) = layer.op else { return 0.0 };
        let biases = if bias { layer.output.channels as u64 } else { 0 };
        let all = if of_macs { counts.macs } else { counts.parameters - biases };
        all as f64 * (1.0 - layer.sparsity.zeros())
    };
    architecture.ids().map(of_layer).sum()
}
