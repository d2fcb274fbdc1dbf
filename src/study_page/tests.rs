use std::collections::BTreeMap;

use kiln::audit::{AuditedNetwork, Predictor};
use kiln_search::{
    Event, Finished, FinishedFile, HealthCheck, HealthQuestion, JOURNAL_VERSION, JournalEntry, Outcome,
    RankCorrelation, Seconds, SupernetHealth,
};
use kiln_space::Genotype;

use super::*;
use crate::inspection::LayerView;
use crate::volume::tests::{objectives, trial};

fn page_of(events: Vec<Event>) -> StudyPage {
    let entry = |(index, event)| JournalEntry {
        version: JOURNAL_VERSION,
        unix_s: Seconds::saturating(1e9),
        elapsed_s: Seconds::saturating(index as f64),
        event,
    };
    let entries: Vec<JournalEntry> = events.into_iter().enumerate().map(entry).collect();
    let mut history = History::default();
    for entry in &entries {
        history.see(entry);
    }
    let record = StudyRecord::new(entries);
    let limits = vec![Constraint::new("latency_us", 400.0)];
    let config = "[study]\nname = \"<quick>\"\n".to_owned();
    StudyPage::new(
        "<quick>".to_owned(),
        PathBuf::from("runs/quick"),
        config,
        objectives(),
        limits,
        record,
        history,
    )
}

fn told(trial: Trial) -> Event {
    Event::Trial { trial, known: false, seconds: Seconds::saturating(0.5), worker: 1 }
}

fn study() -> StudyPage {
    let started = Event::Started { study: "quick".to_owned(), resumed: 0, trials: Some(4) };
    let loss = |done, note: &str| Event::Progress {
        stage: "supernet".to_owned(),
        done,
        total: 20,
        note: note.to_owned(),
    };
    let finished = Finished {
        trial: 2,
        metrics: [("test_accuracy_percent".to_owned(), 98.25)].into(),
        files: vec!["model.onnx".into()],
    };
    page_of(vec![
        started,
        loss(10, "loss 1.5000"),
        loss(20, "loss 0.5000"),
        Event::Prepared { fingerprint: "abc".to_owned(), full_epochs: 0 },
        told(trial(0, Some((4.0, 100.0)), "random")),
        told(trial(1, None, "random")),
        told(trial(2, Some((2.0, 200.0)), "mutation")),
        told(trial(3, Some((5.0, 300.0)), "mutation")),
        Event::Rejections { candidates: 10, rejected: 4 },
        Event::Warning { message: "a <warning>".to_owned() },
        Event::Searched { trials: 4, front: vec![0, 2] },
        Event::Finished { finished, seconds: Seconds::saturating(7.0) },
        Event::Ended,
    ])
}

fn inspections() -> BTreeMap<TrialId, anyhow::Result<Inspection>> {
    let layer = |name: &str, latency| LayerView {
        name: name.to_owned(),
        operation: "conv2d 3x3".to_owned(),
        output: "8x4x4".to_owned(),
        parameters: 72,
        macs: if latency > 0.0 { 1152 } else { 0 },
        latency_us: vec![latency],
    };
    let inspection = Inspection {
        decisions: vec![("stem.width".to_owned(), "8".to_owned())],
        devices: vec!["raspi4".to_owned()],
        layers: vec![layer("stem", 150.0), layer("stem.norm", 0.0), layer("head", 50.0)],
    };
    BTreeMap::from([(2, Ok(inspection))])
}

