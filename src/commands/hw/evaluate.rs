//! `kiln hw evaluate`: judges the fitted model on a table of measured networks.

use std::path::Path;

use kiln_hw_models::{
    Device, Evaluation, EvaluationRow, EvaluationTable, OwnPredictor, Roofline, Summary, Transfer,
};

use crate::cli::{Common, EvaluateArguments, Samples};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::text_table::{Align, TextTable};

/// The device whose formats and memories features are counted for. Its latencies are one feature of many.
const REFERENCE: &str = "cortex-a72";

pub(super) fn run(arguments: &EvaluateArguments, common: &Common) -> Result<Exit, Failure> {
    let space = super::named_space(&arguments.space, common)?;
    let device = Device::builtin(REFERENCE).map_err(Failure::wrong)?;
    let roofline = Roofline::new(device, 1, 1);
    let read = |path: &Path| {
        let file = arguments.columns.file(path, &arguments.target);
        EvaluationTable::read(&file, &arguments.known, space.as_ref(), &roofline).map_err(Failure::wrong)
    };
    let (table, judged) = (read(&arguments.table)?, arguments.test_table.as_deref().map(read).transpose()?);
    let (table, judged) = transferred(arguments, table, judged)?;
    let evaluation = Evaluation {
        train: arguments.train.clone(),
        draws: usize::from(arguments.draws),
        seed: common.seed.unwrap_or(0),
        chosen: arguments.samples == Samples::Chosen,
        pool: arguments.pool,
        test: arguments.test,
        trim: arguments.trim,
    };
    let rows = match &judged {
        Some(judged) => evaluation.run_on(&table, judged),
        None => evaluation.run(&table),
    };
    let rows = rows.map_err(Failure::wrong)?;
    if common.json {
        output::print_json(&rows)?;
    } else {
        let (networks, not_measured) = (table.len(), table.not_measured());
        let shipped = table.transfer().names();
        let shipped = if shipped.is_empty() { "none".to_owned() } else { shipped.join(", ") };
        output::print(&format!(
            "{networks} networks measured, {not_measured} not; mean and tenth percentile of {} \
             draws\nshipped predictors as known devices: {shipped}\n\n{}",
            arguments.draws,
            shown(&rows)
        ))?;
    }
    Ok(Exit::Done)
}

/// The tables with shipped predictors as known devices, the same in both.
fn transferred(
    arguments: &EvaluateArguments,
    table: EvaluationTable,
    judged: Option<EvaluationTable>,
) -> Result<(EvaluationTable, Option<EvaluationTable>), Failure> {
    let transfer = match arguments.transfer.as_slice() {
        [] if arguments.known.is_empty() => Transfer::all(),
        [] => Ok(Transfer::none()),
        names => Transfer::named(names),
    };
    let transfer = transfer.map_err(Failure::wrong)?;
    let table = table.with_transfer(&transfer, OwnPredictor::LeftOut);
    let Some(judged) = judged else { return Ok((table, None)) };
    let both = judged.with_transfer(table.transfer(), OwnPredictor::Kept);
    // Networks of the second table may be unlike those that the predictors know.
    let table = if both.transfer() == table.transfer() {
        table
    } else {
        table.with_transfer(&Transfer::none(), OwnPredictor::Kept)
    };
    Ok((table, Some(both)))
}

fn shown(rows: &[EvaluationRow]) -> TextTable {
    let columns =
        ["model", "fitted to", "Spearman", "10th", "Kendall", "in 5 %", "in 10 %", "in interval", "width"];
    let aligned = columns.iter().enumerate();
    let mut table =
        TextTable::new(aligned.map(|(i, name)| (*name, if i == 0 { Align::Left } else { Align::Right })));
    let percent = |share: &Summary| format!("{:.1} %", 100.0 * share.mean);
    let or_dash = |share: &Option<Summary>| share.as_ref().map_or_else(|| "-".to_owned(), percent);
    for row in rows {
        table.row([
            row.model.to_owned(),
            row.train.to_string(),
            format!("{:.3}", row.spearman.mean),
            format!("{:.3}", row.spearman.p10),
            format!("{:.3}", row.kendall.mean),
            percent(&row.within_5_percent),
            percent(&row.within_10_percent),
            or_dash(&row.coverage_90),
            or_dash(&row.width_90),
        ]);
    }
    table
}
