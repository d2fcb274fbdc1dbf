//! The health check of a supernet: no warning on the quickstart, a warning with a tenth of its epochs.

use std::fs;

use kiln_search::Event;

use crate::sandbox::{Sandbox, set, tiny_quickstart};

/// The quickstart with all its data, with this number of epochs, and with few trials.
fn quickstart(name: &str, epochs: i64) -> Sandbox {
    let mut config = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml"))
        .unwrap()
        .parse::<toml::Table>()
        .unwrap();
    set(&mut config, "study", "name", name.into());
    set(&mut config, "evaluator", "epochs", epochs.into());
    set(&mut config, "search", "trials", 12.into());
    set(&mut config, "finish", "epochs", 1.into());
    Sandbox::new(&config.to_string())
}

#[test]
fn quickstart_supernet_is_healthy_and_gives_estimates() {
    let sandbox = quickstart("whole", 14);
    let said = sandbox.kiln(&["search", "study.toml", "--json", "--strict"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("supernet: healthy") && !said.err.contains("warning"), "{}", said.err);
    let report = said.json();
    assert_eq!((&report["supernet_health"]["healthy"], &report["estimated"]), (&true.into(), &true.into()));
    assert_eq!(report["supernet_health"]["checks"].as_array().unwrap().len(), 3, "{report}");
    let front = sandbox.kiln(&["front", "whole"]);
    assert!(front.out.contains("estimated accuracy %"), "{}", front.out);
    assert!(
        front.out.starts_with("Result: trial ") && front.out.contains("test accuracy %"),
        "{}",
        front.out
    );
    assert!(!front.out.contains("Warning"), "{}", front.out);
}

#[test]
fn short_supernet_training_warns_and_strict_stops() {
    let sandbox = quickstart("short", 1);
    let strict = sandbox.kiln(&["search", "study.toml", "--plain", "--strict"]);
    assert_eq!(strict.code, 1, "{}", strict.err);
    for part in ["estimates may mislead", "% errors", "`epochs` about", "--strict"] {
        assert!(strict.err.contains(part), "{part}: {}", strict.err);
    }
    let events = sandbox.events("short");
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Health { .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::Trial { .. })), 0);

    let said = sandbox.kiln(&["search", "study.toml", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("warning: the supernet's estimates may mislead"), "{}", said.err);
    assert_eq!(said.json()["supernet_health"]["healthy"], false);
    let health = sandbox.events("short").into_iter().filter(|event| matches!(event, Event::Health { .. }));
    assert_eq!(health.count(), 1, "the check is not repeated");
    let front = sandbox.kiln(&["front", "short", "--json"]);
    assert_eq!(front.json()["supernet_health"]["healthy"], false);
    assert_eq!(sandbox.kiln(&["report", "short"]).code, 0);
    let page = fs::read_to_string(sandbox.path("short.html")).unwrap();
    assert!(page.contains("Warning: the supernet") && page.contains("What to do: "));
    let watched = sandbox.kiln(&["watch", "short", "--plain"]);
    assert!(watched.err.contains("warning: the supernet's estimates may mislead"), "{}", watched.err);
}

#[test]
fn health_does_not_depend_on_workers_or_reuse() {
    let health = |sandbox: &Sandbox, name: &str| {
        let events = sandbox.events(name).into_iter();
        let found: Vec<Event> = events.filter(|event| matches!(event, Event::Health { .. })).collect();
        assert_eq!(found.len(), 1, "{name}");
        found
    };
    let mut config = tiny_quickstart("first");
    let sandbox = Sandbox::new(&config.to_string());
    sandbox.search(&["--workers", "1"]);
    let first = health(&sandbox, "first");
    for (name, supernet) in [("again", None), ("second", Some("runs/first"))] {
        set(&mut config, "study", "name", name.into());
        if let Some(supernet) = supernet {
            set(&mut config, "evaluator", "supernet", supernet.into());
        }
        fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
        sandbox.search(&["--workers", "3"]);
        assert_eq!(health(&sandbox, name), first, "{name}");
    }
}
