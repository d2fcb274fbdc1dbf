//! `kiln bench`: compares strategies on problems with known results.

use std::fmt::Write;

use kiln::assembly::Registries;
use kiln_files::Overwrite;
use kiln_search::bench::{
    BenchError, CompareSettings, Comparison, EqualCells, Function, FunctionSettings, HardwareSettings,
    Journaled, MacroSettings, NasBench201Settings, Paired, Problem, Protocol, ProxySettings, RunSettings,
    Sample, StrategyChoice, StrategyResult, compare, is_svg, svg,
};

use crate::cli::{
    BenchCommand, CellsArguments, Common, Compared, EqualCellsName, FunctionName, ProtocolName,
    StudyArguments,
};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::output_file;
use crate::run::Run;
use crate::text_table::{Align, TextTable};

pub(crate) fn run(command: BenchCommand, common: &Common) -> Result<Exit, Failure> {
    let (problem, compared) = match command {
        BenchCommand::Nasbench201(arguments) => cells(arguments),
        BenchCommand::Macro(asked) => {
            let settings = MacroSettings { file: asked.table, signal: asked.signal, budget: asked.budget };
            (settings.problem(), asked.compared)
        }
        BenchCommand::Hardware(asked) => {
            let settings = HardwareSettings {
                file: asked.table,
                costs: asked.costs,
                device: asked.device,
                signal: asked.signal,
                budget: asked.budget,
            };
            (settings.problem(), asked.compared)
        }
        BenchCommand::Study(asked) => (study(&asked, common)?, asked.compared),
        BenchCommand::Functions(asked) => {
            let function = match asked.function {
                FunctionName::Separable => Function::Separable,
                FunctionName::Chained => Function::Chained,
                FunctionName::Trap => Function::Trap,
                FunctionName::LeadingTrailing => Function::LeadingTrailing,
            };
            let (decisions, options) = (asked.decisions, asked.options);
            let settings = FunctionSettings { function, decisions, options, evaluations: asked.budget };
            (settings.problem(), asked.compared)
        }
    };
    let comparison = compared_on(&problem.map_err(Failure::wrong)?, &compared).map_err(Failure::wrong)?;
    if let Some(file) = &compared.plot {
        let overwrite = if compared.force { Overwrite::Always } else { Overwrite::Own(&is_svg) };
        output_file::write(file, svg(&comparison).as_bytes(), overwrite)?;
    }
    if common.json {
        output::print_json(&comparison)?;
    } else {
        output::print(&text(&comparison))?;
    }
    Ok(Exit::Done)
}

fn study(asked: &StudyArguments, common: &Common) -> Result<Result<Problem, BenchError>, Failure> {
    let run = Run::read(&asked.run, &common.runs)?;
    let registries = Registries::builtin();
    let space = registries.space(&run.config, None)?;
    let (costs, constraints) = registries.costs(&run.config)?;
    let studied = Journaled {
        name: run.config.study.name.clone(),
        space,
        costs,
        constraints,
        objectives: run.config.search.objectives.clone(),
        trials: &run.trials,
        budget: asked.budget,
    };
    Ok(studied.problem())
}

fn cells(asked: CellsArguments) -> (Result<Problem, BenchError>, Compared) {
    let protocol = match (asked.protocol, asked.cost) {
        (ProtocolName::Time, Some(cost)) => Protocol::Time { cost, factor: asked.cost_factor },
        _ => Protocol::Queries,
    };
    let settings = NasBench201Settings {
        file: asked.table,
        signal: asked.signal,
        report: asked.report,
        protocol,
        budget: asked.budget,
        fidelities: asked.fidelity,
        full_epochs: asked.full_epochs,
        equal_cells: match asked.equal_cells {
            EqualCellsName::Apart => EqualCells::Apart,
            EqualCellsName::Alike => EqualCells::Alike,
            EqualCellsName::Merged => EqualCells::Merged,
        },
    };
    let scores = asked.proxies.map(|scores| ProxySettings {
        scores,
        columns: asked.proxy,
        cells: settings.file.clone(),
    });
    let problem = settings.problem().and_then(|problem| match scores {
        Some(scores) => scores.add_to(problem),
        None => Ok(problem),
    });
    (problem, asked.compared)
}

fn compared_on(problem: &Problem, compared: &Compared) -> Result<Comparison, BenchError> {
    let strategies = StrategyChoice::parse_list(&compared.strategy)?;
    let baselines = compared.baseline.as_deref().map(StrategyChoice::parse_list).transpose()?;
    let settings = CompareSettings {
        seeds: compared.seeds,
        baselines: baselines.into_iter().flatten().map(|baseline| baseline.label).collect(),
        alpha: compared.alpha,
        runs: RunSettings {
            until_found: compared.until_found,
            denoise: compared.denoise,
            in_flight: compared.in_flight.get(),
        },
    };
    compare(problem, &Registries::builtin().strategies, &strategies, &settings)
}