#[test]
fn page_has_every_section() {
    let html = study().page(&inspections()).html();
    for part in [
        "<h1>&lt;quick&gt;</h1>",
        "The study has ended. It looks for the best accuracy and latency, with latency at most 400.0 µs.",
        "2 networks of 4 trials are on the front",
        "limit: 400.0 µs",
        "trial 2: accuracy 98.00 %, latency 200.0 µs",
        "Loss of the supernet",
        "Reported training loss, 0.5 at the end",
        "1 of 4 trials failed: 1 diverged.",
        "loss is NaN &lt;b&gt;",
        "4 of 10 candidates (40.0 %) exceeded a limit",
        "a &lt;warning&gt;",
        "share of the predicted latency on raspi4; 1 fused layers have no cost",
        "<td class=\"number\">75.0</td>",
        "Finished in 7 s: test accuracy 98.25 %.",
        "name = &quot;&lt;quick&gt;&quot;",
        "All trials by origin",
        "<td>mutation</td><td class=\"number\">2</td>",
    ] {
        assert!(html.contains(part), "`{part}` is not in the page");
    }
    // The stages ended when the supernet was ready, when the search ended, and when the study ended.
    for time in ["3.0 s", "7.0 s", "2.0 s"] {
        assert!(html.contains(&format!("<td class=\"number\">{time}</td>")), "{time}");
    }
}

#[test]
fn page_shows_audit_if_present() {
    let measured = |value: f64| Outcome::from_metrics([("error_percent".to_owned(), value)].into());
    let network = |gene: u8, trained: f64| AuditedNetwork {
        genotype: Genotype::new([gene]),
        trained: vec![measured(trained)],
        short: BTreeMap::new(),
        estimated: measured(10.0 * f64::from(gene)),
        rivals: None,
        proxy: measured(-1.0),
        parameters: 1000 * u64::from(gene),
        macs: 20,
    };
    let predictor = |name: &str, tau: Option<f64>| Predictor {
        name: name.to_owned(),
        correlation: tau.map(|tau| RankCorrelation { tau, low: tau - 0.25, high: 1.0 }),
    };
    let audit = Audit {
        metric: "error_percent".to_owned(),
        networks: vec![network(1, 2.0), network(2, 4.0), network(3, f64::NAN)],
        predictors: vec![
            predictor("supernet error_percent", Some(0.625)),
            predictor("macs", None),
            predictor("negative_naswot", Some(0.5)),
        ],
    };
    let title = "How well the supernet ranks";
    assert!(!study().page(&inspections()).html().contains(title));
    let html = study().with_audit(Some(audit)).page(&inspections()).html();
    for part in [
        title,
        "2 random architectures were trained on their own",
        "Estimate against training",
        "accuracy % trained on its own",
        "2: 96.00 % trained, 80.00 % estimated",
        "2: 2.000 k parameters, 96.00 % trained",
        "<td>supernet&#39;s accuracy</td><td class=\"number\">0.625</td><td class=\"number\">0.375 to \
         1.000</td>",
        "<td>MACs</td><td class=\"number\">none</td>",
        "<td>naswot</td>",
    ] {
        assert!(html.contains(part), "`{part}` is not in the page: {html}");
    }
}

#[test]
fn page_of_unfinished_study_has_no_invalid_numbers() {
    let started = Event::Started { study: "quick".to_owned(), resumed: 0, trials: Some(4) };
    let none: BTreeMap<TrialId, anyhow::Result<Inspection>> = BTreeMap::new();
    for events in [
        Vec::new(),
        vec![started.clone()],
        vec![started.clone(), told(trial(0, Some((4.0, 100.0)), "random"))],
        vec![started, told(trial(0, None, "random")), told(trial(1, None, "random"))],
    ] {
        let html = page_of(events).page(&none).html();
        assert!(html.contains("The study has not ended"));
        for word in ["NaN<", "NaN ", "inf "] {
            assert!(!html.replace("loss is NaN", "").contains(word), "{word}");
        }
    }
}

#[test]
fn single_objective_is_plotted_against_constrained_cost() {
    let mut page = study();
    page.objectives.truncate(1);
    let axes = Axes::choose(&page.objectives, &page.constraints, &page.trials);
    assert_eq!((axes.y.as_str(), axes.x.as_deref()), ("error_percent", Some("latency_us")));
    page.constraints.clear();
    let axes = Axes::choose(&page.objectives, &page.constraints, &page.trials);
    assert_eq!(axes.x.as_deref(), Some("latency_us"));
    let axes = Axes::choose(&page.objectives, &page.constraints, &[]);
    assert_eq!(axes.x, None);
}

