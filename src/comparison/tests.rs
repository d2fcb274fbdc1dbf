//! Tests comparisons with results that were computed by hand.

use kiln_search::{Fidelity, study_front};
use serde_json::json;

use super::*;
use crate::volume::tests::{objectives, trial};

pub(crate) fn contender(run: &str, values: &[Option<(f64, f64)>], limit: f64) -> Contender {
    let trials: Vec<Trial> =
        values.iter().enumerate().map(|(id, values)| trial(id as u64, *values, "random")).collect();
    Contender {
        run: run.into(),
        strategy: "random".to_owned(),
        config: json!({ "evaluator": { "epochs": 9 } }),
        seed: 1,
        evaluator: "scratch".to_owned(),
        numbers: Numbers::Measured,
        full_epochs: Some(9),
        seconds: Seconds::saturating(12.0),
        constraints: vec![Constraint::new("latency_us", limit)],
        front: study_front(&trials),
        seconds_of: vec![Seconds::saturating(2.0); trials.len()],
        trials,
        finished: vec![(0, vec![("test_accuracy_percent".to_owned(), 97.5)])],
    }
}

#[test]
fn comparison_of_two_studies_matches_hand_computation() {
    let first = contender("a", &[Some((4.0, 2.0)), None, Some((2.0, 4.0))], 10.0);
    let second = contender("b", &[Some((5.0, 5.0)), Some((4.0, 3.0))], 8.0);
    let comparison = Comparison::new(&objectives(), &[first, second]);
    // The worst error on the fronts is 4 and a tenth of the range is 0.2, so the reference error is 4.2. The
    // looser limit is 10, so the reference latency is 10.
    assert_eq!(comparison.reference, Some(vec![4.2, 10.0]));
    let [first, second] = comparison.studies.as_slice() else { panic!("two studies") };
    assert_eq!((first.front, first.dominated, first.failed), (2, 0, 1));
    assert_eq!((second.front, second.dominated, second.to_least), (1, 1, Some(2.0)));
    let whole = 2.2 * 8.0;
    assert!((first.hypervolume_percent - 100.0 * (0.2 * 8.0 + 2.0 * 6.0) / whole).abs() < 1e-9);
    assert!((second.hypervolume_percent - 100.0 * 0.2 * 7.0 / whole).abs() < 1e-9);
    assert_eq!(first.to_least, Some(1.0));
    let last = comparison.best.last().unwrap();
    assert_eq!((last.at_most, last.best.as_slice()), (Some(4.0), &[Some((2.0, 2)), Some((4.0, 1))][..]));
    let text = comparison.to_string();
    assert!(text.contains("best accuracy %, latency µs at most 2.000"), "{text}");
    assert!(text.ends_with("b: finished trial 0: test accuracy % 97.50"), "{text}");
}

#[test]
fn study_without_network_can_be_compared() {
    let empty = contender("a", &[None], 10.0);
    let comparison = Comparison::new(&objectives(), &[empty.clone(), empty]);
    assert_eq!(comparison.reference, None);
    assert!(comparison.to_string().contains("hypervolume %"));
    let one = contender("b", &[Some((4.0, 2.0))], 10.0);
    let comparison = Comparison::new(&objectives()[..1], &[one.clone(), contender("a", &[None], 10.0)]);
    assert_eq!(comparison.studies[0].to_least, None);
}

