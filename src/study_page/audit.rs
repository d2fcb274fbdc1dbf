//! Shows the last `kiln supernet audit` of a study, as a table and plots.

use kiln::audit::{Audit, AuditFailure, AuditedNetwork, Predictor};
use kiln_export::page::{Axis, Cell, Ink, Line, Part, Plot, Point, Section, Series, Shape, Table};

use super::names::{displayed, heading, subject, with_unit};
use crate::{failures, units};

/// Returns the display name of a predictor.
fn called(name: &str) -> String {
    match name.split_once(' ') {
        Some(("supernet", metric)) => format!("supernet's {}", subject(metric)),
        Some(("uncorrected", metric)) => format!("shared weights' {}, not corrected", subject(metric)),
        Some(("corrected", _)) => "parameters, corrected as the supernet is".to_owned(),
        _ if name == "macs" => "MACs".to_owned(),
        _ => name.strip_prefix("negative_").unwrap_or(name).to_owned(),
    }
}

/// Makes the section of an audit.
pub(super) fn section(audit: &Audit) -> Section {
    let measured = measured(audit).count();
    let repeats = audit.networks.iter().map(|network| network.trained.len()).max().unwrap_or(0);
    let text = format!(
        "{measured} random architectures were trained on their own, and the results were compared with the \
         supernet's estimates. A tau of 1 means the same order, and 0 means no relation. A supernet that \
         ranks \
         networks no better than their number of parameters does not help the search.{}",
        if repeats > 1 {
            " Each was trained several times, and the mean counts. The repeated training shows how much of \
             the \
             order is chance."
        } else {
            ""
        }
    );
    let mut parts = vec![
        Part::Text(text),
        Part::Plots(vec![estimates(audit), parameters(audit)]),
        Part::Table(predictors(&audit.predictors)),
    ];
    parts.extend(failed(audit).map(Part::Table));
    Section { title: "How well the supernet ranks".to_owned(), parts }
}

fn predictors(predictors: &[Predictor]) -> Table {
    let row = |predictor: &Predictor| {
        let [tau, interval] = match predictor.correlation {
            Some(found) => [format!("{:.3}", found.tau), format!("{:.3} to {:.3}", found.low, found.high)],
            None => ["none".to_owned(), String::new()],
        };
        vec![Cell::Text(called(&predictor.name)), Cell::Number(tau), Cell::Number(interval)]
    };
    Table {
        caption: "Order by each number against order by training".to_owned(),
        headings: ["by", "Kendall's tau", "95 % interval"].map(str::to_owned).to_vec(),
        rows: predictors.iter().map(row).collect(),
    }
}

/// Lists the failed networks with their reasons. Returns `None` if none failed.
fn failed(audit: &Audit) -> Option<Table> {
    let row = |network: &AuditedNetwork| {
        let AuditFailure { what, kind, reason } = network.failure()?;
        let said = format!("{what} {}", failures::said(kind));
        Some(vec![Cell::Text(network.genotype.to_string()), Cell::Text(said), Cell::Text(reason.to_owned())])
    };
    let rows: Vec<Vec<Cell>> = audit.networks.iter().filter_map(row).collect();
    (!rows.is_empty()).then(|| Table {
        caption: format!("{} of {} networks failed", rows.len(), audit.networks.len()),
        headings: ["network", "what failed", "why"].map(str::to_owned).to_vec(),
        rows,
    })
}

/// Returns the networks, each with the mean of the metric over its trainings.
fn measured(audit: &Audit) -> impl Iterator<Item = (&AuditedNetwork, f64)> {
    audit.networks.iter().filter_map(|network| Some((network, network.trained(&audit.metric)?)))
}

/// Plots the estimates against the training results. Estimates and results usually have different scales, so
/// the plot shows no diagonal.
fn estimates(audit: &Audit) -> Plot {
    let metric = audit.metric.as_str();
    let point = |(network, trained): (&AuditedNetwork, f64)| {
        let estimated = network.estimated.measurement().and_then(|found| found.get(metric))?;
        let note = format!(
            "{}: {} trained, {} estimated",
            network.genotype,
            with_unit(metric, trained),
            with_unit(metric, estimated)
        );
        Some(Point { x: displayed(metric, estimated), y: displayed(metric, trained), note })
    };
    let points: Vec<Point> = measured(audit).filter_map(point).collect();
    let label = |what: &str| format!("{} {what}", heading(metric));
    Plot {
        title: "Estimate against training".to_owned(),
        description: "The supernet's estimate of each network against the result of training it on its own. \
                      Only the order matters: points should rise from left to right."
            .to_owned(),
        x: Axis { label: label("estimated by the supernet"), may_be_logarithmic: false },
        y: Axis { label: label("trained on its own"), may_be_logarithmic: false },
        series: vec![networks(points)],
        limits: Vec::new(),
    }
}

/// Plots the number of parameters against the training results. The number of parameters is the simplest
/// alternative to a supernet's estimate.
fn parameters(audit: &Audit) -> Plot {
    let metric = audit.metric.as_str();
    let point = |(network, trained): (&AuditedNetwork, f64)| {
        let parameters = network.parameters as f64;
        let note = format!(
            "{}: {} parameters, {} trained",
            network.genotype,
            units::count(parameters),
            with_unit(metric, trained)
        );
        Point { x: parameters, y: displayed(metric, trained), note }
    };
    Plot {
        title: "Parameters against training".to_owned(),
        description: "The same networks by their number of parameters, which is known without training."
            .to_owned(),
        x: Axis { label: "parameters".to_owned(), may_be_logarithmic: true },
        y: Axis { label: format!("{} trained on its own", heading(metric)), may_be_logarithmic: false },
        series: vec![networks(measured(audit).map(point).collect())],
        limits: Vec::new(),
    }
}

fn networks(points: Vec<Point>) -> Series {
    Series {
        name: "networks".to_owned(),
        ink: Ink::Blue,
        shape: Some(Shape::Circle),
        line: Line::None,
        points,
    }
}
