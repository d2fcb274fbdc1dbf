//! `kiln check`: describes a study without training anything.

mod trial;

use std::fmt::Write;
use std::path::Path;

use kiln::assembly::{Assembly, Folders};
use kiln::config::RunConfig;
use kiln::estimate::Estimate;
use kiln::memory;
use kiln::survey::{self, Survey};
use kiln_export::plain_text;
use kiln_search::{Constraint, Fidelity};
use num_bigint::BigUint;
use serde_json::{Map, Value, json};

use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::report::PredictedFor;
use crate::text_table::{Align, TextTable};
use crate::{output, reading, units};

/// A size with more digits is also shown as a power of ten.
const DIGITS: usize = 9;

pub(crate) fn run(config: &Path, is_tried: bool, common: &Common) -> Result<Exit, Failure> {
    if is_tried {
        return trial::run(config, common);
    }
    let config = RunConfig::read(config, common.seed)?;
    let folders = Folders { data: common.data.as_deref(), runs: &common.runs };
    let assembly = reading::registries().build(config, folders)?;
    let notes = notes(&assembly);
    let seed = assembly.config.study.seed;
    let Assembly { space, costs, constraints, .. } = &assembly;
    let survey = Survey::new(space.as_ref(), costs, constraints, seed);
    if survey.feasible == 0 {
        survey::find_feasible(space.as_ref(), costs, constraints, seed)?;
    }
    let estimate = Estimate::new(&assembly, &survey, common.workers());
    if common.json {
        let mut checked = as_json(&survey, constraints, estimate.as_ref());
        checked["notes"] = json!(notes);
        checked["fidelities"] = json!(assembly.strategy.fidelities(assembly.evaluator.fidelities()));
        output::print_json(&checked)?;
    } else {
        output::print(&as_text(&assembly, &notes, &survey, estimate.as_ref()))?;
    }
    Ok(Exit::Done)
}

/// Collects notes about unusual properties of the study's data.
fn notes(assembly: &Assembly) -> Vec<String> {
    let Some(data) = &assembly.data else { return Vec::new() };
    data.notes().iter().cloned().chain(data.findings()).collect()
}

fn as_text(assembly: &Assembly, notes: &[String], survey: &Survey, estimate: Option<&Estimate>) -> String {
    let mut lines = Vec::new();
    if let Some(data) = &assembly.data {
        lines.push(format!("data         {}", data.describe()));
    }
    lines.extend(notes.iter().map(|note| format!("note         {note}")));
    lines.push(format!(
        "space        {}: {} decisions, {} genotypes",
        assembly.config.space.kind,
        survey.decisions,
        size(&survey.genotypes)
    ));
    let limits: Vec<String> = assembly
        .constraints
        .iter()
        .map(|Constraint { cost, max }| {
            let (heading, value) = units::shown(cost, *max);
            format!("{heading} <= {value}")
        })
        .collect();
    for device in PredictedFor::all(&assembly.costs) {
        lines.push(format!("costs        {device}"));
    }
    let limits = if limits.is_empty() { "none".to_owned() } else { limits.join(", ") };
    lines.push(format!("constraints  {limits}"));
    lines.push(format!("feasible     {:.1} % of {} samples", survey.feasible_percent(), survey.samples));
    if let Some(error) = &survey.without_costs {
        lines.push(format!("cost unknown, so refused: {error}"));
    }
    lines.extend(effort(assembly).map(|effort| format!("effort       {effort}")));
    lines.push(format!("ends after   {}", ends(assembly, survey)));
    match estimate {
        Some(estimate) => {
            let [prepare, search, finish, total] =
                [estimate.prepare, estimate.search, estimate.finish, estimate.total()]
                    .map(|time| units::duration(time.duration()));
            lines.push(format!(
                "time         about {total}: prepare {prepare}, search {search}, finish {finish} (from one \
                 timed forward pass; may be half or double)"
            ));
            let more =
                too_much(estimate.memory_bytes).map_or_else(String::new, |problem| format!(": {problem}"));
            lines.push(format!("memory       about {}{more}", units::bytes(estimate.memory_bytes as f64)));
        }
        None if assembly.evaluator.fidelities().full_epochs > 0 => {
            let kind = &assembly.config.evaluator.kind;
            lines.push(format!(
                "time         not known: the evaluator `{kind}` does not say what it computes"
            ));
            lines.push("trial        not run; `kiln check CONFIG --try` runs one".to_owned());
        }
        None => lines.push("time         nothing is trained".to_owned()),
    }
    let columns = ["cost", "smallest", "median", "largest"];
    let aligned =
        columns.iter().enumerate().map(|(i, name)| (*name, if i == 0 { Align::Left } else { Align::Right }));
    let mut table = TextTable::new(aligned);
    for (name, spread) in &survey.costs {
        let shown = |value| units::shown(name, value);
        let values = [spread.smallest, spread.median, spread.largest].map(|value| shown(value).1);
        table.row(std::iter::once(shown(0.0).0).chain(values));
    }
    let mut text = plain_text(&lines.remove(0)).into_owned();
    for line in &lines {
        write!(text, "\n{}", plain_text(line)).expect("writing to a string does not fail");
    }
    write!(text, "\n\n{table}").expect("writing to a string does not fail");
    text
}

