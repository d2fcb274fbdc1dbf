//! Checks whether genotypes to try first fit the space and the limits of a study.

use kiln_space::{Genotype, Settings, SettingsError, SpaceError, variation};
use thiserror::Error;

use super::candidate::{Candidate, Source};
use crate::domain::{CostError, Domain};

/// Returns the canonical form of a genotype. Returns `None` if the genotype is not in the space.
pub(super) fn canonical(domain: &Domain<'_>, genotype: &Genotype) -> Option<Genotype> {
    let decisions = domain.space().decisions();
    variation::check(decisions, genotype).ok()?;
    Some(domain.space().canonical(&variation::normalize(decisions, genotype.genes())))
}

/// The reason why a genotype cannot be tried.
#[derive(Debug, Error)]
enum Unfit {
    /// The genotype is not in the space.
    #[error(transparent)]
    Stranger(SpaceError),
    /// The genotype's costs cannot be computed.
    #[error(transparent)]
    Costs(CostError),
    /// The genotype exceeds these limits.
    #[error("{}", listed(.0))]
    Limits(Vec<Exceeded>),
}

/// A limit that a genotype exceeds.
#[derive(Debug, Error)]
#[error("`{cost}` is {value}, the limit {max}")]
struct Exceeded {
    cost: String,
    value: f64,
    max: f64,
}

fn listed(limits: &[Exceeded]) -> String {
    limits.iter().map(Exceeded::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the reason why a genotype is not in the space. Returns `None` if it is in the space.
pub(super) fn stranger(domain: &Domain<'_>, genotype: &Genotype) -> Option<SpaceError> {
    variation::check(domain.space().decisions(), genotype).err()
}

/// Returns the limits that a genotype of the space exceeds, or the error if its costs cannot be computed.
fn beyond(domain: &Domain<'_>, genotype: &Genotype) -> Option<Unfit> {
    let genotype = canonical(domain, genotype)?;
    if domain.violation(&genotype).is_some_and(|violation| violation <= 0.0) {
        return None;
    }
    let costs = match domain.costs(&genotype) {
        Ok(costs) => costs,
        Err(error) => return Some(Unfit::Costs(error)),
    };
    let broken = domain.constraints().iter().filter_map(|limit| {
        let value = *costs.0.get(&limit.cost)?;
        (value > limit.max).then(|| Exceeded { cost: limit.cost.clone(), value, max: limit.max })
    });
    Some(Unfit::Limits(broken.collect()))
}

/// Refuses genotypes that are not in the space, and genotypes in `start` that exceed a limit. Also refuses an
/// earlier study if each of its genotypes exceeds a limit.
pub(super) fn check<'a>(
    candidates: impl IntoIterator<Item = &'a Candidate>,
    domain: &Domain<'_>,
    settings: &Settings,
) -> Result<(), SettingsError> {
    let refuse = |key: &str, problem: String| Err(SettingsError::rule(settings.key(key), problem));
    let (mut transferred, mut refused) = (false, None);
    for Candidate { genotype, source } in candidates {
        let stranger = stranger(domain, genotype);
        match source {
            Source::Given(index) => {
                if let Some(problem) = stranger.map(Unfit::Stranger).or_else(|| beyond(domain, genotype)) {
                    return refuse(
                        &format!("start.{index}"),
                        format!("`{genotype}` cannot be tried: {problem}"),
                    );
                }
            }
            Source::Trial(id) => {
                if let Some(problem) = stranger {
                    let problem = format!(
                        "trial {id} is `{genotype}`, which is not of this space: {problem}; name a study of \
                         the same space"
                    );
                    return refuse("transfer.journal", problem);
                }
                if !transferred {
                    let problem = beyond(domain, genotype);
                    transferred = problem.is_none();
                    refused = refused.or_else(|| problem.map(|problem| (*id, problem)));
                }
            }
            Source::Proxies => {}
        }
    }
    match refused {
        Some((id, problem)) if !transferred => refuse(
            "transfer.journal",
            format!("no trial of it meets the limits of this study; its best is trial {id}: {problem}"),
        ),
        _ => Ok(()),
    }
}