fn text(comparison: &Comparison) -> String {
    let Comparison { problem, budget, unit, seeds, baselines, alpha, strategies } = comparison;
    let left = |heading: &'static str| (heading, Align::Left);
    let right = |heading: &'static str| (heading, Align::Right);
    let denoised = strategies.iter().any(|found| found.denoised.is_some());
    let mut columns = vec![left("strategy"), right("reported %")];
    if denoised {
        columns.extend([right("denoised %"), left("p")]);
    }
    columns.extend([right("regret ± 95 %"), right("deviation"), right("hit"), right("mean regret ± 95 %")]);
    columns.extend([right("found after ± 95 %"), right("trials"), right("ms a trial")]);
    let mut table = TextTable::new(columns);
    for found in strategies {
        let deviating = |sample: &Sample| format!("{:.3} ± {:.3}", sample.mean, sample.deviation);
        let mut row = vec![found.strategy.clone(), found.report.as_ref().map_or("-".to_owned(), deviating)];
        if denoised {
            let found = found.denoised.as_ref();
            row.push(found.map_or("-".to_owned(), |found| deviating(&found.report)));
            row.push(found.map_or("-".to_owned(), |found| verdict(found.against_signal, *alpha)));
        }
        row.extend([interval(&found.regret, 4), format!("{:.4}", found.regret.deviation)]);
        row.extend([format!("{:.3}", found.hit_rate), interval(&found.mean_regret, 4)]);
        row.push(found.found_at.map_or("-".to_owned(), |sample| interval(&sample, 1)));
        row.extend([format!("{:.0}", found.evaluations.mean), format!("{:.3}", found.ask_tell_ms)]);
        table.row(row);
    }
    let mut text = format!("{problem}: budget {budget} {unit}, {seeds} seeds\n\n{table}");
    let _ = write!(text, "\n{}", few_evaluations(strategies));
    if denoised {
        text += "\ndenoised: regret of the architecture that a Gaussian process over the trials ranks \
                 first; p: for being better than the best by the signal\n";
    }
    if !baselines.is_empty() {
        let _ = write!(text, "\n{}", tests(comparison));
    }
    if denoised || !baselines.is_empty() {
        let _ = writeln!(
            text,
            "\np: one-sided Wilcoxon signed-rank test on the same seeds, for being better; * below {alpha}, \
             ! worse at that level"
        );
    }
    text
}

/// Tabulates the results of strategies after few evaluations, and the number of evaluations until each
/// strategy finds the optimum.
fn few_evaluations(strategies: &[StrategyResult]) -> TextTable {
    let mut milestones: Vec<u64> = strategies
        .iter()
        .flat_map(|found| found.regret_after.iter().map(|milestone| milestone.evaluations))
        .collect();
    milestones.sort_unstable();
    milestones.dedup();
    let titles: Vec<String> = milestones.iter().map(|after| format!("regret after {after} ± 95 %")).collect();
    let mut columns = vec![("strategy", Align::Left), ("evaluations to optimum ± 95 %", Align::Right)];
    columns.extend(titles.iter().map(|title| (title.as_str(), Align::Right)));
    let mut table = TextTable::new(columns);
    for found in strategies {
        let to_optimum = found.evaluations_to_optimum;
        let mut row = vec![found.strategy.clone()];
        row.push(to_optimum.map_or("-".to_owned(), |sample| interval(&sample, 1)));
        row.extend(milestones.iter().map(|after| {
            let milestone = found.regret_after.iter().find(|milestone| milestone.evaluations == *after);
            milestone.map_or("-".to_owned(), |milestone| interval(&milestone.regret, 4))
        }));
        table.row(row);
    }
    table
}

/// Formats the paired tests as a table.
fn tests(comparison: &Comparison) -> TextTable {
    let headings = ["strategy", "against", "regret p", "mean regret p", "found after p"];
    let mut table = TextTable::new(headings.map(|heading| (heading, Align::Left)).to_vec());
    for found in &comparison.strategies {
        for against in &found.against {
            let p = [against.regret, against.mean_regret, against.found_at];
            let mut row = vec![found.strategy.clone(), against.baseline.clone()];
            row.extend(p.map(|test| verdict(test, comparison.alpha)));
            table.row(row);
        }
    }
    table
}

fn interval(sample: &Sample, decimals: usize) -> String {
    format!("{:.decimals$} ± {:.decimals$}", sample.mean, sample.confidence_95)
}

fn verdict(Paired { p_better, p_worse, .. }: Paired, alpha: f64) -> String {
    let mark = match () {
        () if p_better < alpha => " *",
        () if p_worse < alpha => " !",
        () => "",
    };
    format!("{p_better:.1e}{mark}")
}
