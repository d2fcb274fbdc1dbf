//! Checks that strategy, evaluator and budget fit together. The evaluator must support the strategy's
//! fidelities, and the budget must be large enough for these fidelities.

use kiln_search::{Fidelities, Fidelity, Strategy};
use kiln_space::SettingsProblem;

use crate::config::{ConfigError, RunConfig};

/// Refuses a strategy if the evaluator does not support one of the strategy's fidelities.
pub(super) fn check_fidelities(
    config: &RunConfig,
    strategy: &dyn Strategy,
    answered: Fidelities,
) -> Result<(), ConfigError> {
    let asked = strategy.fidelities(answered);
    let Some(refused) = asked.iter().copied().find(|fidelity| !answered.answers(*fidelity)) else {
        return Ok(());
    };
    let (kind, evaluator) = (&config.search.strategy.kind, &config.evaluator.kind);
    let settings = config.search.strategy.settings.table();
    let table = if settings.is_empty() { "search.strategy" } else { "search.strategy.kind" };
    let (key, found, expected) = match refused {
        Fidelity::Proxy => (
            "search.strategy.proxies",
            format!("the evaluator `{evaluator}`, which answers {answered}"),
            "an evaluator that answers zero-cost proxies, such as `supernet` or `scratch`, or no `proxies`"
                .to_owned(),
        ),
        Fidelity::Epochs(_) | Fidelity::Full => {
            let stated = settings.get("epochs");
            let found = stated
                .map_or_else(|| format!("`{kind}`, which asks for {}", list(&asked)), ToString::to_string);
            let key = if stated.is_some() { "search.strategy.epochs" } else { table };
            (key, found, instead(kind, evaluator, answered))
        }
    };
    Err(refusal(config, key, &found, &expected))
}

/// Describes what a strategy with several rungs requires from the evaluator, and what the user can choose
/// instead.
fn instead(kind: &str, evaluator: &str, answered: Fidelities) -> String {
    match answered.full_epochs {
        epochs @ 2.. if answered.shorter => format!(
            "epochs below {epochs}: the evaluator `{evaluator}` trains for {epochs} epochs, which are the \
             highest rung"
        ),
        1 if answered.shorter => format!(
            "a longer schedule: the evaluator `{evaluator}` trains for 1 epoch, and none is shorter; raise \
             `evaluator.epochs`, or choose a strategy without rungs, such as `regularized_evolution`"
        ),
        _ => format!(
            "a strategy without rungs of epochs, such as `regularized_evolution`: the evaluator \
             `{evaluator}` answers {answered}, the same at every rung; `{kind}` needs one that trains each \
             network, such as `scratch`"
        ),
    }
}

/// Refuses a budget that ends before any network is evaluated at full fidelity. Also refuses a budget in
/// epochs for an evaluator that does not train each network.
pub(super) fn check_budget(
    config: &RunConfig,
    strategy: &dyn Strategy,
    answered: Fidelities,
) -> Result<(), ConfigError> {
    let search = &config.search;
    let kind = &search.strategy.kind;
    if search.epochs.is_some() && answered.full_epochs == 0 {
        let evaluator = &config.evaluator.kind;
        let expected = format!(
            "no such budget: the trials of the evaluator `{evaluator}` train nothing; set `trials` or `hours`"
        );
        return Err(refusal(config, "search.epochs", "a budget in epochs", &expected));
    }
    let Some(needs) = strategy.needs(answered, search.in_flight) else {
        let expected = "fewer rungs or a smaller `reduction`: no network reaches the highest rung";
        let found = format!("`{kind}` over {}", list(&strategy.fidelities(answered)));
        return Err(refusal(config, "search.strategy", &found, expected));
    };
    let rungs = strategy.fidelities(answered);
    let budgets =
        [("search.trials", search.trials, needs.trials), ("search.epochs", search.epochs, needs.epochs)];
    for (key, budget, needed) in budgets {
        if let Some(found) = budget.filter(|budget| *budget < needed) {
            let mut expected = format!(
                "at least {needed}, so that `{kind}` judges one network with full effort (fidelities: \
                 {}; {} trials in flight)",
                list(&rungs),
                search.in_flight
            );
            if rungs.len() > 1 && search.in_flight > 1 {
                expected += "; raise it, or lower `in_flight`";
            }
            return Err(refusal(config, key, &found.to_string(), &expected));
        }
    }
    Ok(())
}

/// In these errors, backticks mark explanations, not alternative spellings. The error therefore suggests no
/// nearest name.
fn refusal(config: &RunConfig, key: &str, found: &str, expected: &str) -> ConfigError {
    let problem = SettingsProblem::Value { found: found.to_owned(), expected: expected.to_owned() };
    ConfigError::Value { place: config.document.place(key), problem: Box::new(problem), nearest: None }
}

/// Formats a list of fidelities as text.
fn list(fidelities: &[Fidelity]) -> String {
    let said: Vec<String> = fidelities.iter().map(ToString::to_string).collect();
    said.join(", ")
}