#[test]
fn page_states_fidelity_of_values() {
    let short = |id, values, epochs| {
        let mut trial = trial(id, Some(values), "random");
        trial.proposal.fidelity = Fidelity::Epochs(epochs);
        told(trial)
    };
    let page = page_of(vec![
        Event::Prepared { fingerprint: "abc".to_owned(), full_epochs: 20 },
        // This trial has a lower error, but it was trained for fewer epochs.
        short(0, (1.0, 100.0), 1),
        short(1, (4.0, 100.0), 3),
        short(2, (5.0, 300.0), 3),
    ]);
    let html = page.page(&BTreeMap::new()).html();
    for part in [
        "No network was judged with full effort: values of the front were measured after 3 of 20 \
         epochs.",
        "Effort: 7 epochs (0.3 full trainings); networks judged: 1 after 1 of 20 epochs, 2 after 3 of 20 \
         epochs, 0 with full effort.",
        "in the search, trial 1, after 3 of 20 epochs",
        "Networks of the front, best first, after 3 of 20 epochs",
        "In the search, after 3 of 20 epochs: accuracy 96.00 %",
        "<td class=\"number\">96.00</td>",
    ] {
        assert!(html.contains(part), "`{part}` is not in the page");
    }
    assert!(!html.contains("<td class=\"number\">99.00</td>"), "a shorter training is the best of nothing");
    assert!(
        !study().page(&inspections()).html().contains("ffort: "),
        "nothing is said where all effort was full"
    );
}

#[test]
fn supernet_page_shows_estimates_health_and_test_result() {
    let check = |question, passed, answer: &str| HealthCheck {
        question,
        passed,
        numbers: BTreeMap::new(),
        answer: answer.to_owned(),
    };
    let health = SupernetHealth::new(
        vec![
            check(HealthQuestion::LargestBeatsSmallest, true, "the largest is best"),
            check(HealthQuestion::BeatsShortTraining, false, "learned less than that"),
        ],
        "train longer".to_owned(),
    );
    let trials = [told(trial(2, Some((2.0, 200.0)), "mutation"))];
    let finished = Finished {
        trial: 2,
        metrics: [("test_accuracy_percent".to_owned(), 98.25)].into(),
        files: vec![FinishedFile { name: "model.onnx".to_owned(), content: None }],
    };
    let loss =
        Event::Progress { stage: "supernet".to_owned(), done: 20, total: 20, note: "loss 0.5000".to_owned() };
    let events = |health: Option<SupernetHealth>| {
        let health = health.map(|health| Event::Health { health });
        let prepared = Event::Prepared { fingerprint: "abc".to_owned(), full_epochs: 0 };
        let rest = [Event::Finished { finished: finished.clone(), seconds: Seconds::saturating(7.0) }];
        [loss.clone(), prepared]
            .into_iter()
            .chain(health)
            .chain(trials.clone())
            .chain(rest)
            .collect::<Vec<_>>()
    };
    let html = |health| page_of(events(health)).with_numbers(Numbers::Estimated).page(&inspections()).html();
    let page = html(Some(health));
    for part in [
        "trial 2: estimated accuracy 98.00 %, latency 200.0 µs",
        "In the search: estimated accuracy 98.00 %.",
        "estimates by shared weights, not test results",
        "Warning: the supernet&#39;s estimates may mislead the search: learned less than that; train longer.",
        "What to do: train longer.",
        "the largest is best",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let place = |what: &str| page.find(what).unwrap();
    assert!(place("Test accuracy") < place("Best estimated accuracy"));
    let unchecked = html(None);
    assert!(unchecked.contains("not checked before the search") && !unchecked.contains("Warning"));
}