#[test]
fn reference_point_is_common_to_all_studies() {
    // Without a common limit, the reference point is the worst value on both fronts plus a tenth of their
    // range.
    let first = contender("a", &[Some((2.0, 10.0))], 20.0);
    let mut second = contender("b", &[Some((4.0, 5.0))], 20.0);
    second.constraints = vec![Constraint::new("macs", 1e6)];
    let comparison = Comparison::new(&objectives(), &[first.clone(), second]);
    let reference = comparison.reference.unwrap();
    assert!((reference[0] - 4.2).abs() < 1e-9 && (reference[1] - 10.5).abs() < 1e-9, "{reference:?}");
    // The shares of the box do not depend on the order of the studies.
    let third = contender("c", &[Some((3.0, 3.0)), Some((1.0, 8.0))], 30.0);
    let shares = |order: &[&Contender]| -> Vec<(String, f64)> {
        let studies: Vec<Contender> = order.iter().map(|study| (*study).clone()).collect();
        let comparison = Comparison::new(&objectives(), &studies);
        let mut shares: Vec<(String, f64)> = comparison
            .studies
            .iter()
            .map(|side| (side.run.display().to_string(), side.hypervolume_percent))
            .collect();
        shares.sort_by(|a, b| a.0.cmp(&b.0));
        shares
    };
    for ((run, share), (other_run, other)) in
        shares(&[&first, &third]).into_iter().zip(shares(&[&third, &first]))
    {
        assert_eq!(run, other_run);
        assert!((share - other).abs() < 1e-9 && share > 0.0 && share <= 100.0, "{run}: {share} {other}");
    }
}

#[test]
fn best_networks_are_compared_under_equal_limits() {
    let first = contender("a", &[Some((4.0, 1.0)), Some((3.0, 2.0)), Some((1.0, 8.0))], 10.0);
    let second = contender("b", &[Some((2.0, 4.0))], 10.0);
    let comparison = Comparison::new(&objectives(), &[first.clone(), second.clone()]);
    // The four networks on the fronts have the latencies 1, 2, 4 and 8. Each quartile is one level.
    let levels: Vec<_> =
        comparison.best.iter().map(|level| (level.at_most.unwrap(), level.best.clone())).collect();
    let expected = [
        (1.0, vec![Some((4.0, 0)), None]),
        (2.0, vec![Some((3.0, 1)), None]),
        (4.0, vec![Some((3.0, 1)), Some((2.0, 0))]),
        (8.0, vec![Some((1.0, 2)), Some((2.0, 0))]),
    ];
    assert_eq!(levels, expected);
    assert!(comparison.best.iter().all(|level| level.limited.as_deref() == Some("latency_us")));
    let text = comparison.to_string();
    assert!(text.contains("best accuracy %, latency µs at most 1.000"), "{text}");

    // With a single objective, there is one level without a limit.
    let single = |study: &Contender| {
        let mut study = study.clone();
        for trial in &mut study.trials {
            trial.objectives.0.truncate(1);
        }
        study.front = study_front(&study.trials);
        study
    };
    let comparison = Comparison::new(&objectives()[..1], &[single(&first), single(&second)]);
    let [level] = comparison.best.as_slice() else { panic!("one level: {:?}", comparison.best) };
    assert_eq!((&level.limited, level.at_most), (&None, None));
    assert_eq!(level.best, [Some((1.0, 2)), Some((2.0, 0))]);
}

#[test]
fn json_contains_every_number_of_table() {
    let first = contender("a", &[Some((4.0, 2.0)), None, Some((2.0, 4.0))], 10.0);
    let second = contender("b", &[Some((5.0, 5.0)), Some((4.0, 3.0))], 8.0);
    let json = serde_json::to_value(Comparison::new(&objectives(), &[first, second])).unwrap();
    assert_eq!(json["objectives"], json!(["error_percent", "latency_us"]));
    assert_eq!(json["studies"][0]["run"], "a");
    assert_eq!(json["studies"][0]["failed"], 1);
    assert_eq!(json["studies"][1]["to_least"], 2.0);
    assert_eq!(json["studies"][0]["finished"][0][1][0][0], "test_accuracy_percent");
    assert_eq!(json["best"].as_array().unwrap().last().unwrap()["at_most"], 4.0);
}

