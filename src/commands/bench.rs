//! `kiln bench`: strategies on problems whose answers are known.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use kiln_search::StrategyRegistry;
use kiln_search::bench::{
    BenchError, CompareSettings, Comparison, Function, FunctionSettings, HardwareSettings, MacroSettings,
    NasBench201Settings, Paired, Problem, Protocol, Sample, StrategyChoice, compare, svg,
};

use crate::cli::{BenchCommand, CellsArguments, Common, Compared, FunctionName, ProtocolName};
use crate::exit::{Exit, Failure};
use crate::output;
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
        write_plot(file, &comparison)?;
    }
    if common.json {
        output::print_json(&comparison)?;
    } else {
        output::print(&text(&comparison))?;
    }
    Ok(Exit::Done)
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
    };
    (settings.problem(), asked.compared)
}

fn compared_on(problem: &Problem, compared: &Compared) -> Result<Comparison, BenchError> {
    let strategies = StrategyChoice::parse_list(&compared.strategy)?;
    let Compared { seeds, baseline, alpha, .. } = compared;
    let settings = CompareSettings { seeds: *seeds, baseline: baseline.clone(), alpha: *alpha };
    compare(problem, &StrategyRegistry::builtin(), &strategies, &settings)
}

fn write_plot(file: &Path, comparison: &Comparison) -> Result<(), Failure> {
    let written = std::fs::write(file, svg(comparison));
    Ok(written.with_context(|| format!("{}: cannot write the plot", file.display()))?)
}

fn text(comparison: &Comparison) -> String {
    let Comparison { problem, budget, unit, seeds, baseline, alpha, strategies } = comparison;
    let left = |heading: &'static str| (heading, Align::Left);
    let right = |heading: &'static str| (heading, Align::Right);
    let mut columns = vec![left("strategy"), right("reported %"), right("regret ± 95 %"), right("deviation")];
    columns.extend([right("hit"), right("mean regret ± 95 %"), right("found after"), right("trials")]);
    columns.push(right("ms a trial"));
    if baseline.is_some() {
        columns.extend([left("regret p"), left("mean regret p")]);
    }
    let mut table = TextTable::new(columns);
    for found in strategies {
        let with_interval =
            |sample: &Sample| format!("{} ± {}", short(sample.mean), short(sample.confidence_95));
        let report = found
            .report
            .map_or("-".to_owned(), |report| format!("{:.3} ± {:.3}", report.mean, report.deviation));
        let mut row = vec![found.strategy.clone(), report, with_interval(&found.regret)];
        row.extend([short(found.regret.deviation), format!("{:.3}", found.hit_rate)]);
        row.push(with_interval(&found.mean_regret));
        row.push(found.found_at.map_or("-".to_owned(), |sample| format!("{:.0}", sample.mean)));
        row.extend([format!("{:.0}", found.evaluations.mean), format!("{:.3}", found.ask_tell_ms)]);
        if baseline.is_some() {
            row.extend([verdict(found.regret_test, *alpha), verdict(found.mean_regret_test, *alpha)]);
        }
        table.row(row);
    }
    let mut text = format!("{problem}: budget {budget} {unit}, {seeds} seeds\n\n{table}");
    if let Some(baseline) = baseline {
        let _ = write!(
            text,
            "\np: one-sided Wilcoxon signed-rank test on the same seeds that the strategy is better than `{baseline}`; \
             * below {alpha}, ! worse at that level\n"
        );
    }
    text
}

fn verdict(test: Option<Paired>, alpha: f64) -> String {
    let Some(Paired { p_better, p_worse, .. }) = test else { return "-".to_owned() };
    let mark = match () {
        () if p_better < alpha => " *",
        () if p_worse < alpha => " !",
        () => "",
    };
    format!("{p_better:.1e}{mark}")
}

fn short(value: f64) -> String {
    format!("{value:.4}")
}
