//! Zero-cost proxies: scores of a network that need no training. Each proxy is also an evaluator. Other
//! evaluators can also return a proxy score when a strategy requests
//! [`Fidelity::Proxy`](kiln_search::Fidelity::Proxy).

mod evaluator;
mod naswot;
mod synflow;

use std::collections::BTreeMap;

use burn::tensor::Device;
use kiln_search::Outcome;
use kiln_space::Architecture;
use serde::{Deserialize, Serialize};

pub(crate) use evaluator::{NASWOT, SYNFLOW};

use crate::evaluators::context::Context;
use crate::network::stand_alone::stand_alone;

/// The kinds of proxy scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proxy {
    /// Measures how differently the network's activations respond to different images.
    #[default]
    Naswot,
    /// Measures how much signal flows through all weights together.
    Synflow,
}

impl Proxy {
    /// Name of the score as a metric. The published scores are high for good networks. Metrics are minimized,
    /// so the metric is the negative score.
    pub(crate) const fn metric(self) -> &'static str {
        match self {
            Self::Naswot => "negative_naswot",
            Self::Synflow => "negative_log_synflow",
        }
    }

    /// Scores a network with new weights, which are drawn from the study's seed. Layers of the same name get
    /// the same weights in all networks, so scores differ only because architectures differ.
    pub(crate) fn outcome(self, architecture: &Architecture, context: &Context, device: &Device) -> Outcome {
        let (own, specs) = stand_alone(architecture);
        let score = match self {
            Self::Naswot => naswot::score(&own, &specs, &context.data, context.seed, device),
            Self::Synflow => synflow::score(&own, &specs, context.seed),
        };
        Outcome::from_metrics(BTreeMap::from([(self.metric().to_owned(), -score)]))
    }
}