#[test]
fn studies_with_several_fidelities_are_compared_by_epochs() {
    let first = contender("a", &[Some((4.0, 4.0)), Some((2.0, 6.0))], 10.0);
    let mut second =
        contender("b", &[Some((9.0, 4.0)), Some((1.0, 1.0)), Some((4.0, 4.0)), Some((2.0, 6.0))], 10.0);
    second.strategy = "asha".to_owned();
    for (trial, epochs) in second.trials.iter_mut().zip([1, 3]) {
        trial.proposal.fidelity = Fidelity::Epochs(epochs);
    }
    second.front = study_front(&second.trials);
    let comparison = Comparison::new(&objectives(), &[first.clone(), second.clone()]);
    assert_eq!(comparison.measure, Measure::Epochs);
    let [one, two] = comparison.studies.as_slice() else { panic!("two studies") };
    assert_eq!((one.epochs, two.epochs), (Some(18), Some(1 + 3 + 9 + 9)));
    // Both studies reach the same front. The first study does so after its second training, and the other
    // study after two additional short trainings.
    assert_eq!((one.to_least, two.to_least), (Some(18.0), Some(22.0)));
    assert!((one.hypervolume_percent - two.hypervolume_percent).abs() < 1e-12);
    assert_eq!((one.judged_at.as_str(), &comparison.warnings), ("after 9 epochs", &Vec::new()));
    let text = comparison.to_string();
    assert!(text.contains("epochs to the least of these"), "{text}");

    // If a study does not state the number of epochs of a training, the comparison measures effort in
    // seconds.
    second.full_epochs = None;
    second.seconds_of = [1.0, 3.0, 9.0, 9.0].map(Seconds::saturating).to_vec();
    let comparison = Comparison::new(&objectives(), &[first.clone(), second.clone()]);
    assert_eq!(comparison.measure, Measure::Seconds);
    assert_eq!((comparison.studies[0].to_least, comparison.studies[1].to_least), (Some(4.0), Some(22.0)));

    // Fronts of different fidelities are not comparable. Estimates and measurements are not comparable
    // either.
    second.trials.truncate(2);
    second.full_epochs = Some(9);
    second.front = study_front(&second.trials);
    let comparison = Comparison::new(&objectives(), &[first.clone(), second.clone()]);
    assert_eq!(
        comparison.warnings,
        ["the front of a was judged after 9 epochs, that of b after 3 of 9 epochs"]
    );
    second.evaluator = "supernet".to_owned();
    let comparison = Comparison::new(&objectives(), &[first, second]);
    assert_eq!(comparison.warnings, ["a was judged by the evaluator `scratch`, b by `supernet`"]);
}

#[test]
fn supernet_metrics_are_labeled_as_estimates() {
    let measured = contender("a", &[Some((4.0, 4.0))], 10.0);
    let mut estimated = contender("b", &[Some((5.0, 4.0))], 10.0);
    estimated.numbers = Numbers::Estimated;
    let text = |contenders: &[Contender]| Comparison::new(&objectives(), contenders).to_string();
    let row = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name));
        line.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    let both = text(&[estimated.clone(), estimated.clone()]);
    assert!(both.contains("best estimated accuracy %") && both.contains(": estimated accuracy %"), "{both}");
    let mixed = text(&[measured.clone(), estimated.clone()]);
    assert!(mixed.contains("best accuracy %") && !mixed.contains("estimated accuracy"), "{mixed}");
    let kinds = ["metrics", "of", "trials", "measured", "estimates"].map(str::to_owned);
    assert_eq!(row(&mixed, "metrics of trials").as_deref(), Some(&kinds[..]), "{mixed}");
    assert_eq!(row(&text(&[measured.clone(), measured.clone()]), "metrics of trials"), None);
    let json = serde_json::to_value(Comparison::new(&objectives(), &[measured, estimated])).unwrap();
    assert_eq!([&json["studies"][0]["estimated"], &json["studies"][1]["estimated"]], [false, true]);
}

#[test]
fn trainings_of_different_lengths_are_compared_by_epochs() {
    let short = contender("a", &[Some((4.0, 4.0))], 10.0);
    let mut long = contender("b", &[Some((4.0, 4.0))], 10.0);
    assert_eq!(Comparison::new(&objectives(), &[short.clone(), long.clone()]).measure, Measure::Trials);
    long.full_epochs = Some(20);
    let comparison = Comparison::new(&objectives(), &[short, long]);
    assert_eq!(comparison.measure, Measure::Epochs);
    assert_eq!((comparison.studies[0].to_least, comparison.studies[1].to_least), (Some(9.0), Some(20.0)));
}