/// Describes the rungs of a study with several fidelities, and the first trial with full effort.
fn effort(assembly: &Assembly) -> Option<String> {
    let answered = assembly.evaluator.fidelities();
    let rungs = assembly.strategy.fidelities(answered);
    let needs = assembly.strategy.needs(answered, assembly.config.search.in_flight)?;
    let said: Vec<String> = rungs
        .iter()
        .map(|fidelity| match fidelity {
            Fidelity::Full if answered.full_epochs > 0 => format!("full ({} epochs)", answered.full_epochs),
            fidelity => fidelity.to_string(),
        })
        .collect();
    let trials = needs.trials;
    (rungs.len() > 1).then(|| {
        format!("{}; the first network is judged with full effort after {trials} trials", said.join(", "))
    })
}

/// Describes which condition ends the search.
fn ends(assembly: &Assembly, survey: &Survey) -> String {
    let search = &assembly.config.search;
    let genotypes = &survey.genotypes;
    let trials = search.trials.map(|trials| {
        if BigUint::from(trials) > *genotypes {
            format!("{trials} trials, or when the space is exhausted: it has {genotypes} networks")
        } else {
            format!("{trials} trials")
        }
    });
    let epochs = search.epochs.map(|epochs| format!("{epochs} epochs of training"));
    let hours = search.hours.map(|hours| format!("{hours} h of work"));
    let target = search.target.iter().map(|(name, most)| {
        let (heading, value) = units::shown(name, *most);
        format!("a network with {heading} {value}")
    });
    let ends: Vec<String> = trials.into_iter().chain(epochs).chain(hours).chain(target).collect();
    if ends.is_empty() {
        format!("at most all {genotypes} networks of the space")
    } else {
        ends.join(", or ")
    }
}

/// Returns a warning with advice if the study needs more memory than this process may use.
pub(super) fn too_much(bytes: u64) -> Option<String> {
    let available = memory::available_bytes().filter(|available| bytes > *available)?;
    let available = units::bytes(available as f64);
    Some(format!(
        "more than the {available} that this process may use; narrow the widths of the space, or lower \
         `batch` or `--workers`"
    ))
}

/// Formats a size with all digits. A long size is also shown as a power of ten.
fn size(genotypes: &BigUint) -> String {
    let digits = genotypes.to_string();
    if digits.len() <= DIGITS {
        return digits;
    }
    format!("{}.{}e{} ({digits})", &digits[..1], &digits[1..3], digits.len() - 1)
}

fn as_json(survey: &Survey, constraints: &[Constraint], estimate: Option<&Estimate>) -> Value {
    let costs: Map<String, Value> = survey
        .costs
        .iter()
        .map(|(name, spread)| {
            let spread =
                json!({ "smallest": spread.smallest, "median": spread.median, "largest": spread.largest });
            (name.clone(), spread)
        })
        .collect();
    let estimate = estimate.map(|estimate| {
        json!({
            "prepare_s": estimate.prepare, "search_s": estimate.search,
            "finish_s": estimate.finish, "memory_bytes": estimate.memory_bytes,
            "available_bytes": memory::available_bytes(),
        })
    });
    json!({
        "decisions": survey.decisions, "genotypes": survey.genotypes.to_string(), "constraints": constraints,
        "samples": survey.samples, "feasible": survey.feasible, "costs": costs, "estimate": estimate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_size_is_also_shown_as_power_of_ten() {
        assert_eq!(size(&BigUint::from(15_625_u32)), "15625");
        assert_eq!(size(&BigUint::from(12_345_678_901_u64)), "1.23e10 (12345678901)");
    }
}
