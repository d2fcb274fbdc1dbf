//! The trivial models that every fitted model is compared with.

use kiln_regression::{dot, ridge, squared_distance};

use super::{EvaluationTable, Prediction};
use crate::fitted::{Row, features};

/// Weight of the squared coefficients of each ridge.
const PENALTY: f64 = 0.1;

/// Predictions of the networks `judged` by each baseline, fitted to the networks `drawn`.
pub(super) fn predictions(
    table: &EvaluationTable,
    rows: &[Row],
    drawn: &[usize],
    judged: &[usize],
) -> Vec<(&'static str, Vec<Prediction>)> {
    let counts = features::operation_counts();
    let macs = |row: usize| vec![table.features(row)[features::MACS]];
    let operations = |row: usize| counts.iter().map(|feature| table.features(row)[*feature]).collect();
    let mut found = vec![
        ("macs", fitted(table, drawn, judged, &macs)),
        ("ridge_operations", fitted(table, drawn, judged, &operations)),
    ];
    if table.known() > 0 {
        let logs = |row: usize| table.known_us(row).iter().map(|latency| latency.ln()).collect();
        found.push(("ridge_known", fitted(table, drawn, judged, &logs)));
    }
    found.push(("nearest", nearest(table, rows, drawn, judged)));
    found
}

/// A ridge on the logarithm of latency.
fn fitted(
    table: &EvaluationTable,
    drawn: &[usize],
    judged: &[usize],
    inputs: &dyn Fn(usize) -> Vec<f64>,
) -> Vec<Prediction> {
    let points: Vec<Vec<f64>> = drawn.iter().map(|row| inputs(*row)).collect();
    let width = points.first().map_or(0, Vec::len);
    let count = points.len().max(1) as f64;
    let scales: Vec<(f64, f64)> = (0..width)
        .map(|column| {
            let mean = points.iter().map(|point| point[column]).sum::<f64>() / count;
            let square = points.iter().map(|point| (point[column] - mean).powi(2)).sum::<f64>() / count;
            (mean, if square > 0.0 { square.sqrt() } else { f64::INFINITY })
        })
        .collect();
    let scaled = |point: &[f64]| -> Vec<f64> {
        point.iter().zip(&scales).map(|(value, (mean, deviation))| (value - mean) / deviation).collect()
    };
    let points: Vec<Vec<f64>> = points.iter().map(|point| scaled(point)).collect();
    let logs: Vec<f64> = drawn.iter().map(|row| table.latency(*row).ln()).collect();
    let mean = logs.iter().sum::<f64>() / count;
    let targets: Vec<f64> = logs.iter().map(|log| log - mean).collect();
    let coefficients = ridge(&points, &targets, PENALTY);
    let predicted = |row: &usize| ((mean + dot(&scaled(&inputs(*row)), &coefficients)).exp(), None);
    judged.iter().map(predicted).collect()
}

/// The latency of the network with the most similar features.
fn nearest(table: &EvaluationTable, rows: &[Row], drawn: &[usize], judged: &[usize]) -> Vec<Prediction> {
    let predicted = |row: &usize| {
        let distance = |other: &usize| squared_distance(&rows[*row].named, &rows[*other].named);
        let near = drawn.iter().map(|other| (distance(other), *other)).min_by(|a, b| a.0.total_cmp(&b.0));
        (near.map_or(0.0, |(_, other)| table.latency(other)), None)
    };
    judged.iter().map(predicted).collect()
}
